"""The verdict as text, and the table of settings under it."""

import re

import pytest

import reports
import results
from reports.content import headline, tables, verdict
from reports.content.evidence import Evidence, read_evidence


def verdicts_of(folder, runs=None, evidence=None) -> list[verdict.Verdict]:
    """The verdicts on a folder's only protocol."""
    frame = results.read(folder) if runs is None else runs
    (protocol,) = tables.protocols(frame)
    found = headline.standings(protocol, read_evidence(folder, frame) if evidence is None else evidence)
    return list(verdict.verdicts(protocol, found))


def test_the_best_is_named_with_whom_it_beats_and_whom_it_does_not(tested_runs) -> None:
    (one,) = verdicts_of(tested_runs)
    assert one.text == "ipo is better than kto; not distinguishable from dpo." and one.kind == "better"
    assert re.match(
        r"ipo has the highest preference accuracy, 0\.\d{3} \(95 % 0\.\d{3} to 0\.\d{3}, over 3 seeds", one.evidence[0]
    )
    assert "would have been found in four cases of five" in one.evidence[1]
    assert [line.texts[0] for line in one.grid.lines] == ["dpo", "kto"]
    assert [line.texts[-1] for line in one.grid.lines] == ["not distinguishable", "better"]
    assert [head.text for head in one.grid.heads][:4] == ["ipo against", "difference", "95 % interval", "P(ipo higher)"]


def test_the_terminal_says_the_same_and_without_pair_tables_finds_nothing(tested_runs) -> None:
    runs = results.read(tested_runs)
    terminal = " ".join(reports.terminal(runs, width=100, folder=tested_runs).split())
    (one,) = verdicts_of(tested_runs)
    assert f"Verdict: {one.text} {one.evidence[0]}" in terminal and "`compare` tests the losses" not in terminal
    assert "Verdict" not in reports.terminal(runs, width=100)
    few = reports.terminal(runs[runs["seed"] == 0], width=100, folder=tested_runs)
    assert "1 seed: no claim about the losses. Train every setting with 3 seeds or more" in " ".join(few.split())


def test_two_losses_alike_are_not_distinguishable(tested_runs) -> None:
    runs = results.read(tested_runs)
    (one,) = verdicts_of(tested_runs, runs[runs["loss"] != "kto"])
    assert one.text == "Not distinguishable: ipo and dpo." and one.kind == "tied"


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_fewer_than_three_seeds_nothing_is_claimed_and_nothing_bold(tested_runs, seeds: int) -> None:
    runs = results.read(tested_runs)
    few = runs[runs["seed"] < seeds]
    (one,) = verdicts_of(tested_runs, few)
    assert one.text == f"{seeds} seed{'s' if seeds > 1 else ''}: no claim about the losses." and one.kind == "none"
    assert "seeds=0,1,2" in one.evidence[0] and one.grid is None
    (protocol,) = tables.protocols(few)
    shown = headline.table(protocol, headline.standings(protocol, read_evidence(tested_runs, few)))
    assert not any(shown["best"])


def test_of_single_rated_completions_no_order_is_stated(tested_runs) -> None:
    sides = ["policy_chosen_logp", "reference_chosen_logp", "chosen_tokens"]
    runs, evidence = results.read(tested_runs), read_evidence(tested_runs, results.read(tested_runs))
    unpaired = {cell: table.assign(**dict.fromkeys(sides, float("nan"))) for cell, table in evidence.tables.items()}
    unmeasured = runs.assign(preference_accuracy=float("nan"), mean_ratio_accuracy=float("nan"))
    (one,) = verdicts_of(tested_runs, unmeasured, Evidence(tables=unpaired))
    assert one.text.startswith("No verdict: the test rows hold single rated completions") and one.kind == "none"


def test_settings_on_different_rows_give_no_verdict(tested_runs) -> None:
    evidence = read_evidence(tested_runs, results.read(tested_runs))
    runs, moved = results.read(tested_runs), dict(evidence.tables)
    for cell in runs["cell"][runs["loss"] == "ipo"]:
        moved[cell] = moved[cell].assign(pair_id=moved[cell]["pair_id"] + "x")
    (one,) = verdicts_of(tested_runs, runs, Evidence(tables=moved))
    assert one.text.startswith("No verdict: no pair tables are stored on the same rows") and one.kind == "none"


def test_a_loss_with_too_few_seeds_is_left_out_and_counted(tested_runs) -> None:
    runs = results.read(tested_runs)
    (one,) = verdicts_of(tested_runs, runs[(runs["loss"] != "dpo") | (runs["seed"] == 0)])
    assert one.text == "ipo is better than kto." and "Left out, with fewer than 3 seeds: 1 setting." in one.evidence


def test_a_lone_loss_has_nothing_to_be_compared_with(tested_runs) -> None:
    runs = results.read(tested_runs)
    (one,) = verdicts_of(tested_runs, runs[runs["loss"] == "dpo"])
    assert one.text == "Nothing to compare: dpo alone has enough seeds." and one.kind == "none" and one.grid is None


def test_accuracies_that_point_different_ways_give_no_direction(tested_runs) -> None:
    runs = results.read(tested_runs)
    frame = runs[runs["loss"] != "dpo"]
    tables_of = dict(read_evidence(tested_runs, frame).tables)
    for cell, table in tables_of.items():  # kto: few pairs right in sum, all of them per token
        if cell.startswith("kto"):
            wrong = table["policy_chosen_logp"] < -10
            tables_of[cell] = table.assign(
                chosen_tokens=wrong.map({True: 100, False: 5}),
                policy_rejected_logp=-10.0 - 0.3 * wrong,
                rejected_tokens=5,
            )
    (one,) = verdicts_of(tested_runs, frame, Evidence(tables=tables_of))
    assert one.text == "Not distinguishable: ipo and kto." and one.kind == "tied"
    assert any("By length-normalized accuracy the order is reversed against kto" in line for line in one.evidence)


def test_equal_data_perturbations_are_judged_apart(tested_runs) -> None:
    runs = results.read(tested_runs)
    noisy = runs.assign(label_noise=[0.2 if loss == "kto" else 0.0 for loss in runs["loss"]])
    first, second = verdicts_of(tested_runs, noisy)
    assert first.text == "Not distinguishable: ipo and dpo (label noise 0)."
    assert second.text == "Nothing to compare: kto alone has enough seeds (label noise 0.2)."


def test_of_a_claim_only_its_fresh_runs_are_judged_and_shown(tested_runs) -> None:
    runs = results.read(tested_runs)
    confirmed = runs.assign(
        stage=["search" if loss == "kto" else "claim" for loss in runs["loss"]], role=["winner"] * len(runs)
    )
    (one,) = verdicts_of(tested_runs, confirmed)
    assert one.text == "Not distinguishable: ipo and dpo."
    (protocol,) = tables.protocols(confirmed)
    shown = headline.table(protocol, {})
    assert list(shown["loss"]) == ["dpo", "ipo"]
    assert "role" in [field.column for field in tables.headline_fields(shown)]


def test_too_many_settings_are_not_tested_and_say_what_to_do(make) -> None:
    rows = [
        make.cell("dpo", seed=seed, hyperparameters={"beta": 0.1 + place})
        for place in range(headline.MOST_TESTED + 1)
        for seed in range(3)
    ]
    (one,) = verdicts_of(None, make.frame(*rows), Evidence())
    assert one.text == "No verdict: 25 settings are too many to be tested at once (at most 24)."
    assert "claim_seeds=3" in one.evidence[0]


def test_losses_with_unequal_numbers_of_settings_are_no_fair_comparison(tested_runs) -> None:
    runs = results.read(tested_runs)
    beta = [0.3 if loss == "kto" else 0.1 for loss in runs["loss"]]
    given = runs.assign(
        loss=runs["loss"].replace("kto", "dpo"), beta=beta, hyperparameters=[f'{{"beta": {value}}}' for value in beta]
    )
    (one,) = verdicts_of(tested_runs, given)
    assert one.text == (
        "ipo beta 0.1, lr 1e-5 is better than dpo beta 0.3, lr 1e-5; not distinguishable from dpo beta 0.1, lr 1e-5."
    )
    assert any("different numbers of settings" in line for line in one.evidence)


def test_both_reports_begin_with_the_answer_and_have_the_best_in_bold(tested_runs, tmp_path) -> None:
    reports.write(tested_runs)
    page, text = ((tested_runs / name).read_text() for name in ("report.html", "report.md"))
    verdict_text = "ipo is better than kto; not distinguishable from dpo."
    assert page.index(verdict_text) < page.index("<table") and f"**{verdict_text}**" in text.splitlines()[2]
    head = page[: page.index("What was compared")]
    assert len(re.findall(r"<b>0\.\d{3} ± ", head)) == 2 and len(re.findall(r"\*\*0\.\d{3} ± ", text)) == 2


def test_a_claim_sets_winners_against_each_other_and_each_against_its_default(tested_runs) -> None:
    runs = results.read(tested_runs)
    renamed = runs["loss"].map({"kto": "dpo", "dpo": "dpo", "ipo": "ipo"})
    beta = runs["loss"].map({"kto": 0.3, "dpo": 0.1, "ipo": 0.1})
    role = runs["loss"].map({"kto": "default", "dpo": "winner", "ipo": "winner"})
    confirmed = runs.assign(
        loss=renamed, beta=beta, role=role, stage="claim", hyperparameters=[f'{{"beta": {value}}}' for value in beta]
    )
    (one,) = verdicts_of(tested_runs, confirmed)
    assert one.text == "Not distinguishable: ipo and dpo."
    assert re.fullmatch(r"Winner against its loss's default: dpo \+0\.\d{3} \(better\)\.", one.evidence[-1])
    (protocol,) = tables.protocols(confirmed)
    shown = headline.table(protocol, headline.standings(protocol, read_evidence(tested_runs, confirmed)))
    best = dict(zip(shown["role"] + " " + shown["loss"], shown["best"], strict=True))
    assert best["default dpo"] == frozenset() and "preference_accuracy" in best["winner dpo"]
    assert "–" not in set(shown["interval"])


def test_an_accuracy_that_may_be_one_half_is_not_distinguishable_from_the_untrained_model(tested_runs) -> None:
    runs = results.read(tested_runs)
    (one,) = verdicts_of(tested_runs, runs[runs["loss"] == "kto"])
    assert any("holds 0.500" in line for line in one.evidence)
    (other,) = verdicts_of(tested_runs)
    assert not any("holds 0.500" in line for line in other.evidence)


def test_seeds_measured_on_different_rows_are_not_tested_and_the_report_is_written(tested_runs, tmp_path) -> None:
    runs = results.read(tested_runs)
    evidence = read_evidence(tested_runs, runs)
    cell = next(name for name in evidence.tables if name.startswith("dpo"))
    odd = dict(evidence.tables) | {cell: evidence.tables[cell].iloc[1:]}
    (one,) = verdicts_of(tested_runs, runs, Evidence(tables=odd))
    assert one.text.startswith("No verdict: no pair tables are stored on the same rows") and one.kind == "none"

"""The tables of the terminal."""

import re

import pandas
import pytest

import reports


def test_the_terminal_table_shows_cells_claim_and_notes(runs: pandas.DataFrame) -> None:
    text = reports.terminal(runs, width=120)
    rows = [line.split() for line in text.splitlines()]
    assert ["dpo", "0.1", "1e-5", "0.620", "±", "0.031"] in [row[:6] for row in rows]
    assert "1 seed: no claim about the losses" in text
    assert "Preferring the longer completion, without reading it, scores 0.560" in text


@pytest.mark.parametrize("width", [60, 80, 100, 110, 120, 160])
def test_the_terminal_table_fits_its_width(runs: pandas.DataFrame, width: int) -> None:
    assert max(len(line) for line in reports.terminal(runs, width=width).splitlines()) <= width


def test_what_does_not_fit_is_named(runs: pandas.DataFrame) -> None:
    assert "train_seconds" in reports.terminal(runs, width=80).partition("Not shown at this width:")[2]
    assert "Not shown" not in reports.terminal(runs, width=160)


def test_a_rule_sets_the_baselines_apart(runs: pandas.DataFrame) -> None:
    lines = reports.terminal(runs, width=120).splitlines()
    firsts = [line.split()[0] if line else "" for line in lines]
    place = firsts.index("sft")
    assert set(firsts[place + 1]) == {"-"}
    assert firsts[place + 2] == "dpo"


def test_a_failed_cell_is_listed_below_with_its_reason(make) -> None:
    failed = make.cell("kto", status="failed", reason="loss is not finite at step 3")
    text = reports.terminal(make.frame(make.cell("dpo"), failed), width=120)
    assert "1 cell without a result:\n  kto beta 0.1, lr 1e-5: failed: loss is not finite at step 3" in text


def test_each_protocol_has_its_own_table(make) -> None:
    frame = make.frame(make.cell("dpo"), make.cell("dpo", cell="b", protocol="p2"))
    assert len(re.findall(r"^loss +beta", reports.terminal(frame, width=120), flags=re.MULTILINE)) == 2


def test_an_escape_sequence_in_a_name_does_not_reach_the_terminal(make) -> None:
    frame = make.frame(make.cell("\x1b[31mred", reason="x"), make.cell("kto", status="failed", reason="\x1b[2Jgone"))
    text = reports.terminal(frame, width=120)
    assert "\x1b" not in text
    assert "\\x1b[31mred" in text


def test_only_failed_cells_still_give_a_text(make) -> None:
    text = reports.terminal(make.frame(make.cell("dpo", status="failed", reason="out of memory")), width=120)
    assert "out of memory" in text
    assert "loss  beta" not in text


@pytest.mark.parametrize("width", [60, 120])
def test_reranking_refusals_and_capability_have_a_table_that_fits(make, width: int) -> None:
    tasks = {f"capability_{name}{end}": 0.012 for name in ("everyday", "hellaswag") for end in ("", "_se", "_before")}
    asked = make.cell("dpo", rerank_gold_reward=0.21, rerank_gold_reward_se=0.14, refusal_rate=0.1234, **tasks)
    text = reports.terminal(pandas.DataFrame([asked, make.cell("none")]), width=width)
    table = text.split("\n\n")[2]
    assert max(map(len, text.splitlines())) <= width
    assert "rerank:" in table and "+0.21 ± 0.14" in table and "0.123" in table and "none" not in table
    if width == 120:
        assert "everyday  " in table and table.count("+0.012 ± 0.012") == 2
    else:
        assert "capability_everyday" in text.partition("Not shown at this width:")[2]


def test_no_cells_is_said(runs: pandas.DataFrame) -> None:
    assert reports.terminal(runs.iloc[:0]) == "No cells."


def answered(make, loss: str, **given):
    return make.cell(
        loss,
        generated_prompts=128,
        generation="g1",
        generated_tokens=13.5,
        length_ratio=1.1,
        truncated_fraction=0.05,
        distinct_2=0.8,
        **{
            "kl": 2.5,
            "kl_se": 0.2,
            "gold_reward": 0.75,
            "gold_reward_se": 0.1,
            "gold_reward_gain": 0.5,
            "gold_reward_gain_se": 0.125,
            **given,
        },
    )


def test_answers_stand_in_a_table_of_their_own_reward_beside_kl(make) -> None:
    rows = [answered(make, "dpo", win_rate=0.61, win_rate_se=0.04, judge="gold"), make.cell("ipo")]
    text = reports.terminal(make.frame(*rows), width=120)
    said, _, below = text.partition(
        "Completions of 128 prompts after training; win rates against the reference's completions"
    )
    table = below.partition("1 seed:")[0]
    assert "judge gold" in below
    assert [row for row in table.splitlines() if row.startswith("dpo")] == [
        "dpo    0.1  1e-5  2.50 ± 0.20  +0.75 ± 0.10  +0.50 ± 0.12  0.610 ± 0.040   13.50    1.10  0.050     0.800"
    ]
    assert "ipo" not in table and "KL" not in said


def test_without_answers_there_is_no_table_of_them(runs: pandas.DataFrame) -> None:
    assert "Completions of" not in reports.terminal(runs, width=120)


def test_completions_of_other_prompts_are_kept_apart(make) -> None:
    frame = make.frame(answered(make, "dpo"), answered(make, "ipo") | {"generation": "g2"})
    assert "compare only those that agree" in " ".join(reports.terminal(frame, width=120).split())

"""Perturbations of the training rows: exact, nested, the same for every loss, and unseen by everything else."""

from __future__ import annotations

import json

import pytest

import harness.training.loop
import results
from harness.cells.inputs import rows_to_train_on
from harness.data.perturbations import PLAIN, Perturbations, combinations, flip, flips
from harness.data.tokens import Row
from harness.options.cards import make
from harness.progress import silent
from tests.harness.conftest import pair_rows, write_jsonl


def row(number: int, **given) -> Row:
    return Row(f"id{number}", f"c{number}", "train", (1, 2), ((number,) * 3, (100 + number,) * 4), **given)


ROWS = [row(number) for number in range(60)]


def scored_rows(count: int) -> list[dict]:
    """Pairs with scores; each tenth row has none, and the margins go from 0 to 0.8."""
    return [
        pair | ({} if number % 10 == 9 else {"score_chosen": 3 + number % 10 / 10, "score_rejected": 3})
        for number, pair in enumerate(pair_rows(count))
    ]


@pytest.fixture
def loaded(source, tokenizer, tmp_path):
    def load(rows=None, **changes):
        path = write_jsonl(tmp_path / "rows.jsonl", scored_rows(200) if rows is None else rows)
        values = {"suite": str(path), "losses": ["dpo"], "train_pairs": 64, "eval_pairs": 8, **changes}
        return rows_to_train_on(make(values), source, tokenizer, silent())

    return load


def test_label_noise_is_an_exact_count_and_more_noise_only_adds_rows():
    shares = (0.0, 0.1, 0.2, 0.5, 1.0)
    sets = [flips(ROWS, share, seed=3) for share in shares]
    assert [len(ids) for ids in sets] == [0, 6, 12, 30, 60]
    assert all(less <= more for less, more in zip(sets, sets[1:], strict=False))


def test_which_labels_are_wrong_depends_on_the_seed_and_not_on_the_order_of_the_rows():
    assert flips(ROWS, 0.2, seed=0) == flips(ROWS[::-1], 0.2, seed=0) != flips(ROWS, 0.2, seed=1)


def test_a_wrong_label_swaps_the_completions_and_leaves_the_scores_in_their_places():
    wrong = flip(row(1, scores=(5.0, 2.0)))
    assert wrong.completions == row(1).completions[::-1] and wrong.scores == (5.0, 2.0) and wrong.id == "id1"
    single = Row("x", "c", "train", (1,), ((2,),), desirable=True)
    assert flip(single).desirable is False and flip(single).completions == single.completions


def test_the_plain_draw_says_nothing_and_the_others_what_they_change():
    assert PLAIN.description == "" and PLAIN.changed == {} and PLAIN.train_pairs == 512
    perturbations = Perturbations(64, label_noise=0.2, length_balance=True, min_margin=0.5)
    assert perturbations.description == "suite.label_noise=0.2 suite.length_balance=true suite.min_margin=0.5"
    assert perturbations.clean == Perturbations(64, 0.0, True, 0.5)


def test_every_combination_of_the_perturbations_is_a_setting():
    options = make({"suite": "x", "losses": "dpo", "train_pairs": (32, 64), "label_noise": (0, 0.1)})
    assert combinations(options) == [
        Perturbations(32),
        Perturbations(32, 0.1),
        Perturbations(64),
        Perturbations(64, 0.1),
    ]


def test_fewer_training_rows_are_some_of_the_more(loaded):
    data = loaded(train_pairs=(16, 32, 64))
    small, middle, large = ({r.id for r in data.training_rows(1, Perturbations(n))} for n in (16, 32, 64))
    assert small < middle < large and [len(ids) for ids in (small, middle, large)] == [16, 32, 64]


def test_a_balanced_draw_has_as_many_longer_as_shorter_chosen_completions(loaded):
    data = loaded(train_pairs=(16, 32), length_balance=True)
    drawn = {n: data.training_rows(0, Perturbations(n, length_balance=True)) for n in (16, 32)}
    for count, rows in drawn.items():
        gaps = [len(r.completions[0]) - len(r.completions[1]) for r in rows]
        assert sum(gap > 0 for gap in gaps) == sum(gap < 0 for gap in gaps) == count // 2
    assert {r.id for r in drawn[16]} < {r.id for r in drawn[32]}
    plain = [len(r.completions[0]) - len(r.completions[1]) for r in data.training_rows(0, Perturbations(32))]
    assert sum(gap > 0 for gap in plain) != sum(gap < 0 for gap in plain)


def test_a_margin_keeps_the_pairs_whose_scores_lie_far_enough_apart(loaded):
    data = loaded(train_pairs=32, min_margin=0.5)
    kept = data.training_rows(0, Perturbations(len(data.pool), min_margin=0.5))
    expected = {r.id for r in data.pool if r.scores and r.scores[0] - r.scores[1] >= 0.5}
    assert {r.id for r in kept} == expected and 32 <= len(expected) < len(data.pool)
    assert data.count(Perturbations(32, min_margin=0.5)) == 32


def test_the_perturbations_leave_evaluation_and_mismatched_completions_alone(loaded):
    plain = loaded()
    turned = loaded(label_noise=0.5, length_balance=True, min_margin=0.3, train_pairs=32)
    assert (plain.validation, plain.test) == (turned.validation, turned.test)
    assert plain.mismatched == turned.mismatched and plain.pool_digest == turned.pool_digest
    clean, noisy = turned.draw(0, Perturbations(32)), turned.draw(0, Perturbations(32, 0.5))
    assert clean.rows == noisy.rows and len(noisy.flipped) == 16
    wrong = [
        r.id
        for r, as_trained in zip(noisy.rows, noisy.training, strict=True)
        if r.completions != as_trained.completions
    ]
    assert set(wrong) == noisy.flipped


def test_noise_changes_the_digest_of_the_training_rows_and_no_other_perturbation_shares_it(loaded):
    data = loaded()
    digests = [data.training_digest(0, Perturbations(64, noise)) for noise in (0.0, 0.1, 0.2)]
    assert len(set(digests)) == 3 and digests[0] == data.digest(data.training_rows(0, Perturbations(64)))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"min_margin": 0.7, "train_pairs": 64}, ["train_pairs=64", "under suite.min_margin=0.7", "ask for at most"]),
        ({"length_balance": True, "train_pairs": 33}, ["train_pairs=33", "length_balance=true", "ask for at most"]),
        ({"min_margin": 5.0, "train_pairs": 64}, ["batch_size=16", "0 under suite.min_margin=5"]),
    ],
)
def test_more_rows_than_a_perturbation_leaves_are_refused_with_what_there_is(loaded, changes, parts):
    with pytest.raises(ValueError) as caught:
        loaded(**changes)
    assert all(part in str(caught.value) for part in parts)


def test_a_margin_needs_scores_and_a_balance_needs_pairs(loaded):
    with pytest.raises(ValueError, match="min_margin=0.5: rows has no pairs with both scores"):
        loaded(pair_rows(120), min_margin=0.5)
    single = [{"prompt": r["prompt"], "completion": r["chosen"], "label": True} for r in pair_rows(120)]
    with pytest.raises(ValueError, match="length_balance compares two completions"):
        loaded(single, length_balance=True, train_pairs=32)


def test_a_noise_sweep_trains_each_loss_on_the_same_rows_and_measures_the_reference_once(
    command, monkeypatch, tmp_path, capsys
):
    seen: dict[tuple[str, str], list] = {}
    real = harness.training.loop.accumulate_gradient

    def watched(scorer, job, batch, state):
        seen.setdefault((job.cell, job.loss.name), []).extend((r.id, r.completions) for r in batch.rows)
        return real(scorer, job, batch, state)

    monkeypatch.setattr(harness.training.loop, "accumulate_gradient", watched)
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cold"))
    told = command("losses=dpo,kto", "suite.label_noise=0,0.25", report=True)
    assert told.code == 0 and told.trained == ["none", "sft", "sft", "dpo", "kto", "dpo", "kto"]
    assert sum("training rows" in line and "reference" in line for line in told.lines) == 2  # begun, done
    runs = results.read(tmp_path / "runs")
    by_noise = {noise: set(same["cell"]) for noise, same in runs.groupby("label_noise")}
    texts = {
        noise: {tuple(rows) for (cell, _), rows in seen.items() if cell in cells} for noise, cells in by_noise.items()
    }
    assert [len(orders) for orders in texts.values()] == [1, 1]  # one order of the same rows for all losses
    clean, noisy = (orders.pop() for orders in texts.values())
    changed = [one for one, other in zip(clean, noisy, strict=True) if one != other]
    assert len(changed) == 8 and [one[0] for one in clean] == [one[0] for one in noisy]
    assert runs["protocol"].nunique() == 1 and runs["eval_rows_digest"].nunique() == 1
    assert "compare losses within equal values only" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "runs" / "pairs" / "report.md").read_text().count("Preference accuracy against label noise") == 1
    assert command("losses=dpo,kto", "suite.label_noise=0.25").trained == []
    assert command("losses=dpo").trained == []


def test_wrong_labels_of_all_rows_turn_what_is_learned_around(command, tmp_path):
    command("losses=dpo", "suite.label_noise=0,1", "controls=false", "lrs=3e-3", "epochs=2")
    runs = results.read(tmp_path / "runs").set_index("label_noise")
    assert runs.loc[0.0, "margin"] > 0 > runs.loc[1.0, "margin"]


def test_unpaired_rows_have_their_labels_reversed(command, tmp_path):
    rows = [
        {"prompt": r["prompt"], "completion": r[side], "label": side == "chosen"}
        for r in pair_rows(100)
        for side in ("chosen", "rejected")
    ]
    path = write_jsonl(tmp_path / "unpaired.jsonl", rows)
    assert command(f"suite={path}", "losses=kto", "suite.label_noise=0,1", "kto.lrs=3e-3").code == 0
    runs = results.read(tmp_path / "runs").query("loss == 'kto'").set_index("label_noise")
    gaps = runs["chosen_logp_drift"] - runs["rejected_logp_drift"]
    assert gaps[0.0] > 0 > gaps[1.0]


@pytest.mark.slow
def test_several_numbers_of_training_pairs_follow_their_trials(command, tmp_path):
    told = command("losses=dpo", "train_pairs=16,32", "save=best")
    assert told.code == 0
    runs = results.read(tmp_path / "runs").query("loss == 'dpo'").set_index("train_pairs")
    assert dict(runs["steps"]) == {16: 2, 32: 4} and runs["protocol"].nunique() == 1
    assert len(list((tmp_path / "runs").rglob("model"))) == 2  # the best of each number of pairs
    cells = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("dpo-*/cell.json")]
    assert sorted(cell["budget"]["rows"] for cell in cells) == [16, 32]
    assert command("losses=dpo", "train_pairs=32").trained == []

"""WebGPT: the higher score is preferred, two zeros are a tie."""

import json

import suites
from tests.suites.samples import SAMPLES

ROWS = next(sample.rows for sample in SAMPLES if sample.suite == "webgpt")


def load(folder, rows, **settings):
    path = folder / "comparisons.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return suites.load("webgpt", {"path": str(path), **settings})


def test_the_higher_score_is_chosen_on_either_side(tmp_path):
    first, second = load(tmp_path, ROWS).rows
    assert (first.chosen, first.score_chosen, first.score_rejected) == (ROWS[0]["answer_0"], 0.5, -0.5)
    assert (second.chosen, second.score_chosen, second.score_rejected) == (ROWS[1]["answer_1"], 1.0, -1.0)
    assert first.prompt[0].content == "Tea?"


def test_zeros_are_ties(tmp_path):
    rows = [*ROWS, {**ROWS[0], "score_0": 0, "score_1": 0}]
    assert dict(load(tmp_path, rows).dropped) == {"tie": 1}
    assert len(load(tmp_path, rows, ties="half").rows) == 3

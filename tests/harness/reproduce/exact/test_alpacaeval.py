"""Published judgments: the leaderboard's figures from an annotation file written here from an independent formula."""

import json
import math
import statistics

import pytest

pytest.importorskip("results.literature.alpacaeval")

from harness.errors import UsageError  # noqa: E402
from harness.reproduce.exact import alpacaeval  # noqa: E402
from harness.reproduce.frame import MATCH, MISMATCH, REPORTED  # noqa: E402

MODEL = "zephyr-7b-beta"
PREFERENCES = [1.0 + (i % 10) / 10 for i in range(40)] + [0, 1.5]


@pytest.fixture
def annotations(tmp_path, monkeypatch):
    """A folder with one model's judgments, and figures as if they had been published."""
    entries = [
        {
            "instruction": f"question {i}",
            "output_1": "baseline " * (5 + i % 3),
            "generator_1": "gpt4_1106_preview",
            "output_2": "answer " * (4 + i % 7),
            "generator_2": MODEL,
            "annotator": "judge",
            "preference": preference,
        }
        for i, preference in enumerate(PREFERENCES)
    ]
    shares = [0.5 if p in (0, 1.5) else p - 1 for p in PREFERENCES]
    figures = {
        "win_rate": 100 * statistics.fmean(shares),
        "standard_error": 100 * statistics.stdev(shares) / math.sqrt(len(shares)),
        "avg_length": int(statistics.fmean(len(entry["output_2"]) for entry in entries)),
        "length_controlled_win_rate": 45.0,
    }
    folder = tmp_path / "results" / MODEL / "weighted"
    folder.mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps(entries))
    monkeypatch.setattr(alpacaeval, "table", lambda name: {MODEL: figures})
    return tmp_path, figures


def test_a_folder_s_models_match_their_figures(annotations, request_of):
    folder, _ = annotations
    checks = alpacaeval.reproduce(request_of(path=folder))
    assert {c.quantity: c.verdict for c in checks} == {
        "win_rate": MATCH,
        "standard_error": MATCH,
        "avg_length": MATCH,
        "length_controlled_win_rate": REPORTED,
    }


def test_another_figure_is_a_mismatch(annotations, request_of):
    folder, figures = annotations
    figures["win_rate"] += 0.01
    verdicts = {c.quantity: c.verdict for c in alpacaeval.reproduce(request_of(path=folder))}
    assert verdicts["win_rate"] == MISMATCH and verdicts["standard_error"] == MATCH


def test_a_model_without_figures_is_reported(annotations, request_of, monkeypatch):
    folder, _ = annotations
    monkeypatch.setattr(alpacaeval, "table", lambda name: {})
    checks = alpacaeval.reproduce(request_of(path=folder))
    assert {check.verdict for check in checks} == {REPORTED}


def test_a_file_that_is_none_and_an_empty_folder_are_refused(tmp_path, request_of):
    with pytest.raises(UsageError, match="no annotations.json below it"):
        alpacaeval.reproduce(request_of(path=tmp_path))
    (tmp_path / "annotations.json").write_text("{}")
    with pytest.raises(UsageError, match="holds no list of annotations"):
        alpacaeval.reproduce(request_of(path=tmp_path))

"""The measurement of the harness's own cost, at its smallest size."""

from __future__ import annotations

import pytest

from benchmarks.cells import main, measure, text


@pytest.mark.slow
def test_a_small_sweep_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path))
    found = measure(20)
    assert found["cells"] == 20 and len(found["each"]) == 20 and min(found["each"]) > 0
    assert sum(found["each"]) < found["whole"] and found["again"] < found["whole"]
    assert "| a cell beyond training and evaluation, last tenth |" in text(found)


@pytest.mark.parametrize("words", [["cells=many"], ["cells=3"], ["cell=30"], ["x"]])
def test_wrong_words_are_refused(words, capsys):
    assert main(words) == 2
    assert "whole number of at least 20" in capsys.readouterr().err

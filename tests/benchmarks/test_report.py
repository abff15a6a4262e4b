"""The measurement of a report's cost, at a small size."""

from __future__ import annotations

import pytest

from benchmarks.report import main, measure, text, write


def test_a_small_report_is_measured(tmp_path):
    write(tmp_path, 6)
    found = measure(tmp_path)
    assert found["cells"] == 6 and 0 < found["cpu"] and 0 < found["clock"] < 60
    assert found["page"] == (tmp_path / "report.html").stat().st_size
    assert "| report, CPU time |" in text(found)


@pytest.mark.parametrize("words", [["cells=many"], ["cells=0"], ["cell=30"], ["x"]])
def test_wrong_words_are_refused(words, capsys):
    assert main(words) == 2
    assert "whole number of at least 1" in capsys.readouterr().err

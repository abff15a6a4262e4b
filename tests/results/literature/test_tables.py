"""The published figures: every file of one form, every figure with its source."""

import math

import pytest

from results.literature import tables


@pytest.mark.parametrize("name", tables.names())
def test_every_figure_has_source_table_and_tag(name: str):
    for figure in tables.figures(name):
        assert figure.source and figure.table and figure.row and figure.quantity
        assert figure.tag in tables.TAGS and math.isfinite(figure.value)
    assert tables.table(name)  # no figure is given twice


def test_every_file_is_described_and_nothing_else():
    described = (tables.FOLDER / "SOURCES.md").read_text()
    assert {name for name in tables.names() if f"`{name}.csv`" not in described} == set()
    assert described.count(".csv` |") == len(tables.names())


def test_the_recorded_runs_are_all_there_and_consistent():
    runs = tables.table("archangel_runs")
    assert len(runs) == 102
    assert all(run["wins"] + run["baseline_wins"] <= run["total"] for run in runs.values())
    assert sorted({run["total"] for run in runs.values()}) == [256, 512]


def test_an_unknown_table_and_a_broken_line_are_named(tmp_path, monkeypatch):
    with pytest.raises(LookupError, match="unknown table 'nope'; known: alpacaeval"):
        tables.figures("nope")
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    (tmp_path / "bad.csv").write_text(",".join(tables.COLUMNS) + "\na,b,c,d,1,X\n")
    with pytest.raises(ValueError, match="bad.csv:2"):
        tables.figures("bad")
    (tmp_path / "twice.csv").write_text(",".join(tables.COLUMNS) + "\na,b,c,d,1,S\na,b,c,d,2,S\n")
    with pytest.raises(ValueError, match="d of 'c' is given twice"):
        tables.table("twice")

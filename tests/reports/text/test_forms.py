"""The forms in which tables and figures are written: each is made, and none beside them."""

import pytest

import reports
from reports.figures import drawing
from reports.text.forms import FIGURES, TABLES


def test_every_form_of_a_table_has_its_own_ending_and_can_be_made(runs) -> None:
    assert len(set(TABLES.values())) == len(TABLES)
    starts = {form: reports.table(runs, form)[:6] for form in TABLES}
    assert starts == {"latex": "\\begin", "markdown": "| loss", "csv": "loss,b"}
    with pytest.raises(ValueError, match="unknown form 'html' of a table; known: latex, markdown, csv"):
        reports.table(runs, "html")


def test_every_form_of_a_figure_can_be_made() -> None:
    made = drawing.drawn("title", lambda axes, paint: axes.plot([0, 1], [0, 1], color=paint.ink), "p")
    starts = {form: drawing.file_of([made], "title", form)[:5] for form in FIGURES}
    assert starts == {"svg": b"<?xml", "png": b"\x89PNG\r"}

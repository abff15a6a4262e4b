"""The notebook in docs/ runs from top to bottom, and shows what it computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs" / "compare.ipynb"


def shown(cell: dict) -> list[str]:
    """The text that a cell of a notebook shows, without the folder of that day."""
    outputs = cell.get("outputs", [])
    return ["".join(one.get("text") or one.get("data", {}).get("text/plain", [])) for one in outputs]


def test_its_code_runs_and_its_results_are_what_its_words_say():
    names: dict = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), names)
    assert list(names["tested"]["verdict"]) == ["not distinguishable", "better", "better"]
    assert names["long"]["metric"].nunique() > 20 and len(names["runs"]) == 12


@pytest.mark.slow
def test_a_kernel_gives_the_outputs_that_are_stored():
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed (extra: dev)")
    client = pytest.importorskip("nbclient", reason="nbclient is not installed (extra: dev)")
    stored = nbformat.read(NOTEBOOK, as_version=4)
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(ROOT)}}
    client.NotebookClient(fresh, timeout=300, kernel_name="python3", resources=place).execute()
    for before, after in zip(stored.cells, fresh.cells, strict=True):
        assert shown(before) == shown(after), before.source

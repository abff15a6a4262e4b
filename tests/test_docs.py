"""The notebook in docs/ runs and shows what it computes; the walks of docs/architecture.md go through what is there."""

from __future__ import annotations

import json
import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs" / "compare.ipynb"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WALKS = dict(re.findall(r"^## (The walk of one \w+)\n(.*?)(?=^## |\Z)", ARCHITECTURE, flags=re.MULTILINE | re.DOTALL))


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


@pytest.mark.parametrize("walk", ["The walk of one pair", "The walk of one option", "The walk of one metric"])
def test_a_walk_is_short_and_every_name_on_its_way_is_there(walk: str):
    named = re.findall(r"`((?:losses|suites|results|reports|harness)\.[\w.]+)`", WALKS[walk])
    steps = [line for line in WALKS[walk].partition("\n1. ")[2].splitlines() if line]
    assert len(named) >= 8 and len(steps) <= 15
    for name in named:
        pkgutil.resolve_name(name)  # raises where there is no such module, class or function

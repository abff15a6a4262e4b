"""Records of searches: read back, joined to rows, the last first; a broken one is left out with a warning."""

import json
import os

import pytest

import results
from results.cells import searches, store
from results.cells.read import comparable


def entry(cell, stage="search", trial=None, rung=None, role=""):
    return {"cell": cell, "loss": "dpo", "stage": stage, "trial": trial, "rung": rung, "role": role}


@pytest.fixture
def recorded(stored, tmp_path):
    """Cells c0 to c3, and a search that tried the first two and claimed on c2 and c3."""
    for place in range(4):
        stored("dpo", f"c{place}", seed=place, protocol="p")
    cells = [
        entry("c0", trial=0, rung=0),
        entry("c1", trial=1, rung=0),
        entry("c2", "claim", 1, role="winner"),
        entry("c3", "claim", role="default"),
        entry("later", "claim", 1, role="winner"),
    ]
    record = {"search": "one", "protocol": "p", "claim_seeds": [2], "cells": cells}
    store.write_search(tmp_path / "runs" / "toy", record)
    return tmp_path / "runs"


def test_rows_say_what_their_cell_was_to_a_search(recorded, stored):
    stored("ipo", "other", protocol="p")
    runs = results.read(recorded).set_index("cell")
    assert runs["stage"].to_dict() == {"c0": "search", "c1": "search", "c2": "claim", "c3": "claim", "other": "plain"}
    assert runs.loc["c1", "trial"] == 1 and runs["trial"].isna().sum() == 2
    assert runs["role"].to_dict() == {"c0": "", "c1": "", "c2": "winner", "c3": "default", "other": ""}
    assert set(results.read(recorded / "toy" / "dpo-c2")["role"]) == {"winner"}


def test_a_search_is_a_frame_of_the_cells_that_have_been_run(recorded):
    frame = results.search(recorded)
    assert frame["cell"].tolist() == ["c0", "c1", "c2", "c3"] and set(frame["search"]) == {"one"}
    assert frame["rung"].fillna(-1).tolist() == [0, 0, -1, -1]
    assert list(frame.columns[2:]) == list(results.read(recorded).columns)


def test_the_search_that_ran_last_names_a_cell_and_each_can_be_asked_for(recorded):
    cells = [entry("c2", trial=5, rung=0), entry("c1", trial=4, rung=0)]
    second = {"search": "two", "protocol": "p", "claim_seeds": [], "cells": cells}
    path = store.write_search(recorded / "toy", second)
    os.utime(path, ns=(2**62, 2**62))
    runs = results.read(recorded).set_index("cell")
    assert runs.loc["c1", "trial"] == 4
    assert runs.loc["c2", "role"] == "winner"  # a confirmation comes before a trial
    assert results.search(recorded)["search"].iloc[0] == "two"
    assert results.search(recorded, "one")["trial"].tolist()[:2] == [0, 1]
    with pytest.raises(ValueError, match="no search 'three' at .*; there are: one, two"):
        results.search(recorded, "three")


def test_only_the_cells_of_a_confirmation_are_comparable_and_other_protocols_stay(recorded, stored):
    stored("ipo", "apart", protocol="q")
    runs = results.read(recorded)
    assert comparable(runs, recorded)["cell"].tolist() == ["c2", "c3", "apart"]
    assert len(comparable(runs, recorded, "none")) == 5


def test_a_record_that_cannot_be_read_is_left_out_with_a_warning(recorded, tmp_path):
    (recorded / "toy" / "search-broken.json").write_text("{")
    (recorded / "toy" / "search-empty.json").write_text(json.dumps({"search": "x", "cells": []}))
    with pytest.warns(UserWarning, match="skipped .*search-") as caught:
        found = searches.records(recorded)
    assert len(caught) == 2 and [one["search"] for one in found] == ["one"]


def test_without_a_search_there_is_none(stored, tmp_path):
    stored("dpo", "c0")
    assert searches.record(tmp_path / "runs") is None
    with pytest.raises(ValueError, match="run one with search=random"):
        results.search(tmp_path / "runs")

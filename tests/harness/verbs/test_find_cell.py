"""A cell is found by its folder, its name, its id, or as the best."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.verbs.find_cell import find_cell
from results.cells import store


@pytest.fixture
def runs(tmp_path):
    def write(loss, cell, accuracy, **row):
        folder = store.cell_folder(tmp_path, "toy", loss, cell)
        values = {"loss": loss, "cell": cell, "validation_preference_accuracy": accuracy, "protocol": "p", **row}
        store.write_cell(folder, cell={"loss": loss}, row=values, pairs=None, curve=None, log="")
        return folder

    return write


def test_path_name_id_beginning_and_best(runs, tmp_path):
    dpo, ipo = runs("dpo", "0123456789ab", 0.6), runs("ipo", "0123456789ff", 0.7)
    runs("sft", "aaaaaaaaaaaa", 0.9, control=True)
    for name in (str(ipo), "ipo-0123456789ff", "0123456789ff", "0123456789f"):
        assert find_cell(name, tmp_path) == ipo
    assert find_cell("best", tmp_path) == ipo and find_cell("best", dpo) == dpo


def test_none_several_and_unlike_cells_are_refused(runs, tmp_path):
    with pytest.raises(UsageError, match="no finished cell"):
        find_cell("best", tmp_path)
    runs("dpo", "0123456789ab", 0.6)
    runs("ipo", "0123456789ff", 0.7, protocol="q")
    with pytest.raises(UsageError, match="no cell 'kto'.*there are: dpo-0123456789ab"):
        find_cell("kto", tmp_path)
    with pytest.raises(UsageError, match="could be"):
        find_cell("0123", tmp_path)
    with pytest.raises(UsageError, match="several protocols"):
        find_cell("best", tmp_path)

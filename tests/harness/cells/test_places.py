"""Where the things of a cell lie."""

from __future__ import annotations

import pytest

from harness.cells.places import Places, places_of
from harness.errors import UsageError
from results.cells import store


def test_everything_of_a_cell_lies_in_its_folder(tmp_path):
    places = places_of(str(tmp_path), "pairs", "dpo", "0123456789ab")
    assert places.folder == tmp_path / "pairs" / "dpo-0123456789ab"
    assert places.pairs == places.folder / store.PAIRS
    assert {place.name for place in (places.model, places.checkpoints, places.next_round)} == {
        store.MODEL,
        store.CHECKPOINTS,
        store.NEXT_ROUND,
    }
    assert places.checkpoints_of(3) == places.checkpoints / "evals-3"


def test_weights_are_the_kept_model_else_those_of_the_next_round_else_none(tmp_path):
    places = Places(tmp_path)
    assert places.weights is None
    places.next_round.mkdir()
    assert places.weights == places.next_round
    places.model.mkdir()
    assert places.weights == places.model


def test_dropped_checkpoints_leave_the_rest_of_the_cell(tmp_path):
    places = Places(tmp_path)
    places.drop_checkpoints()  # none is there
    places.checkpoints_of(1).mkdir(parents=True)
    places.model.mkdir()
    places.drop_checkpoints()
    assert list(tmp_path.iterdir()) == [places.model]


@pytest.mark.parametrize("name", [store.MODEL, store.CHECKPOINTS, store.NEXT_ROUND])
def test_a_link_in_the_place_of_a_folder_is_refused(tmp_path, name):
    folder = tmp_path / "runs" / "pairs" / "dpo-0123456789ab"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(tmp_path)
    with pytest.raises(UsageError, match=f"{name} is a symbolic link"):
        places_of(str(tmp_path / "runs"), "pairs", "dpo", "0123456789ab")

"""Runs of two folders: cells joined on their id, and protocols that differ with the field that makes them."""

import json

import pytest

import results
from results.cells import store
from results.inference.two_folders import field_differences
from results.schema.row import names
from results.schema.tables import ACROSS_COLUMNS


@pytest.fixture
def folder(tmp_path, four_pairs):
    """folder("a", "c1", protocol=..., fields=..., **row): a finished cell under tmp_path/a."""

    def write(place, cell, protocol="p", fields=None, **row):
        where = store.cell_folder(tmp_path / place, "toy", "dpo", cell)
        identity = {"loss": "dpo", "precision": "fp32", "budget": {"rows": 32, "epochs": 1}} | (fields or {})
        row = {"loss": "dpo", "cell": cell, "protocol": protocol, "seed": 0, "lr": 1e-5, **row}
        store.write_cell(where, cell=identity, row=row, pairs=four_pairs, curve=None, log="")
        return tmp_path / place

    return write


def test_cells_of_both_folders_stand_side_by_side(folder):
    a = folder("a", "c1", preference_accuracy=0.7, preference_accuracy_se=0.02, device="cpu", versions="1")
    folder("a", "c2", preference_accuracy=0.5)
    b = folder("b", "c1", preference_accuracy=0.6, device="cuda", versions="1")
    (row,) = results.across(a, b).to_dict("records")
    assert tuple(row) == names(ACROSS_COLUMNS)
    assert (row["cell"], row["value_a"], row["value_b"], row["se"]) == ("c1", 0.7, 0.6, 0.02)
    assert row["difference"] == pytest.approx(0.1) and row["differs"] == "device"
    with pytest.raises(ValueError, match="unknown metric 'accuracy'. Metrics of the test rows: preference_accuracy, "):
        results.across(a, b, "accuracy")


def test_protocols_that_differ_name_the_field_and_axes_are_none(folder):
    a = folder("a", "c1", "p", {"precision": "bf16", "budget": {"rows": 64, "epochs": 1}, "model": "a" * 64}, seed=3)
    b = folder("b", "c2", "q", {"tokenisation": {"max_tokens": 256}, "model": "b" * 64})
    (differences,) = field_differences(a, b)
    assert differences.startswith(
        f"protocol p of {a} and protocol q of {b} differ: model is {'a' * 12} and {'b' * 12}, "
    )
    assert "precision is bf16 and fp32" in differences
    assert (
        "tokenisation.max_tokens is None and 256" in differences
        and "rows" not in differences
        and "seed" not in differences
    )
    assert field_differences(a, a) == []
    folder("a", "c0", "p")
    (a / "toy" / "dpo-c0" / "row.json").write_text("{")
    (again,) = field_differences(a, b)
    assert again == differences


def test_settings_of_two_folders_are_ranked_within_one_protocol(folder, tmp_path, four_pairs):
    for seed in range(3):
        folder("a", f"a{seed}", seed=seed, hyperparameters=json.dumps({"beta": 0.1}))
        folder("b", f"b{seed}", seed=seed, hyperparameters=json.dumps({"beta": 0.5}))
        folder("b", f"a{seed}", seed=seed, hyperparameters=json.dumps({"beta": 0.1}))  # in both: counts once
    (row,) = results.compare([tmp_path / "a", tmp_path / "b"]).to_dict("records")
    assert (row["seeds_a"], row["seeds_b"], row["difference"]) == (3, 3, 0)


def test_all_that_differs_between_two_places_is_named(folder):
    a = folder("a", "c1", preference_accuracy=0.7, device="cpu", threads=1)
    b = folder("b", "c1", preference_accuracy=0.6, device="cuda", threads=2)
    assert results.across(a, b)["differs"].tolist() == ["device, threads"]


def test_a_protocol_is_held_against_the_nearest_of_the_other_folder(folder):
    a = folder("a", "c1", "p", {"precision": "bf16"})
    folder("b", "c2", "far", {"precision": "fp16", "model": "another", "budget": {"epochs": 9}})
    b = folder("b", "c3", "near", {"budget": {"epochs": 1}})
    assert field_differences(a, b) == [
        f"protocol p of {a} and protocol near of {b} differ: precision is bf16 and fp32",
    ]
    one = a / "toy" / "dpo-c1"  # a cell's folder is a place with one cell
    assert field_differences(one, b)[0].startswith(f"protocol p of {one} and protocol near of {b} differ: precision")


def test_protocols_whose_cells_say_the_same_differ_in_what_cells_do_not_say(folder):
    (told,) = field_differences(folder("a", "c1", "p"), folder("b", "c2", "q"))
    assert told.endswith(" differ: rows that training may draw from, or the suite's name")


def test_of_a_protocol_the_cell_that_says_most_speaks(folder):
    a = folder("a", "c1", "p", {"precision": "bf16", "model": "m"})
    folder("a", "c2", "p", {"precision": None})  # an untrained control
    (told,) = field_differences(a, folder("b", "c3", "q", {"model": "m"}))
    assert told.endswith(" differ: precision is bf16 and fp32")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("f" * 64, "f" * 12),
        ("a model of some name", "a model of some name"),
        ("words " * 10 + "four", "words " * 10 + "four"),
    ],
)
def test_digests_alone_are_shortened(folder, value, shown):
    (told,) = field_differences(folder("a", "c1", "p", {"model": value}), folder("b", "c2", "q", {"model": "m"}))
    assert told.endswith(f" differ: model is {shown} and m")

"""Several suites as one: parts, weights, settings, and rows that say where they come from."""

import json
from pathlib import Path

import pytest

import suites
from suites import Message, Pair, Suite, SuiteError, registry
from suites.mixture import Part


@pytest.fixture
def toys(monkeypatch):
    """Two registered suites whose rows say what they were given."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))

    def make(name: str, turns: dict[str, str]):
        @suites.register(name, description=name)
        def load(*, subset: str | None = None) -> Suite:
            rows = tuple(
                Pair(f"{subset or 'all'}/{turn}", (Message("user", turn),), "good", "bad", turn, split)
                for turn, split in turns.items()
            )
            return Suite(name, rows, "pairs", {"identical": 2}, len(rows) + 2, f"{name} source", f"{name} revision")

    make("toy-a", {"one": "train", "two": "train", "three": "test"})
    make("toy-b", {"three": "train", "four": "validation", "five": "test"})


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_parts_have_a_weight_and_a_label(toys):
    assert suites.read_parts("toy-a*0.7+toy-b*0.3", {}) == (
        Part(1, "toy-a", 0.7, "toy-a"),
        Part(2, "toy-b", 0.3, "toy-b"),
    )
    assert [part.weight for part in suites.read_parts("2*toy-a+toy-b", {})] == [2.0, 1.0]
    assert [part.label for part in suites.read_parts("dir/mine.jsonl*1+toy-a", {})] == ["mine", "toy-a"]
    assert [part.label for part in suites.read_parts("toy-a+toy-b+toy-a", {})] == ["toy-a-1", "toy-b", "toy-a-3"]
    assert suites.shares("toy-a*0.7+toy-b*0.3", {}) == {"toy-a": 0.7, "toy-b": 0.3}


def test_a_suite_that_occurs_twice_is_told_apart_by_its_subset(toys):
    twice = {"1.subset": "kind", "2.subset": "safe"}
    assert suites.shares("toy-a*3+toy-a*1", twice) == {"toy-a-kind": 3.0, "toy-a-safe": 1.0}
    assert list(suites.shares("toy-a+toy-a", {"1.subset": "same", "2.subset": "same"})) == ["toy-a-1", "toy-a-2"]


def test_a_single_suite_is_no_mixture_and_a_file_may_hold_a_plus_sign(toys, tmp_path):
    assert suites.shares("toy-a", {}) is None
    file = write(tmp_path / "a+b.jsonl", [{"prompt": "q", "chosen": "x", "rejected": "y"}])
    assert not suites.is_mixture(file) and suites.load(file).name == "a+b"


@pytest.mark.parametrize("text", ["toy-a*0+toy-b", "toy-a*-1+toy-b", "toy-a*x+toy-b", "toy-a++toy-b", "toy-a*nan+b"])
def test_a_part_without_a_name_or_a_positive_weight_is_refused(toys, text):
    with pytest.raises(SuiteError, match="NAME\\*WEIGHT"):
        suites.load(text)


def test_rows_carry_their_source_and_ids_stay_unique(toys):
    mixed = suites.load("toy-a*0.7+toy-b*0.3")
    assert [(row.id, row.source) for row in mixed.rows] == [
        ("toy-a/all/one", "toy-a"),
        ("toy-a/all/two", "toy-a"),
        ("toy-a/all/three", "toy-a"),
        ("toy-b/all/four", "toy-b"),
        ("toy-b/all/five", "toy-b"),
    ]
    assert (mixed.name, mixed.kind, mixed.read) == ("toy-a_x0.7_plus_toy-b_x0.3", "pairs", 10)
    assert mixed.source == "toy-a source; toy-b source" and len(mixed.revision) == 12


def test_a_turn_that_another_part_tests_is_not_trained_on(toys):
    mixed = suites.load("toy-a+toy-b")
    assert "toy-b/all/three" not in {row.id for row in mixed.rows}
    assert mixed.dropped == {"identical": 4, "leaks_into_test": 1}


def test_a_turn_that_another_part_validates_on_is_not_trained_on(tmp_path):
    def part(name: str, splits: dict[str, str]) -> str:
        rows = [{"prompt": q, "chosen": "x", "rejected": "y", "split": split} for q, split in splits.items()]
        return write(tmp_path / f"{name}.jsonl", rows)

    one = part("one", {"q": "validation", "r": "train", "s": "test"})
    two = part("two", {"q": "train", "r": "validation", "t": "train", "s": "validation"})
    mixed = suites.load(f"{one}+{two}")
    assert [row.id for row in mixed.rows] == ["one/row-1", "one/row-3", "two/row-2", "two/row-3"]
    assert mixed.dropped == {"leaks_into_validation": 2, "leaks_into_test": 1}


def test_settings_reach_a_part_by_its_name_or_its_place(toys):
    mixed = suites.load("toy-a+toy-b+toy-a", {"1.subset": "x", "toy-b.subset": "y", "3.subset": "z"})
    assert {row.id.rsplit("/", 1)[0] for row in mixed.rows} == {"toy-a-x/x", "toy-b/y", "toy-a-z/z"}
    both = suites.load("toy-a+toy-a", {"toy-a.subset": "x"})
    assert {row.id.rsplit("/", 1)[0] for row in both.rows} == {"toy-a-1/x", "toy-a-2/x"}


def test_a_setting_that_names_no_part_is_refused_with_the_parts(toys):
    for key in ("subset", "toy-c.subset", "3.subset", "toy-a."):
        with pytest.raises(SuiteError, match="parts: 1 or toy-a, 2 or toy-b"):
            suites.load("toy-a+toy-b", {key: "x"})


def test_pairs_and_unpaired_rows_do_not_mix(toys, tmp_path):
    file = write(tmp_path / "single.jsonl", [{"prompt": "q", "completion": "x", "label": True}])
    with pytest.raises(SuiteError, match="toy-a pairs, single examples"):
        suites.load(f"toy-a+{file}")


def test_an_unknown_part_is_named(toys):
    with pytest.raises(SuiteError, match="unknown suite 'toy-c'; did you mean"):
        suites.load("toy-a+toy-c")

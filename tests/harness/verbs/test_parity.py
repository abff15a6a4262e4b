"""`list losses parity`: the printed table says what the comparison found, and leaves no loss out."""

import pytest

import losses
from harness.errors import UsageError
from harness.verbs.list import listing
from losses.checks.parity import compare
from losses.checks.parity_peers import LIBRARIES, NOT_COMPARED, PEERS


@pytest.fixture(scope="module")
def text() -> str:
    return listing(["losses", "parity"])


@pytest.fixture(scope="module")
def cells(text) -> dict[tuple[str, str], str]:
    """(our loss, library) -> what the table says."""
    lines = iter(text.splitlines())
    heading = next(line for line in lines if line.startswith("loss "))
    starts = [heading.index(library) for library in LIBRARIES]
    found = {}
    for line in lines:
        if not line:
            return found
        for library, start, end in zip(LIBRARIES, starts, [*starts[1:], None], strict=True):
            found[line.split()[0], library] = line[start:end].strip()
    raise AssertionError("the table has no end")


def test_each_cell_is_the_result_of_the_comparison(cells):
    for peer in PEERS:
        result, cell = compare(peer), cells[peer.ours, peer.library]
        if result.is_same:
            assert cell == "same"
        else:
            number, note = cell.split()
            assert float(number) == pytest.approx(result.theirs.value, rel=1e-5)
            assert note.startswith("[")


def test_a_loss_that_a_library_lacks_is_a_dash(cells):
    known = {(peer.ours, peer.library) for peer in PEERS} | set(NOT_COMPARED)
    assert {cell for place, cell in cells.items() if place not in known} == {"-"}
    assert {cells[place] for place in NOT_COMPARED} == {"see below"}


def test_every_note_is_there_and_gives_the_reason(text, cells):
    flat = " ".join(text.split())
    for peer in PEERS:
        if peer.why:
            _, note = cells[peer.ours, peer.library].split()
            assert f"{note} {peer.ours}, {peer.library} ({peer.called}): " in flat
            assert peer.why in flat
        assert peer.as_it_comes in flat


def test_every_built_in_loss_stands_in_the_table_or_among_those_without_a_counterpart(text, cells):
    alone = text.split("In none of these libraries")[1].replace(",", " ").split()
    built_in = {name for name in losses.names() if losses.get(name).source is None}
    assert {name for name, _ in cells} | set(alone) == built_in


def test_the_versions_that_were_read_are_named(text):
    assert all(version in " ".join(text.split()) for version in LIBRARIES.values())


def test_lines_fit_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert max(map(len, listing(["losses", "parity"]).splitlines())) <= 110


def test_plugins_are_refused_because_no_library_has_them(tmp_path):
    with pytest.raises(UsageError) as caught:
        listing(["losses", "parity", f"plugins={tmp_path / 'mine.py'}"])
    assert "compares the built-in ones" in caught.value.messages[0]

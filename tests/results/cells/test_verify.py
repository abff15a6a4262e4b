"""Each way in which a stored cell can stop being what it says is found, and a sound one stays quiet."""

import json
import os
import shutil

import pytest

from results.cells import store
from results.cells.verify import verify
from results.metrics.row import derived


@pytest.fixture
def sound(stored, four_pairs, curve_table):
    """sound("dpo", "c1", **row): a cell whose row follows from its tables."""

    def write(loss="dpo", cell="0123456789ab", pairs=four_pairs, **row):
        curve = curve_table().assign(seconds=[1.0, 2.0])
        numbers = derived(pairs, curve, reward="log_ratio", beta=0.1, noise_floor=0.0)
        given = {
            "beta": 0.1,
            "hyperparameters": json.dumps({"beta": 0.1}),
            "reward": "log_ratio",
            "noise_floor": 0.0,
            "protocol": "p",
            "versions": json.dumps({"torch": "2.13"}),
            "test_pairs": 4,
            "validation_pairs": 0,
        }
        return stored(loss, cell, pairs=pairs, curve=curve, **given | numbers | row)

    return write


def edit_row(folder, **changes):
    row = store.read_row(folder)
    (folder / "row.json").write_text(json.dumps({**row, **changes}))


def only(root):
    (finding,) = verify(root).findings
    return finding


def test_sound_cells_have_no_finding_at_every_level(sound, tmp_path):
    folder = sound()
    sound("ipo", "0123456789ac")
    for place in (tmp_path / "runs", tmp_path / "runs" / "toy", folder):
        assert verify(place).findings == [] and verify(place).notes == []
    assert verify(tmp_path / "runs").cells == {"done": 2}


@pytest.mark.parametrize("name", ["cell.json", "pairs.parquet", "curve.parquet", "log.txt"])
def test_an_edited_and_a_missing_file_are_named(name, sound):
    folder = sound()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert only(folder).where == folder / name and "was edited" in only(folder).what
    (folder / name).unlink()
    assert only(folder).where == folder / name and only(folder).what == "is missing"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preference_accuracy": 0.99}, ["preference_accuracy is 0.99", "its tables give"]),
        ({"margin": None}, ["margin is None", "its tables give"]),
        ({"validation_pairs": 7}, ["validation_pairs is 7"]),
        ({"tokens_per_second": 1e9}, ["tokens_per_second"]),
        ({"clipped_fraction": 0.0}, ["clipped_fraction"]),
        ({"steps": 99}, ["steps is 99"]),
        ({"beta": 3.0}, ["beta is 3.0"]),
        ({"loss": "ipo"}, ["loss is 'ipo'", "cell.json says 'dpo'"]),
        ({"cell": "ffffffffffff"}, ["names cell 'ffffffffffff'"]),
        ({"margin": "high"}, ["cannot be read", "margin"]),
        ({"margin": float("nan")}, ["cannot be read", "NaN"]),
        ({"files": None}, ["cannot be read", "digests"]),
        ({"versions": "new"}, ["cannot be read"]),
        ({"hyperparameters": "[0.1]"}, ["cannot be compared", "no JSON object"]),
    ],
)
def test_an_edited_row_is_held_to_what_it_follows_from(changes, words, sound):
    folder = sound()
    edit_row(folder, **changes)
    found = verify(folder).findings
    assert found and all(f.remedy for f in found)
    said = "\n".join(f.what for f in found)
    assert all(word in said for word in words), said


def test_a_value_in_its_last_bits_is_no_finding_and_one_beyond_is(sound):
    folder = sound()
    margin = store.read_row(folder)["margin"]
    edit_row(folder, margin=margin * (1 + 1e-12))
    assert verify(folder).findings == []
    edit_row(folder, margin=margin * (1 + 1e-6))
    assert "margin" in only(folder).what


def test_log_probs_that_are_no_number_are_named_with_their_row(sound, four_pairs):
    spoiled = four_pairs.copy()
    spoiled.loc[2, "policy_chosen_logp"] = float("nan")
    folder = sound()
    spoiled.to_parquet(folder / "pairs.parquet", index=False)
    files = store.read_row(folder)["files"] | {"pairs.parquet": store.digest_of(folder / "pairs.parquet")}
    edit_row(folder, files=files)
    findings = verify(folder).findings
    assert any("policy_chosen_logp is no finite number in 1 rows, first 'pair-2'" in f.what for f in findings)


def test_a_cell_that_was_begun_and_not_ended_is_unfinished(sound, tmp_path):
    (sound() / "row.json").unlink()
    (tmp_path / "runs" / "toy" / "kto-0123456789ff").mkdir()
    found = verify(tmp_path / "runs")
    assert found.cells == {"unfinished": 2} and all("has no row.json" in f.what for f in found.findings)


def test_a_cell_that_a_living_process_holds_is_left_alone(sound):
    folder = sound()
    (folder / "log.txt").write_text("half")
    with store.claim(folder):
        found = verify(folder)
    assert found.findings == [] and found.cells == {"at work": 1} and str(os.getpid()) in found.notes[0]


def test_what_is_added_later_must_be_vouched_for(sound, four_pairs, curve_table):
    folder = sound()
    (folder / "verdicts-length.parquet").write_bytes(b"verdicts")
    assert "not vouched for" in only(folder).what
    row = store.read_row(folder)
    digest = store.digest_of(folder / "verdicts-length.parquet")
    edit_row(folder, files=row["files"] | {"verdicts-length.parquet": digest}, win_rate=0.5)
    assert verify(folder).findings == []


def test_leftovers_links_and_files_outside_are_found(sound, tmp_path):
    folder = sound()
    (folder / ".pairs.parquet.7.tmp").write_bytes(b"")
    assert "cut off" in only(folder).what
    (folder / ".pairs.parquet.7.tmp").unlink()
    edit_row(folder, files=store.read_row(folder)["files"] | {"../../out": {}})
    assert "no file beside it" in only(folder).what
    edit_row(folder, files={k: v for k, v in store.read_row(folder)["files"].items() if k != "../../out"})
    os.symlink(folder, folder.parent / "dpo-0123456789ae")
    assert any("symbolic link" in f.what for f in verify(tmp_path / "runs").findings)


def test_a_copied_cell_is_found(sound, tmp_path):
    folder = sound()
    shutil.copytree(folder, folder.parent / "copy-of-dpo-0123456789ab")
    assert "holds the same cell" in only(tmp_path / "runs").what


def test_mixed_versions_within_a_protocol_are_found_and_mixed_commits_said(sound, tmp_path):
    sound(commit="aaa")
    sound("ipo", "0123456789ac", versions=json.dumps({"torch": "2.12"}), commit="bbb")
    sound("kto", "0123456789ad", versions=json.dumps({"torch": "2.11"}), protocol="other", commit="bbb")
    found = verify(tmp_path / "runs")
    (finding,) = found.findings
    assert "mixes versions of torch: 2.13 (1 cell), 2.12 (1 cell)" in finding.what
    assert any("differ in commit: aaa (1 cell), bbb (1 cell)" in note for note in found.notes)


def test_failed_cells_are_counted_and_their_files_checked(sound, tmp_path):
    folder = tmp_path / "runs" / "toy" / "ipo-0123456789ff"
    row = {"loss": "ipo", "cell": "0123456789ff", "reason": "out of memory"}
    store.write_failed(folder, cell={"loss": "ipo"}, row=row, log="x")
    assert verify(tmp_path / "runs").cells == {"failed": 1} and verify(tmp_path / "runs").findings == []
    (folder / "log.txt").write_text("y")
    assert "was edited" in only(folder).what


def test_a_folder_without_cells_is_one_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="No cells at"):
        verify(tmp_path)

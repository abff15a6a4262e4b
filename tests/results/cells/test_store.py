"""The store: names that stay in their place, files that are whole, a row that vouches for them."""

import json
import math

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import results
from results.cells import store


def test_safe_names_are_kept_as_they_are(tmp_path):
    folder = store.cell_folder(tmp_path, "hh-rlhf", "ipo_sum", "0123456789ab")
    assert folder == tmp_path.resolve() / "hh-rlhf" / "ipo_sum-0123456789ab"
    assert store.cell_folder(tmp_path, "My.Pairs.jsonl", "dpo", "c").parent.name == "My.Pairs.jsonl"


HOSTILE = [
    "../x",
    "..",
    ".",
    "/etc/passwd",
    "a/../../b",
    "a\0b",
    "x" * 5000,
    "..\\x",
    ".hidden",
    "~",
    "é" * 300,
    "a b",
    "-rf",
    "\udc80",
    "con\n",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_stay_two_levels_below_out(name, tmp_path):
    folder = store.cell_folder(tmp_path, name, name, name)
    assert folder.resolve().parent.parent == tmp_path.resolve()
    assert not folder.parent.name.startswith((".", "-")) and len(folder.name) < 200
    folder.mkdir(parents=True)
    assert [place.parent.parent for place in tmp_path.rglob(folder.name)] == [tmp_path]


@settings(max_examples=100, deadline=None)
@given(first=st.text(min_size=1, max_size=20), second=st.text(min_size=1, max_size=20))
def test_different_names_never_share_a_folder(first, second, tmp_path_factory):
    out = tmp_path_factory.getbasetemp()
    folders = {store.cell_folder(out, name, "dpo", "c") for name in (first, second)}
    assert len(folders) == len({first, second})
    assert all(folder.parent.parent == out.resolve() for folder in folders)


@pytest.mark.parametrize("names", [("", "dpo", "c"), ("toy", "", "c"), ("toy", "dpo", "")])
def test_an_empty_name_is_refused(names, tmp_path):
    with pytest.raises(ValueError, match="has an empty name"):
        store.cell_folder(tmp_path, *names)


@pytest.mark.parametrize("linked", ["toy", "toy/dpo-c"])
def test_symlinked_folders_are_refused(linked, tmp_path, four_pairs):
    outside = tmp_path / "outside"
    outside.mkdir()
    link = tmp_path / "runs" / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(ValueError, match="is a symlink, and results are not written through one"):
        store.cell_folder(tmp_path / "runs", "toy", "dpo", "c")
    with pytest.raises(ValueError, match="is a symlink"):
        store.write_cell(tmp_path / "runs" / "toy" / "dpo-c", cell={}, row={}, pairs=four_pairs, curve=None, log="")
    assert not any(outside.iterdir())


def test_out_itself_may_be_a_symlink(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    assert store.cell_folder(tmp_path / "runs", "toy", "dpo", "c").parent.parent == (tmp_path / "disk").resolve()


def test_a_finished_cell_has_all_its_files_and_is_done(stored, curve_table):
    folder = stored("dpo", "c", curve=curve_table())
    assert {path.name for path in folder.iterdir()} == {
        "cell.json",
        "curve.parquet",
        "log.txt",
        "pairs.parquet",
        "row.json",
    }
    assert store.is_done(folder)
    assert json.loads((folder / "cell.json").read_text()) == {"loss": "dpo"}
    row = store.read_row(folder)
    assert row["status"] == "done" and set(row["files"]) == {"cell.json", "curve.parquet", "log.txt", "pairs.parquet"}
    assert row["files"]["log.txt"]["size"] == len("done\n")


@pytest.mark.parametrize("name", ["pairs.parquet", "cell.json", "log.txt"])
def test_an_edited_file_undoes_the_cell(name, stored):
    folder = stored("dpo", "c")
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert not store.is_done(folder)


def test_a_deleted_or_linked_file_undoes_the_cell(stored, tmp_path):
    folder = stored("dpo", "c")
    (folder / "pairs.parquet").rename(tmp_path / "moved")
    assert not store.is_done(folder)
    (folder / "pairs.parquet").symlink_to(tmp_path / "moved")
    assert not store.is_done(folder)


@pytest.mark.parametrize(
    "row",
    [
        "",
        "{",
        "[]",
        '{"status": "done"}',
        '{"status": "done", "files": {}}',
        '{"status": "done", "files": {"cell.json": 3}}',
        '{"status": "done", "files": {"cell.json": {}, "../x": {}}}',
    ],
)
def test_a_row_that_vouches_for_nothing_is_not_done(row, stored):
    folder = stored("dpo", "c")
    (folder / "row.json").write_text(row)
    assert not store.is_done(folder)


def test_a_folder_that_is_not_there_is_not_done(tmp_path):
    assert not store.is_done(tmp_path / "nowhere")


@pytest.mark.parametrize("allowed", range(5))
def test_a_crash_between_files_leaves_the_cell_not_done(allowed, stored, curve_table, monkeypatch):
    folder = stored("dpo", "c", curve=curve_table(), beta=0.1)
    assert store.is_done(folder)
    written = []
    whole = store._write_whole

    def crash_after(path, content):
        if len(written) == allowed:
            raise OSError("disk full")
        written.append(path.name)
        whole(path, content)

    monkeypatch.setattr(store, "_write_whole", crash_after)
    with pytest.raises(OSError, match="disk full"):
        stored("dpo", "c", curve=curve_table(), beta=0.5)
    assert "row.json" not in written and not store.is_done(folder)
    monkeypatch.undo()
    stored("dpo", "c", curve=curve_table(), beta=0.5)
    assert store.is_done(folder) and store.read_row(folder)["beta"] == 0.5


def test_a_crash_within_a_file_leaves_no_part_of_it(stored, monkeypatch):
    def no_rename(source, target):
        raise OSError("killed")

    monkeypatch.setattr(store.os, "replace", no_rename)
    with pytest.raises(OSError, match="killed"):
        stored("dpo", "c")
    monkeypatch.undo()
    folder = stored("ipo", "c").parent / "dpo-c"
    assert list(folder.iterdir()) == []


def test_a_bad_table_or_value_is_refused_before_anything_changes(stored, four_pairs, curve_table):
    folder = stored("dpo", "c")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for bad, message in (
        ({"pairs": four_pairs.drop(columns="prompt_tokens")}, "pair table lacks prompt_tokens; found: pair_id"),
        ({"pairs": four_pairs.assign(chosen_tokens=1.5)}, "chosen_tokens of the pair table must be Int64"),
        ({"curve": curve_table().drop(columns="margin")}, "curve table lacks margin"),
        ({"curve": curve_table().assign(los=1.0)}, "curve table has unknown columns los; allowed are step, loss"),
        ({"beta": "0.1"}, "beta is '0.1', but must be float64"),
        ({"seed": True}, "seed is True, but must be Int64"),
        ({"status": "failed"}, "status 'done', not 'failed'; use write_failed"),
    ):
        with pytest.raises(ValueError, match=message):
            stored("dpo", "c", **bad)
    with pytest.raises(TypeError, match="a set has no form in JSON"):
        stored("dpo", "c", hyperparameters={"beta": {0.1}})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_rows_are_strict_json_with_missing_numbers_as_null(stored):
    folder = stored(
        "dpo",
        "c",
        margin=math.nan,
        kl=np.float64("inf"),
        seed=np.int64(3),
        beta=np.float32(0.5),
        control=np.bool_(True),
        lr=pd.NA,
        hyperparameters={"beta": np.float64(0.1), "x": -math.inf},
        reason="über \udc80",
    )

    def refuse(word):
        raise AssertionError(word)

    row = json.loads((folder / "row.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert row["margin"] is row["kl"] is row["lr"] is None
    assert row["seed"] == 3 and row["beta"] == 0.5 and row["control"] is True
    assert row["hyperparameters"] == {"beta": 0.1, "x": None} and row["reason"] == "über \udc80"


def test_floats_come_back_to_the_last_bit(stored, four_pairs):
    value = 0.1 + 0.2
    folder = stored("dpo", "c", margin=value, pairs=four_pairs.assign(policy_chosen_logp=-value / 3))
    assert store.read_row(folder)["margin"] == value
    assert (pd.read_parquet(folder / "pairs.parquet")["policy_chosen_logp"] == -value / 3).all()


def test_equal_tables_give_equal_bytes_whatever_their_index_and_column_order(stored, four_pairs, curve_table):
    first = stored("dpo", "c1", curve=curve_table())
    other = four_pairs.set_index(pd.Index(list("abcd")))[list(reversed(four_pairs.columns))]
    second = stored("dpo", "c2", pairs=other.astype({"chosen_tokens": "float64"}), curve=curve_table())
    for name in ("pairs.parquet", "curve.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert pq.read_schema(first / "pairs.parquet").metadata is None


def test_terms_of_a_composite_loss_are_stored_with_the_curve(stored, curve_table):
    folder = stored("orpo", "c", curve=curve_table().assign(term_nll=[2.0, 1.0], term_odds=[0.7, 0.6]))
    assert list(pd.read_parquet(folder / "curve.parquet")["term_nll"]) == [2.0, 1.0]


def test_files_of_other_measurements_are_kept_and_vouched_for(stored):
    folder = stored("dpo", "c")
    (folder / "generations.jsonl").write_text("{}\n")
    (folder / "verdicts-length.parquet").write_bytes(b"x")
    (folder / "notes.txt").write_text("mine")
    stored("dpo", "c")
    assert {"generations.jsonl", "verdicts-length.parquet"} <= set(store.read_row(folder)["files"])
    assert "notes.txt" not in store.read_row(folder)["files"] and (folder / "notes.txt").exists()
    (folder / "verdicts-length.parquet").write_bytes(b"y")
    assert not store.is_done(folder)


def test_a_table_of_an_earlier_attempt_does_not_outlive_it(stored, curve_table):
    folder = stored("dpo", "c", curve=curve_table())
    stored("dpo", "c", curve=None)
    assert not (folder / "curve.parquet").exists() and store.is_done(folder)


def test_a_failed_cell_keeps_its_reason_and_curve_and_is_not_done(tmp_path, curve_table):
    folder = store.cell_folder(tmp_path, "toy", "dpo", "c")
    store.write_failed(
        folder, cell={}, row={"loss": "dpo", "reason": "loss is nan at step 3"}, curve=curve_table(), log="step 3\n"
    )
    row = store.read_row(folder)
    assert (row["status"], row["reason"]) == ("failed", "loss is nan at step 3")
    assert (folder / "curve.parquet").exists() and not store.is_done(folder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"status": "failed"}, "A failed cell needs a reason; found None"),
        ({"status": "skipped", "reason": ""}, "A skipped cell needs a reason; found ''"),
        ({"status": "done", "reason": "x"}, "status 'failed' or 'skipped', not 'done'"),
    ],
)
def test_a_failure_without_reason_or_with_another_status_is_refused(row, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        store.write_failed(tmp_path / "toy" / "dpo-c", cell={}, row=row)
    assert not (tmp_path / "toy").exists()


def test_a_measurement_is_added_to_a_finished_cell_and_vouched_for(stored):
    folder = stored("dpo", "c", margin=0.5)
    store.add_measurement(folder, {"win_rate": 0.75, "judge": "length"}, {store.verdicts_file("length"): b"table"})
    row = store.read_row(folder)
    assert (row["margin"], row["win_rate"], row["judge"]) == (0.5, 0.75, "length") and store.is_done(folder)
    assert (folder / "verdicts-length.parquet").read_bytes() == b"table"
    assert "verdicts-length.parquet" in row["files"] and "pairs.parquet" in row["files"]
    store.add_measurement(folder, {"refusal_rate": 0.25})
    row = store.read_row(folder)
    assert (row["win_rate"], row["refusal_rate"]) == (0.75, 0.25) and "verdicts-length.parquet" in row["files"]


@pytest.mark.parametrize("moment", range(6))
def test_a_kill_at_any_moment_leaves_a_finished_cell_with_one_whole_measurement(stored, moment, monkeypatch):
    folder, name = stored("dpo", "c"), store.verdicts_file("gold")
    store.add_measurement(folder, {"win_rate": 0.25}, {name: b"old"})
    real, done = store.os.replace, []

    def replace(source, target):
        if len(done) == moment // 2 and moment % 2 == 0:
            raise KeyboardInterrupt
        real(source, target)
        done.append(target)
        if len(done) == moment // 2 + 1 and moment % 2 == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(store.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        store.add_measurement(folder, {"win_rate": 0.75}, {name: b"new"})
    monkeypatch.undo()
    assert store.is_done(folder) and not list(folder.glob(".*.tmp"))
    row = store.read_row(folder)
    vouched = (folder / name).read_bytes() if name in row["files"] else None
    assert (row["win_rate"], vouched) in [(0.25, b"old"), (0.25, None), (0.75, b"new")]
    store.add_measurement(folder, {"win_rate": 0.75}, {name: b"new"})
    assert store.read_row(folder)["win_rate"] == 0.75 and store.is_done(folder)


def test_nothing_is_added_to_what_is_not_done_nor_under_a_name_that_no_measurement_has(stored, tmp_path):
    folder = stored("dpo", "c")
    for name in ("pairs.parquet", "row.json", "../verdicts-x.parquet"):
        with pytest.raises(ValueError, match="is no file of a measurement"):
            store.add_measurement(folder, {}, {name: b"x"})
    with pytest.raises(ValueError, match="win_rate is 'high'"):
        store.add_measurement(folder, {"win_rate": "high"}, {"verdicts-x.parquet": b"x"})
    assert not (folder / "verdicts-x.parquet").exists() and store.is_done(folder)
    (folder / "pairs.parquet").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="holds no finished cell"):
        store.add_measurement(folder, {"win_rate": 1.0})


@pytest.mark.parametrize("judge", ["openai:m@1234", "rm:../../x", "gold:imdb/é"])
def test_a_judges_file_has_a_name_of_its_own_and_stays_in_the_cell(judge):
    name = store.verdicts_file(judge)
    assert name.startswith("verdicts-") and name.endswith(".parquet") and "/" not in name
    assert name != store.verdicts_file(judge + "2")


def test_an_audit_is_stored_once_for_each_protocol_and_read_from_anywhere(stored, tmp_path):
    cell = stored("dpo", "c1")
    for number, protocol in enumerate(("p1", "p2", "p1")):
        path = store.write_audit(cell.parent, protocol, {"kept": number})
        assert path == cell.parent / f"audit-{protocol}.json"
    expected = {"p1": {"kept": 2, "protocol": "p1"}, "p2": {"kept": 1, "protocol": "p2"}}
    for place in (tmp_path / "runs", cell.parent, cell):
        assert results.audits(place) == expected
    assert results.audits(tmp_path / "nowhere") == {}
    assert store.is_done(cell)


def test_an_audit_that_cannot_be_read_is_skipped_and_named(tmp_path):
    store.write_audit(tmp_path, "p1", {})
    for name, text in (("a", "{"), ("b", "[]"), ("c", "{}")):
        (tmp_path / f"audit-{name}.json").write_text(text)
    with pytest.warns(UserWarning, match="skipped .*audit-[abc].json"):
        assert set(results.audits(tmp_path)) == {"p1"}


def test_an_audit_is_whole_strict_json_inside_its_folder(tmp_path):
    path = store.write_audit(tmp_path, "../up", {"share": math.inf})
    assert path.parent == tmp_path and json.loads(path.read_text())["share"] is None
    with pytest.raises(TypeError):
        store.write_audit(tmp_path, "p1", {"share": object()})
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="symlink"):
        store.write_audit(tmp_path / "link", "p1", {})

"""An actor without Ray: what it says and sends of a cell makes the folder that a local worker makes."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

import results
from harness.cells.sweep import prepare_sweep
from harness.compute.machine import resolve
from harness.engines.actor import Actor, ActorConfig, CellTask
from harness.engines.file_chunks import Chunk, cell_files, chunks, put
from harness.engines.worker import worker_config
from harness.options.lookup import read_options
from harness.progress import silent
from tests.harness.conftest import SMALL, comparable


@pytest.fixture
def sweep(pairs_file, tmp_path):
    words = [f"suite={pairs_file}", *SMALL, "losses=dpo", "threads=1", f"out={tmp_path / 'there'}"]
    options = read_options(words).options
    return prepare_sweep(options, resolve(options), silent())


def actor(sweep, **changed) -> Actor:
    return Actor(
        replace(ActorConfig(worker_config(sweep, sweep.trials, 1), {"num_cpus": 1, "num_gpus": 0}, {}), **changed), None
    )


def test_an_actors_cells_are_those_of_this_process_to_the_last_bit(sweep, command, tmp_path):
    there = actor(sweep)
    assert there.hello().problem == ""
    for trial in sweep.trials:
        said = list(there.run(CellTask(trial, False, ())))
        assert said[-1][0] == "ended" and said[-1][2] is False
        assert [kind for kind, *_ in said if kind.startswith("cell_")] == ["cell_started", "cell_finished"]
        for kind, *content in said:
            if kind == "file":
                put(sweep.folder(trial), *content)
    command("losses=dpo", "threads=1", out="here")
    here, elsewhere = (results.read(tmp_path / out) for out in ("here", "there"))
    pd.testing.assert_frame_equal(comparable(here), comparable(elsewhere), check_exact=True)
    assert set(elsewhere["out"]) == {str(tmp_path / "there")}


def test_a_finished_cell_that_is_sent_along_keeps_what_was_measured_on_it(sweep, command, tmp_path):
    command("losses=dpo", "threads=1", out="there")
    trial = next(t for t in sweep.trials if t.loss == "dpo")
    folder = sweep.folder(trial)
    results.store.add_measurement(folder, {"judge": "somebody"})
    again = actor(sweep)
    again.hello()
    said = list(again.run(CellTask(trial, True, tuple(chunks(folder, cell_files(folder, model=False))))))
    files = [content[0] for kind, *content in said if kind == "file"]
    for chunk in files:
        put(tmp_path / "arrived", chunk)
    assert results.store.read_row(tmp_path / "arrived")["judge"] == "somebody"
    assert any(chunk.name.startswith("model/") for chunk in files)


def test_the_reference_is_named_and_sent_where_the_cache_is_another(sweep):
    there = actor(sweep)
    place = there.hello().place
    near = list(there.measure_reference(place))
    names = next(content[0] for kind, *content in near if kind == "kept")
    assert names and all(name.startswith("reference/") for name in names)
    assert not any(kind == "file" for kind, *_ in near) and near[-1][0] == "ended"
    far = [content[0] for kind, *content in there.measure_reference(("elsewhere", "/cache")) if kind == "file"]
    assert {chunk.name for chunk in far} == set(names)


def test_what_arrives_for_the_cache_is_kept_there(sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    there = actor(sweep)
    there.receive(Chunk("reference/ab/x", 0, b"half "))
    there.receive(Chunk("reference/ab/x", 5, b"whole"))
    there.keep_received()
    assert (tmp_path / "cache" / "reference" / "ab" / "x").read_bytes() == b"half whole"


def test_an_actor_of_another_version_or_model_says_so_instead_of_running(sweep):
    assert "another version" in actor(sweep, numerics=-1).hello().problem
    other = replace(sweep, identity=replace(sweep.identity, source=replace(sweep.identity.source, digest="other")))
    assert "other weights" in actor(other).hello().problem

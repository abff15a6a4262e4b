"""Messages in files, and the life of the worker that reads them."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.engines import message_queue
from harness.engines.message_queue import CELL, FROM_WORKER, LEAVE, STILL_HERE, TO_WORKER, MessageQueue, serve


@pytest.fixture
def both_ends(tmp_path):
    path = tmp_path / "orders.jsonl"
    return MessageQueue(path), MessageQueue(path)


def test_what_one_side_appends_the_other_reads_once_and_in_order(both_ends):
    writer, reader = both_ends
    writer.append("cell", "abc", True)
    writer.append("step", 1, 0.5, None)
    assert reader.fresh() == [("cell", "abc", True), ("step", 1, 0.5, None)]
    assert reader.fresh() == []
    writer.append("grün\n", 1e-5)
    assert reader.fresh() == [("grün\n", 1e-5)]


def test_a_queue_that_nobody_has_written_to_is_empty(both_ends):
    assert both_ends[1].fresh() == []


def test_a_half_written_line_waits_for_its_end(tmp_path, both_ends):
    writer, reader = both_ends
    writer.append("whole")
    with (tmp_path / "orders.jsonl").open("ab") as file:
        file.write(b'["ha')
        file.flush()
        assert reader.fresh() == [("whole",)] and reader.fresh() == []
        file.write(b'lf"]\n["next"]\n')
    assert reader.fresh() == [("half",), ("next",)]


class Recorded:
    """A worker that trains nothing: it ends as `acts` says and notes what it was given."""

    acts: dict = {}
    given: list = []

    def __init__(self, sweep, todo, progress, workers, micro_tokens):
        self.progress, self.fitting_tokens, self.should_restart = progress, micro_tokens, False

    def run(self, trial, *, save):
        self.given.append((trial, save))
        self.progress.note(f"at {trial}")
        act = self.acts.get(trial)
        if isinstance(act, Exception):
            raise act
        self.should_restart = act == "restart"


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serves cells of these orders to a recorded worker; what it said, and what it was given."""
    handlers = {}
    monkeypatch.setattr(signal, "signal", lambda number, handler: handlers.update({number: handler}))
    monkeypatch.setattr(message_queue, "Worker", Recorded)
    monkeypatch.setattr(message_queue, "SECONDS_BETWEEN_LOOKS", 0.001)
    config = SimpleNamespace(
        sweep=SimpleNamespace(machine=SimpleNamespace(threads=1), identity=SimpleNamespace(cell_id=str.lower)),
        todo=("DPO", "IPO"),
        plugins=(),
        sums={},
        workers=2,
        micro_tokens=512,
    )

    def serve_orders(*orders, **acts):
        Recorded.acts, Recorded.given = acts, []
        for order in orders:
            MessageQueue(Path(tmp_path) / TO_WORKER).append(*order)
        serve(config, str(tmp_path))
        said = MessageQueue(tmp_path / FROM_WORKER).fresh()
        return SimpleNamespace(said=said, given=Recorded.given, handlers=handlers)

    return serve_orders


def test_a_worker_says_who_it_is_runs_its_cells_and_leaves_when_told(served):
    done = served((CELL, "dpo", False), (CELL, "ipo", True), (LEAVE,), (CELL, "dpo", False))
    assert done.given == [("DPO", False), ("IPO", True)]
    assert done.said == [
        ("here", socket.gethostname(), os.getpid()),
        ("note", "at DPO"),
        ("ended", 512, False),
        ("note", "at IPO"),
        ("ended", 512, False),
    ]


@pytest.mark.parametrize(
    ("act", "last"),
    [
        ("restart", ("ended", 512, True)),
        (MemoryError("no more"), ("lost", "out of memory (MemoryError: no more)", False)),
        (ZeroDivisionError("by zero"), ("fault", "ZeroDivisionError: by zero")),
    ],
)
def test_a_worker_retires_after_a_cell_that_spoilt_it(served, act, last):
    done = served((CELL, "dpo", False), (CELL, "ipo", False), DPO=act)
    assert done.given == [("DPO", False)]
    kind, text, *rest = done.said[-1]
    assert kind == last[0] and rest == list(last[2:])
    assert last[1].rstrip(")") in text if isinstance(text, str) else text == last[1]


def test_a_worker_whose_command_is_silent_leaves(served, monkeypatch):
    monkeypatch.setattr(message_queue, "SECONDS_OF_SILENCE", 0.02)
    assert served((STILL_HERE,)).said == [("here", socket.gethostname(), os.getpid())]


def test_a_cancelled_worker_exits_with_the_signals_code(served):
    handlers = served((LEAVE,)).handlers
    assert set(handlers) == {signal.SIGTERM, signal.SIGUSR2}
    with pytest.raises(SystemExit) as stopped:
        handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert stopped.value.code == 128 + signal.SIGTERM

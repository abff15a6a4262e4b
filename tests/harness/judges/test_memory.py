"""Kept verdicts: never asked for twice, whatever ends the process in between."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sqlite3

import pytest

from harness.judges import JudgeError, Verdict
from harness.judges.memory import PIECE, Memory
from harness.judges.protocol import invalid


class Counting:
    """A judge that remembers what it was asked, and fails after so many rows."""

    id, symmetric = "counting", False

    def __init__(self, limit: int = 10**9) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.limit = limit

    def compare(self, prompts, a, b):
        if len(self.asked) + len(prompts) > self.limit:
            raise JudgeError("tired")
        self.asked += zip(prompts, a, b, strict=True)
        return [Verdict(1.0, f"about {p}", 3) for p in prompts]


class Streamed(Counting):
    def stream(self, prompts, a, b):
        for row in reversed(range(len(prompts))):
            if len(self.asked) >= self.limit:
                raise JudgeError("tired")
            self.asked.append((prompts[row], a[row], b[row]))
            yield row, Verdict(float(row % 2), f"about {prompts[row]}", 3)


@pytest.fixture
def memory(tmp_path) -> Memory:
    return Memory(tmp_path / "verdicts.sqlite")


def test_what_was_asked_once_is_looked_up_in_its_own_order_and_by_its_own_judge(memory):
    judge = Counting()
    assert [v.reason for v in memory.ask(judge, ["p", "q"], ["x", "x"], ["y", "y"])] == ["about p", "about q"]
    again = memory.ask(judge, ["q", "p", "p"], ["x", "x", "y"], ["y", "y", "x"])
    assert [(v.preference, v.reason, v.tokens) for v in again[:2]] == [(1.0, "about q", 3), (1.0, "about p", 3)]
    assert judge.asked == [("p", "x", "y"), ("q", "x", "y"), ("p", "y", "x")]
    other = Counting()
    other.id = "another"
    memory.ask(other, ["p"], ["x"], ["y"])
    assert len(other.asked) == 1


def test_equal_rows_are_asked_for_once(memory):
    judge, told = Counting(), []
    assert len(memory.ask(judge, ["p"] * 5, ["x"] * 5, ["y"] * 5, advance=told.append)) == 5
    assert len(judge.asked) == 1 and sum(told) == 5


def test_a_judge_that_fails_in_the_middle_has_lost_nothing_that_it_said(memory):
    prompts = [str(i) for i in range(20)]
    first = Streamed(limit=13)
    with pytest.raises(JudgeError, match="tired"):
        memory.ask(first, prompts, ["x"] * 20, ["y"] * 20)
    second = Streamed()
    found = memory.ask(second, prompts, ["x"] * 20, ["y"] * 20)
    assert [v.reason for v in found] == [f"about {p}" for p in prompts]
    assert len(first.asked) == 13 and len(second.asked) == 7
    assert not set(first.asked) & set(second.asked)


def test_a_judge_of_whole_lists_is_written_down_a_piece_at_a_time(memory):
    prompts = [str(i) for i in range(PIECE + 5)]
    with pytest.raises(JudgeError):
        memory.ask(Counting(limit=PIECE), prompts, ["x"] * len(prompts), ["y"] * len(prompts))
    rest = Counting()
    memory.ask(rest, prompts, ["x"] * len(prompts), ["y"] * len(prompts))
    assert len(rest.asked) == 5


def test_an_invalid_verdict_is_kept_but_silence_is_asked_again(memory):
    class Odd(Counting):
        def compare(self, prompts, a, b):
            super().compare(prompts, a, b)
            return [invalid("no grammar", 4) if p == "p" else invalid("no reply", given=False) for p in prompts]

    judge = Odd()
    memory.ask(judge, ["p", "q"], ["x", "x"], ["y", "y"])
    found = memory.ask(judge, ["p", "q"], ["x", "x"], ["y", "y"])
    assert [row[0] for row in judge.asked] == ["p", "q", "q"]
    assert math.isnan(found[0].preference) and (found[0].reason, found[0].tokens) == ("no grammar", 4)


def _ask_until_killed(path, pipe):
    class Dying(Streamed):
        def stream(self, prompts, a, b):
            for row, verdict in super().stream(prompts, a, b):
                yield row, verdict
                if len(self.asked) == 7:
                    os.kill(os.getpid(), signal.SIGKILL)

    Memory(path).ask(Dying(), [str(i) for i in range(20)], ["x"] * 20, ["y"] * 20)


def test_a_kill_in_the_middle_leaves_what_was_said_before_it(memory):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_ask_until_killed, args=(memory.path, None))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    rest = Streamed()
    assert len(memory.ask(rest, [str(i) for i in range(20)], ["x"] * 20, ["y"] * 20)) == 20
    assert len(rest.asked) == 13


def test_no_text_of_prompts_or_completions_is_kept(memory):
    memory.ask(Counting(), ["a secret prompt"], ["a secret answer"], ["another secret"])
    memory.path.with_suffix(".copy").write_bytes(memory.path.read_bytes())
    (row,) = sqlite3.connect(memory.path).execute("SELECT * FROM verdicts")
    assert len(row[0]) == 64 and row[1:] == (1.0, "about a secret prompt", 3)  # the judge's own words, nothing else
    assert b"secret answer" not in memory.path.read_bytes()

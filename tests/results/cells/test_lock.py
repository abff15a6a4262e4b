"""Locks: one process a cell, and no lock that outlives its process on this host."""

import json
import os
import socket
import subprocess
import sys

import pytest

from results.cells import lock, store

HOLDER = """
import sys
from results.cells import lock
with lock.claim(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""

# Looks at a lock for a while before acting on it, so that racers overlap unless something keeps them apart.
RACER = """
import sys, time
from results.cells import lock
look = lock._is_alive
lock._is_alive = lambda holder: (look(holder), time.sleep(float(sys.argv[2])))[0]
print("ready", flush=True)
sys.stdin.readline()
try:
    with lock.claim(sys.argv[1]):
        print("won", flush=True)
        sys.stdin.readline()
except lock.Claimed:
    print("lost", flush=True)
"""


def start(code, folder, *words):
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def dead_lock(tmp_path):
    """Leaves the lock of a killed process in the folder and returns its path."""
    folder = tmp_path / "cell"
    with start(HOLDER, folder) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    assert (folder / lock.CLAIM).exists()
    return folder / lock.CLAIM


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_lock_is_there_within_the_block_and_gone_after_it(tmp_path):
    with store.claim(tmp_path / "new" / "cell") as folder:
        content = json.loads((folder / "claim.json").read_text())
        assert content["pid"] == os.getpid() and {"host", "boot"} <= set(content)
    assert list(folder.iterdir()) == []


def test_a_lock_ends_with_an_error_in_the_block(tmp_path):
    with pytest.raises(ZeroDivisionError), store.claim(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_keeps_others_out_and_is_named(tmp_path):
    with start(HOLDER, tmp_path) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(store.Claimed, match=f"being worked on by process {holder.pid} on host"),
            store.claim(tmp_path),
        ):
            pass
        assert (tmp_path / "claim.json").exists()
        holder.stdin.close()
    with store.claim(tmp_path):
        pass


def test_the_same_process_cannot_claim_twice(tmp_path):
    with store.claim(tmp_path):
        with pytest.raises(store.Claimed), store.claim(tmp_path):
            pass
        assert (tmp_path / "claim.json").exists()


def test_the_lock_of_a_dead_process_is_taken_over(dead_lock):
    with store.claim(dead_lock.parent):
        assert json.loads(dead_lock.read_text())["pid"] == os.getpid()
    assert not dead_lock.exists()


def test_what_a_dead_process_was_writing_goes_with_its_lock(dead_lock):
    (dead_lock.parent / ".row.json.7.tmp").write_text("{")
    (dead_lock.parent / ".model-x.tmp").mkdir()
    assert lock.holder(dead_lock.parent) is None
    lock.clear_dead(dead_lock.parent)
    assert list(dead_lock.parent.iterdir()) == []


def test_a_holder_is_named_and_what_it_writes_is_left_alone(tmp_path):
    with store.claim(tmp_path):
        (tmp_path / ".row.json.7.tmp").write_text("{")
        lock.clear_dead(tmp_path)
        assert lock.holder(tmp_path) == lock.Holder(os.getpid(), socket.gethostname())
        assert lock.holder(tmp_path).is_here and (tmp_path / ".row.json.7.tmp").exists()
    assert lock.holder(tmp_path) is None
    (tmp_path / "claim.json").write_text("{")
    assert not lock.holder(tmp_path).is_here and "cannot be read" in str(lock.holder(tmp_path))


def test_a_lock_from_before_a_reboot_is_taken_over_though_its_pid_lives(dead_lock):
    edit(dead_lock, pid=os.getpid(), process_start=lock._process_start(os.getpid()), boot="an earlier one")
    with store.claim(dead_lock.parent):
        pass


@pytest.mark.skipif(lock._process_start(os.getpid()) is None, reason="no process start times on this system")
def test_a_recycled_pid_does_not_keep_a_dead_lock_alive(dead_lock):
    edit(dead_lock, pid=os.getpid())
    with store.claim(dead_lock.parent):
        pass


def test_a_lock_of_another_host_is_respected_with_a_way_out(dead_lock):
    edit(dead_lock, host="node-7")
    with pytest.raises(store.Claimed, match="on host 'node-7'.*cannot be seen from this host.*delete .*claim.json"):
        with store.claim(dead_lock.parent):
            pass
    assert dead_lock.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_lock_that_cannot_be_read_is_respected_with_a_way_out(content, tmp_path):
    (tmp_path / "claim.json").write_text(content)
    with pytest.raises(store.Claimed, match="cannot be read as a lock; delete it if"), store.claim(tmp_path):
        pass


def test_of_many_that_find_a_dead_lock_one_takes_it_over(dead_lock):
    racers = [start(RACER, dead_lock.parent, f"0.{place}") for place in range(1, 5)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outcomes = [racer.stdout.readline().strip() for racer in racers]
    for racer in racers:
        racer.communicate("done\n" if racer.poll() is None else None)
    assert sorted(outcomes) == ["lost", "lost", "lost", "won"]

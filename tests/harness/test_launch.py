"""A command that was started as several processes: its number, and what does not go with that."""

from __future__ import annotations

import pytest
import torch

from harness import launch
from harness.__main__ import main
from harness.errors import UsageError
from harness.options.checks import launch_problems
from harness.options.run import Options
from harness.progress import silent
from harness.sweeps.run import run

WORLD = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.fixture
def second(monkeypatch):
    """This process is the second of two."""
    for name, value in WORLD.items():
        monkeypatch.setenv(name, value)


def problems(**changed: object) -> list[str]:
    return launch_problems(Options(suite="pairs.jsonl", losses=["dpo"], **changed))


def test_a_command_of_its_own_is_the_first_of_one_and_may_do_what_it_likes():
    assert (launch.processes(), launch.rank(), launch.local_rank(), launch.local_processes()) == (1, 0, 0, 1)
    assert problems(workers=2, device="cuda:1") == []


def test_a_world_without_a_rank_is_no_launch(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (launch.processes(), launch.rank()) == (1, 0)


def test_the_launcher_says_which_process_this_is(second, monkeypatch):
    assert (launch.processes(), launch.rank(), launch.local_rank(), launch.local_processes()) == (2, 1, 1, 2)
    monkeypatch.delenv("LOCAL_RANK")
    assert launch.local_rank() == 1
    assert problems() == problems(workers=0, device="cpu") == []


def test_workers_and_a_device_of_their_own_are_refused_together(second):
    workers, device = problems(workers=2, device="cuda:1")
    assert workers == (
        "workers=2 starts processes of its own, but this command was launched as 2 processes that share each cell; "
        "leave workers= out"
    )
    assert device.startswith("device=cuda:1 names one device, but this command was launched as 2 processes")
    assert "allowed: auto, cuda, cpu" in device


def test_more_processes_than_gpus_are_refused(second, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    (problem,) = problems(device="auto")
    assert problem == (
        "2 processes were launched on this machine, which has 1 GPU; launch 1 at most, or add device=cpu"
    )
    assert problems(device="cpu") == []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert problems(device="cuda") == []


@pytest.mark.parametrize("name, word", [("ACCELERATE_USE_FSDP", "--use_fsdp"), ("ACCELERATE_USE_DEEPSPEED", "--use_d")])
def test_a_launcher_that_is_told_to_shard_is_refused(second, monkeypatch, name, word):
    monkeypatch.setenv(name, "true")
    (problem,) = problems()
    assert problem.startswith(f"accelerate launch {word}") and "shard=true" in problem


def test_split_weights_need_several_processes():
    (problem,) = problems(shard=True)
    assert problem.startswith("shard=true splits weights over the processes of a launch, but this command was started")
    assert "start it with torchrun or accelerate launch" in problem


def test_what_needs_whole_weights_is_refused_where_they_are_split(second):
    assert problems(shard=True) == []
    (problem,) = problems(shard=True, tuning="lora", generate=4, save="best")
    assert problem == (
        "shard=true: tuning=lora, generate=, save= needs the whole model in one process; leave it out, or shard= where "
        "the model fits on one device"
    )


def test_a_run_says_all_of_it_at_once_before_anything_is_read(second):
    options = Options(suite="no such file", losses=["dpo"], workers=1, device="cuda:0", devices=2)
    with pytest.raises(UsageError) as raised:
        run(options, silent(), "")
    assert [message.split("=")[0] for message in raised.value.messages] == ["devices", "workers", "device"]


@pytest.mark.parametrize("words", [["plan", "suite=x"], ["list", "losses"], ["nonsense"], ["run", "-h"], ["--help"]])
def test_of_several_processes_the_first_one_answers(second, capsys, words):
    assert main(words) == 0
    assert capsys.readouterr() == ("", "")

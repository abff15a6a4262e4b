"""Settings of an engine that do not fit together are refused, each with what to do."""

from __future__ import annotations

import importlib.util

import pytest

from harness.errors import UsageError
from harness.options.lookup import read_options

WORDS = ["suite=imdb-sentiment", "losses=dpo"]


@pytest.fixture
def ray_is_here(monkeypatch):
    real = importlib.util.find_spec

    def find(name, *more):
        return None if name == "submitit" else name == "ray" or real(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ray.cpus=2", "ray.gpus=1"], ["ray.cpus= is for engine=ray", "ray.gpus= is for engine=ray"]),
        (["engine=ray", "ray.address=nowhere"], ["auto, local or HOST:PORT"]),
        (["engine=ray", "workers=0"], ["workers=0"]),
        (["engine=ray", "checkpoint_steps=5"], ["begins again"]),
        (["engine=ray", "rounds=2"], ["rounds=2 hands weights from cell to cell"]),
        (["engine=ray", "ray.gpus=1", "device=cpu"], ["ray.gpus=1 asks for a GPU that device=cpu leaves idle"]),
        (["engine=ray", "ray.gpus=2"], ["ray.gpus", "<= 1"]),
        (["engine=pbs"], ["engine", "local, ray, slurm"]),
        (["engine=ray", "slurm.hours=2"], ["slurm.hours= is for engine=slurm"]),
        (["engine=slurm", "workers=0"], ["workers=0", "submitit package is missing"]),
        (["engine=slurm", "slurm.gpus=1", "device=cpu"], ["slurm.gpus=1 asks for a GPU that device=cpu leaves idle"]),
    ],
)
def test_what_does_not_fit_is_refused_at_once(words, said, ray_is_here):
    with pytest.raises(UsageError) as caught:
        read_options([*WORDS, *words])
    assert all(text in str(caught.value) for text in said), caught.value


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None)
    with pytest.raises(UsageError, match=r"pip install 'preference-harness\[ray\]'"):
        read_options([*WORDS, "engine=ray"])


def test_what_fits_is_accepted(ray_is_here):
    options, _ = read_options([*WORDS, "engine=ray", "ray.address=10.0.0.1:6379", "ray.gpus=0.5", "ray.memory=2.5"])
    assert (options.ray_gpus, options.ray_memory, options.ray_cpus) == (0.5, 2.5, None)

"""Kept completions: the same question is asked once, another one anew."""

from __future__ import annotations

import pytest

from harness.generation.completions import BLOCK, Generator, kept_completions
from harness.generation.sampler import Sampling

PROMPTS = [(str(n), (10 + n, 20, 30)) for n in range(BLOCK + 3)]


class Loaded:
    """Counts how often the model was asked for."""

    def __init__(self, model) -> None:
        self.model, self.times = model, 0

    def __call__(self):
        self.times += 1
        return self.model


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def ask(model, tokenizer, own_cache):
    def tell(prompts=PROMPTS, weights="w", samples=1, **sampling):
        loaded = Loaded(model)
        generator = Generator(weights, loaded, tokenizer, 1)
        return kept_completions(generator, prompts, Sampling(6, **sampling), samples=samples), loaded.times

    return tell


def test_a_second_call_reads_what_the_first_has_kept(ask):
    (first, loaded), (second, again) = ask(), ask()
    assert first == second and (loaded, again) == (1, 0)
    assert [completion.prompt_id for completion in first] == [name for name, _ in PROMPTS]


@pytest.mark.parametrize("change", [{"weights": "v"}, {"samples": 2}, {"temperature": 0.5}, {"seed": 1}])
def test_whatever_changes_a_completion_asks_again(ask, change):
    ask()
    assert ask(**change)[1] == 1


def test_blocks_are_kept_one_by_one(ask):
    whole, _ = ask()
    part, loaded = ask(PROMPTS[:BLOCK])
    assert part == whole[:BLOCK] and loaded == 0


def test_a_damaged_block_is_sampled_anew(ask, own_cache):
    whole, _ = ask()
    for path in own_cache.rglob("answers/*/*.json"):
        path.write_text(path.read_text()[:-20])
    assert ask() == (whole, 1)

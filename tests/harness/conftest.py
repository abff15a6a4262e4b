"""Shared material: a private cache, the tiny random model, a small file of pairs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

WORDS = "sun moon river stone quiet bright cold green early small glass paper cloud winter summer light".split()


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory):
    """Nothing of the user's cache is read or written, and nothing goes to a hub."""
    before = dict(os.environ)
    os.environ["PREFERENCE_HARNESS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)  # bits are compared, and a tiny model gains nothing from more
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def source(private_cache):
    from harness.models import find

    return find("tiny")


@pytest.fixture
def model(source) -> torch.nn.Module:
    """A fresh tiny llama in fp32."""
    from harness.models import load_policy

    return load_policy(source, "cpu")


@pytest.fixture(scope="session")
def tokenizer(source):
    from harness.models import load_tokenizer

    return load_tokenizer(source)


def sentence(number: int, length: int) -> str:
    """A sentence that depends on its number alone."""
    return " ".join(WORDS[(number * 7 + i * (1 + number % 5)) % len(WORDS)] for i in range(length))


def pair_rows(count: int) -> list[dict[str, str]]:
    """Pairs with a signal: the chosen answer says 'good', the rejected one 'bad'."""
    return [
        {
            "prompt": f"{number}: {sentence(number, 3 + number % 4)}?",
            "chosen": f"good {sentence(number + 1, 2 + number % 5)}",
            "rejected": f"bad {sentence(number + 2, 2 + (number * 3) % 5)}",
        }
        for number in range(count)
    ]


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    """120 pairs: about 84 training, 12 validation and 24 test rows."""
    return write_jsonl(tmp_path / "pairs.jsonl", pair_rows(120))


@pytest.fixture(scope="session")
def rows(tokenizer):
    """24 token rows of unlike lengths."""
    from harness.tokens import make_encoder
    from suites import Message, Pair

    encoder = make_encoder(tokenizer, template="auto", max_tokens=512, overlong="drop")
    pairs = [
        Pair(str(i), (Message("user", r["prompt"]),), r["chosen"], r["rejected"], str(i), "train")
        for i, r in enumerate(pair_rows(24))
    ]
    return list(encoder.encode(pairs).rows)

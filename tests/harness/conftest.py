"""Shared material: a private cache, the tiny random model, a small file of pairs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest
import torch

import losses
import reports
from harness.options.lookup import read_options
from harness.progress import Progress, Silent
from harness.sweeps.run import run
from losses.registry import forget
from results.schema.row import VOLATILE

WORDS = "sun moon river stone quiet bright cold green early small glass paper cloud winter summer light".split()


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory):
    """Nothing of the user's cache is read or written."""
    before = dict(os.environ)
    os.environ["PREFERENCE_HARNESS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    torch.set_num_threads(1)  # bits are compared, and a tiny model gains nothing from more
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def losses_of_the_test_alone():
    """A plug-in's loss or a sum that a test registered is unknown to the next one."""
    before = set(losses.names())
    yield
    for name in set(losses.names()) - before:
        forget(name)


@pytest.fixture(scope="session")
def source(private_cache):
    from harness.model.sources import find

    return find("tiny")


@pytest.fixture
def model(source) -> torch.nn.Module:
    """A fresh tiny llama in fp32."""
    from harness.model.sources import load_policy

    return load_policy(source, "cpu")


@pytest.fixture(scope="session")
def tokenizer(source):
    from harness.model.sources import load_tokenizer

    return load_tokenizer(source)


class Vowels:
    """A reward that counts vowels, which a random model over bytes writes now and then."""

    id = "vowels-1"

    def score(self, prompts, completions):
        return [float(sum(completion.count(vowel) for vowel in "aeiou")) for completion in completions]


def sentence(number: int, length: int) -> str:
    """A sentence that depends on its number alone."""
    return " ".join(WORDS[(number * 7 + i * (1 + number % 5)) % len(WORDS)] for i in range(length))


def pair_rows(count: int) -> list[dict[str, str]]:
    """Pairs with a signal: the chosen completion says 'good', the rejected one 'bad'."""
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
    from harness.data.tokens import make_encoder
    from suites import Message, Pair

    encoder = make_encoder(tokenizer, template="auto", max_tokens=512, overlong="drop")
    pairs = [
        Pair(str(i), (Message("user", r["prompt"]),), r["chosen"], r["rejected"], str(i), "train")
        for i, r in enumerate(pair_rows(24))
    ]
    return list(encoder.encode(pairs).rows)


SMALL = ["model=tiny", "train_pairs=32", "eval_pairs=8", "batch_size=8", "precision=fp32", "device=cpu", "workers=0"]


class Told:
    """One command's exit code and the lines it said on the way."""

    def __init__(self, argv: list[str]) -> None:
        display = Silent()
        options, self.warnings = read_options(argv)
        with Progress(display) as progress:
            self.code = run(options, progress, "python -m harness run " + " ".join(argv))
        self.lines = display.lines

    @property
    def trained(self) -> list[str]:
        """The losses that were trained, in order."""
        return [line.split("] ")[1].split(":")[0].split(" ")[0] for line in self.lines if ": started" in line]


@pytest.fixture
def command(pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`run` on tiny cells. Their report takes longer than all the rest, so it is written where a test reads it."""

    def tell(*argv: str, out: str = "runs", report: bool = False) -> Told:
        given = {word.partition("=")[0] for word in argv}
        common = [w for w in [f"suite={pairs_file}", *SMALL] if w.partition("=")[0] not in given]
        with monkeypatch.context() as patch:
            if not report:
                patch.setattr(reports, "write", lambda *_, **__: {"report.html": "not written"})
            return Told([*common, f"out={tmp_path / out}", *argv])

    return tell


def comparable(runs: pd.DataFrame) -> pd.DataFrame:
    """The columns that must be equal between equal runs, in a fixed order of cells."""
    kept = [name for name in runs.columns if name not in VOLATILE and name != "files"]
    return runs[kept].sort_values("cell").reset_index(drop=True)

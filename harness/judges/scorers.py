"""What rates sampled completions, so that pairs can be made of them: one function of prompts and completions, by name.

gold          the suite's own reward (gold:SUITE names another suite's)
implicit:CELL the implicit reward of a trained cell: log-prob of the completion under its policy minus under its
              reference (arXiv:2305.18290, section 4), in nats, without beta
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.tokens import Encoder, make_encoder
from harness.errors import UsageError
from harness.model.layout import Item
from harness.model.logprobs import Scorer
from harness.model.policy import load_trained
from harness.model.reference import measure
from harness.model.sources import Source, find, load_policy, load_tokenizer
from results.cells import store
from suites import Example, SuiteError, rewards
from suites.sampled import Prompt


@dataclass(frozen=True)
class CompletionScorer:
    """id names everything that decides the scores; score: prompts [N] and completions [N] -> numbers [N], higher is
    better."""

    id: str
    score: Callable[[Sequence[Prompt], Sequence[str]], list[float]]


def make_scorer(spec: str, suite: str | None, device: str) -> CompletionScorer:
    """The scorer of a name; `suite` is the one whose prompts are completed, None for a file of prompts.

    Raises: UsageError for a name that is not known, or that cannot be had.
    """
    kind, _, argument = spec.partition(":")
    if kind == "gold":
        return _gold(argument or suite or "")
    if kind == "implicit" and argument:
        return _implicit(Path(argument).expanduser(), device)
    raise UsageError([f"score={spec}: not known; write gold, gold:SUITE, or implicit:CELL (a trained cell's folder)"])


def _gold(name: str) -> CompletionScorer:
    try:
        reward = rewards.get(name)
    except SuiteError as error:
        raise UsageError([f"score: {error}"]) from None
    return CompletionScorer(
        f"gold:{reward.id}", lambda prompts, completions: reward.score([p.text for p in prompts], completions)
    )


def _implicit(cell: Path, device: str) -> CompletionScorer:
    """The implicit reward of a cell whose model was saved."""
    if not store.is_done(cell) or not (cell / store.MODEL).is_dir():
        raise UsageError(
            [
                f"score=implicit:{cell}: no finished cell with its model lies there; train it with save=all, and name "
                "its folder, runs/SUITE/LOSS-ID"
            ]
        )
    row, identity = store.read_row(cell), json.loads((cell / "cell.json").read_text(encoding="utf-8"))
    if row["start"] != "model":
        raise UsageError([f"score=implicit:{cell}: it began at start={row['start']}, whose weights are not kept"])
    source = find(row["model"])
    if source.digest != identity["model"]:
        raise UsageError([f"score=implicit:{cell}: its reference was another model than {row['model']} is now"])
    encoder = make_encoder(
        load_tokenizer(source), template=row["template"], max_tokens=row["max_tokens"], overlong="truncate"
    )
    return CompletionScorer(f"implicit:{row['cell']}", _LogRatio(source, cell / store.MODEL, device, encoder))


@dataclass
class _LogRatio:
    """Summed log-prob of each completion under a saved policy minus under its reference; loaded at the first call."""

    source: Source
    saved: Path
    device: str
    encoder: Encoder
    models: tuple[Any, Any] | None = None

    def __call__(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[float]:
        # An empty completion makes no row and no pair either, so any text can stand in for it here.
        rows = [
            Example(str(n), prompt.messages, completion or ".", True, prompt.cluster, prompt.split)
            for n, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
        ]
        items = [Item(row.prompt, row.completions) for row in self.encoder.encode(rows).rows]
        self.models = self.models or (
            load_trained(self.saved, self.source, self.device),
            load_policy(self.source, self.device),
        )
        ours, theirs = (self._sums(model, items) for model in self.models)
        return [a - b for a, b in zip(ours, theirs, strict=True)]

    def _sums(self, model: Any, items: Sequence[Item]) -> list[float]:
        scores = measure(Scorer(model, "fp32"), items, layout="plain", pad=self.encoder.end_of_turn)
        return [completions[0].double().sum().item() for completions in scores]

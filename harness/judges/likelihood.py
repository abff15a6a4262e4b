"""Log-probs of completions under local causal language models, as judges.

`logprob:MODEL` prefers the completion with the higher mean log-prob a token. The completion's own log-prob is used and
not that of a verdict letter: it needs no model that follows instructions, is symmetric, and a completion cannot talk to
it. It measures what MODEL would have said, so it favours MODEL's own style. The mean and not the sum: a sum prefers the
shorter completion whatever it says.

`implicit:CELL` prefers the completion with the higher implicit reward of a cell trained here with save=: policy minus
reference log-prob, summed (arXiv:2305.18290 eq. 5; its factor beta changes no preference).

A prompt is one user turn (a conversation of several turns arrives here as a transcript), tokenised as in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness.data.tokens import Encoder, item_of, make_encoder
from harness.errors import UsageError
from harness.judges.protocol import JudgeError
from harness.judges.scored import ScoreJudge
from harness.model.layout import Item
from harness.model.logprobs import Scorer
from harness.model.policy import load_trained
from harness.model.reference import measure
from harness.model.sources import Source, find, load_policy, load_tokenizer
from harness.options.judges import JudgeSettings
from results.cells import store
from suites import Example, Message


@dataclass(frozen=True)
class Likelihood:
    """A model with its tokenisation: prompts [N] and completions [N] -> log-probs of each one's tokens, in nats."""

    model: nn.Module
    encoder: Encoder

    def logps(self, prompts: Sequence[str], completions: Sequence[str]) -> list[Tensor | None]:
        """For each completion [tokens] nats in fp32, its end of turn included; None for an empty completion."""
        items: list[Item] = []
        places: list[int] = []
        for place, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            if completion.strip():
                row = Example(str(place), (Message("user", prompt),), completion, True, "", "test")
                items.append(item_of(self.encoder.encode([row]).rows[0]))
                places.append(place)
        pad = self.encoder.tokenizer.pad_token_id
        pad = self.encoder.end_of_turn if pad is None else pad
        found: list[Tensor | None] = [None] * len(completions)
        scores = measure(Scorer(self.model), items, layout="plain", pad=pad) if items else []
        for place, (logps,) in zip(places, scores, strict=True):
            found[place] = logps.double()
        return found


def logprob_judge(name: str, settings: JudgeSettings) -> ScoreJudge:
    """Prefers the completion with the higher mean log-prob a token under a model; an empty completion has no score.

    Raises: UsageError for a model that is not there.
    """
    source = find(name)
    likelihood = Likelihood(load_policy(source, settings.device), _encoder(source, settings, "auto"))

    def score(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        found = likelihood.logps(prompts, completions)
        return [float("nan") if logps is None else logps.mean().item() for logps in found]

    return ScoreJudge(f"logprob:{name}@{source.digest[:12]}-{settings.max_tokens}", score)


def implicit_judge(place: str, settings: JudgeSettings) -> ScoreJudge:
    """Prefers the completion with the higher implicit reward of a trained cell; an empty completion has no score.

    Raises: JudgeError for a folder that is no finished cell with a saved model, or whose reference is not at hand.
    """
    folder = Path(place).expanduser()
    row, reference_source = _cell(folder)
    encoder = _encoder(reference_source, settings, str(row["template"]))
    reference = Likelihood(load_policy(reference_source, settings.device), encoder)
    policy = Likelihood(load_trained(folder / store.MODEL, reference_source, settings.device), encoder)

    def score(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        pairs = zip(policy.logps(prompts, completions), reference.logps(prompts, completions), strict=True)
        return [float("nan") if p is None or r is None else (p.sum() - r.sum()).item() for p, r in pairs]

    return ScoreJudge(f"implicit:{row['loss']}-{row['cell']}-{settings.max_tokens}", score)


def _cell(folder: Path) -> tuple[dict[str, Any], Source]:
    """The row of a trained cell, and the model that it was trained from."""
    if not store.is_done(folder):
        raise JudgeError(f"judge implicit:{folder}: no finished cell lies there; name a folder runs/SUITE/LOSS-CELL")
    row = store.read_row(folder)
    if not (folder / store.MODEL).is_dir():
        raise JudgeError(f"judge implicit:{folder}: the cell keeps no trained model; run its command with save=all")
    if row.get("start", "model") != "model":
        raise JudgeError(
            f"judge implicit:{folder}: the cell began at start={row['start']}, and those weights are not "
            "kept with it; train one with start=model"
        )
    try:
        source = find(str(row["model"]))
        if source.revision != row["model_revision"]:
            source = find(str(row["model"]), str(row["model_revision"]))
    except UsageError as error:
        raise JudgeError(f"judge implicit:{folder}: {error}") from None
    if source.revision != row["model_revision"]:
        raise JudgeError(
            f"judge implicit:{folder}: model {row['model']} is now {source.revision}, but the cell was "
            f"trained from {row['model_revision']}; put that one back"
        )
    return row, source


def _encoder(source: Source, settings: JudgeSettings, template: str) -> Encoder:
    tokenizer = load_tokenizer(source)
    return make_encoder(tokenizer, template=template, max_tokens=settings.max_tokens, overlong="truncate")

"""How later rounds sample their training pairs: prompts, sampling, labels; and the reference of a round."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import losses
from harness.data.dataset import Data
from harness.data.perturbations import Perturbations
from harness.data.tokens import Encoder
from harness.digests import digest
from harness.errors import UsageError
from harness.experiment.trial import Trial
from harness.generation.completions import SAMPLING
from harness.generation.sampler import Sampling, TokenPrompt
from harness.judges.scorers import make_scorer
from harness.options.run import Options
from suites import Kind
from suites.sampled import Label, Prompt

ROOM = 1.25  # prompts a training pair: some completions are cut at the limit, alike, or rated alike


COMPLETIONS = 4  # to each prompt, where the suite does not say


@dataclass(frozen=True)
class RolloutConfig:
    """How the policy's completions are sampled in later rounds, and how they become pairs.

    prompts: all that a round may draw from. scorer: the id of what rates completions.
    """

    prompts: tuple[Prompt, ...]
    sampling: Sampling
    samples: int
    label: Label
    label_seed: int
    scorer: str

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What decides a round's pairs besides the policy, the seed and the number of the round."""
        texts = [[p.id, [[m.role, m.content] for m in p.messages]] for p in self.prompts]
        return {
            "version": SAMPLING,
            "prompts": digest(texts, length=64),
            "samples": self.samples,
            "room": ROOM,
            "sampling": asdict(self.sampling),
            "label": self.label,
            "label_seed": self.label_seed,
            "scorer": self.scorer,
        }


def rollout_config(options: Options, data: Data) -> RolloutConfig:
    """The rollouts of later rounds, from the training prompts, each once. Raises: UsageError, SuiteError."""
    sampled = data.sampled
    limit = sampled.max_new_tokens if sampled else data.max_new_tokens
    return RolloutConfig(
        prompts=_training_prompts(data),
        sampling=Sampling(limit, sentence=data.sentence),
        samples=sampled.samples if sampled else COMPLETIONS,
        label=sampled.label if sampled else "deterministic",
        label_seed=sampled.label_seed if sampled else 0,
        scorer=make_scorer(options.score, reward_of(data), "cpu").id,
    )


def _training_prompts(data: Data) -> tuple[Prompt, ...]:
    if data.sampled:
        return tuple(prompt for prompt in data.sampled.prompts if prompt.split == "train")
    found = {row.prompt: Prompt(row.id, row.prompt, row.cluster, row.split) for row in data.texts(data.pool)}
    return tuple(found.values())


def reward_of(data: Data) -> str | None:
    """The known reward that rates new completions; None where the suite has none."""
    return data.sampled.reward if data.sampled else data.reward


def check_score(options: Options) -> None:
    """Refuses a scorer that cannot be had, before a first completion is sampled. Raises: UsageError."""
    if options.rounds > 1 and options.score != "gold":
        make_scorer(options.score, None, "cpu")


def check_rounds(options: Options, data: Data) -> None:
    """Refuses what cannot be sampled again, before anything is trained. Raises: UsageError with every reason."""
    if options.rounds == 1:
        return
    asked = f"rounds={options.rounds}"
    problems = []
    if data.suite.kind is Kind.EXAMPLES:
        problems.append(
            f"{asked} makes pairs of sampled completions, and this suite holds single rated completions; drop it"
        )
    if data.shares is not None:
        problems.append(f"{asked}: later rounds keep no shares of a mixture; name one suite")
    if options.score == "gold" and reward_of(data) is None:
        problems.append(
            f"{asked}: suite {data.suite.name!r} has no known reward to rate new completions with; write "
            "score=gold:SUITE (imdb-sentiment has one) or score=implicit:CELL"
        )
    elif not problems:
        rollout = rollout_config(options, data)
        if not any(_fitting(rollout, 0, data.encoder)):
            problems.append(
                f"{asked}: no training prompt leaves room for {rollout.sampling.max_new_tokens} new tokens within "
                f"{data.encoder.max_tokens}; raise max_tokens, or lower max_new_tokens"
            )
    if problems:
        raise UsageError(problems)


def describe_rounds(options: Options, data: Data) -> str:
    """A sentence on what the later rounds do; empty for one round."""
    if options.rounds == 1:
        return ""
    rollout = rollout_config(options, data)
    counts = " or ".join(str(prompts_of_round(count)) for count in options.train_pairs)
    return (
        f"rounds 2 to {options.rounds}: each cell's own policy answers {counts} of {len(rollout.prompts)} training "
        f"prompts {rollout.samples} times, rated by {rollout.scorer}; from then on the losses share prompts and "
        "held-out rows, not training rows"
    )


def prompts_of_round(train_pairs: int) -> int:
    """Prompts of one round."""
    return math.ceil(ROOM * train_pairs)


def round_tokens(data: Data, perturbations: Perturbations) -> int:
    """The most tokens that a round's completions have."""
    samples, limit = COMPLETIONS, data.max_new_tokens
    if data.sampled:
        samples, limit = data.sampled.samples, data.sampled.max_new_tokens
    return prompts_of_round(perturbations.train_pairs) * samples * limit


def reference_of(trial: Trial, options: Options) -> str | None:
    """What a later round trains against; None in the first, and for a loss that looks at no reference."""
    if trial.round == 1 or not {"reference", "mismatched"} & losses.get(trial.loss).needs:
        return None
    return options.reference


class _Question(NamedTuple):
    prompt: Prompt
    ids: tuple[int, ...]

    @property
    def token_prompt(self) -> TokenPrompt:
        return self.prompt.id, self.ids


def questions_of(rollout: RolloutConfig, trial: Trial, encoder: Encoder) -> list[_Question]:
    """The prompts of a round, the same for every loss: the next stretch of one order, a seed's own, which begins again
    where it ends."""
    count = prompts_of_round(trial.perturbations.train_pairs)
    reached = (trial.round - 1) * count
    fitting = list(islice(_fitting(rollout, trial.seed, encoder), reached))
    first = reached - count
    return [fitting[(first + place) % len(fitting)] for place in range(min(count, len(fitting)))]


def _fitting(rollout: RolloutConfig, seed: int, encoder: Encoder) -> Iterator[_Question]:
    """The prompts that leave room for a completion, in the order of a seed."""
    for prompt in sorted(rollout.prompts, key=lambda p: hashlib.sha256(f"round/{seed}/{p.id}".encode()).digest()):
        ids = encoder.prompt_ids(prompt.messages)
        if len(ids) + rollout.sampling.max_new_tokens <= encoder.max_tokens:
            yield _Question(prompt, ids)

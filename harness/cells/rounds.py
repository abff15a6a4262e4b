"""Rounds of sampling and training: from the second on, a cell learns from completions of its own policy.

Round 1 is the ordinary cell. A later round begins with the weights of the round before: that policy completes training
prompts, a scorer rates the completions, the best and the worst make a pair, and the cell trains on these pairs with a
fresh optimizer and schedule (iterative DPO, arXiv:2312.16682). Every loss is asked the same prompts in a round, equally
often and with the same random numbers; the pairs differ, because the policies do. Evaluation rows, and the reference
that metrics are measured against, are the first round's throughout; `reference=previous` trains against the weights
that the round began with (a hard update of the reference, arXiv:2404.09656), `first` against the starting weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cache import remembered_sha256
from harness.cells.places import Places
from harness.data.dataset import Data
from harness.digests import digest
from harness.errors import TooFewPairs
from harness.experiment.rounds import questions_of, reward_of
from harness.experiment.trial import Trial
from harness.generation.completions import Generator, kept_completions
from harness.generation.suites import labelled
from harness.judges.scorers import make_scorer
from results.cells.frames import read_parquet
from results.schema.row import PAIR_COLUMNS
from suites import Kind, SuiteError
from suites.reading.cleaning import Tally, finish

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.training.loaded_model import LoadedModel


@dataclass(frozen=True)
class Before:
    """What the round before left: the places of its cell, and the weights that it ended with."""

    places: Places
    weights: Path

    def table(self) -> DataFrame:
        """Its last evaluation, which is this round's evaluation before the first update: the same rows and weights."""
        pairs = read_parquet(self.places.pairs, PAIR_COLUMNS, "pair")
        last: DataFrame = pairs[pairs["step"] == pairs["step"].max()].assign(step=0)
        return last


def collect(loaded: LoadedModel, trial: Trial, weights: Path) -> Data:
    """The rows of a later round: the data of the command with the pairs of the policy in `weights` to train on.

    Raises: TooFewPairs.
    """
    data, identity, rollout = loaded.data, loaded.identity, loaded.identity.rollout
    questions = questions_of(rollout, trial, data.encoder)
    # Numbers of its own for each round and seed; all losses draw from the same.
    sampling = replace(rollout.sampling, seed=int(digest(["round", trial.round, trial.seed])[:7], 16))
    generator = Generator(
        digest([identity.weights, *_digests(weights)], length=64),
        lambda: loaded.policy.load(weights),
        loaded.tokenizer,
        data.encoder.end_of_turn,
        loaded.machine.precision,
    )
    with loaded.progress.stage(f"{trial.label}: completions to learn from", len(questions)) as stage:
        written = kept_completions(
            generator, [q.token_prompt for q in questions], sampling, samples=rollout.samples, advance=stage.advance
        )
    prompts = [question.prompt for question in questions]
    scorer = make_scorer(loaded.options.score, reward_of(data), loaded.machine.device)
    scores = scorer.score([p for p in prompts for _ in range(rollout.samples)], [one.text for one in written])
    tally = Tally()
    drafts = list(labelled(prompts, written, scores, rollout.label, rollout.label_seed, tally))
    found = _trained_on(data, drafts, tally, trial)
    count, perturbations = found.count(trial.perturbations), trial.perturbations
    if count < loaded.options.batch_size:
        raise TooFewPairs(
            f"round {trial.round}: {len(prompts)} prompts made {count} training pairs, too few for a batch of "
            f"{loaded.options.batch_size} (dropped: {tally.words() or 'none'})"
        )
    if count < data.count(perturbations):
        loaded.progress.note(
            f"{trial.label}: {count} training pairs in place of {data.count(perturbations)} (dropped: {tally.words()})"
        )
    loaded.check_longest(found.pool)
    return found


def _trained_on(data: Data, drafts: Iterable[Any], tally: Tally, trial: Trial) -> Data:
    try:
        suite = finish(
            drafts,
            tally,
            name=data.suite.name,
            kind=Kind.PAIRS,
            source=f"answers of {replace(trial, round=trial.round - 1).label}",
            revision=data.suite.revision,
        )
    except SuiteError as error:
        raise TooFewPairs(f"round {trial.round}: {error}") from None
    encoded = data.encoder.encode(suite.rows)
    return replace(data, suite=suite, pool=encoded.rows, dropped={**suite.dropped, **encoded.dropped})


def _digests(weights: Path) -> list[str]:
    return [remembered_sha256(path) for path in sorted(weights.glob("*.safetensors"))]

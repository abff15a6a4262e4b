"""Reranking: each policy chooses among completions of the reference, which draws and scores them once for all cells.

What a cell adds is its own log-probs of those completions; they lie in `reranked.jsonl` beside its row, and a judge
reads them there (reranked_judging.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.dataset import Data
from harness.digests import digest
from harness.evaluation.completions import (
    Question,
    completion_table,
    generation_id,
    questions,
    reference_generator,
    reward_of,
    sampling_of,
)
from harness.evaluation.finished import Addition
from harness.evaluation.measurements import measurement
from harness.generation.completions import kept_completions
from harness.generation.sampler import Completion
from harness.model.layout import Item
from harness.model.logprobs import Scorer
from harness.model.reference import measure
from harness.options.run import Options
from results.cells.store import RERANKED
from results.metrics import answers as generations
from results.metrics import best_of_n

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.training.loaded_model import LoadedModel


def reranking_id(options: Options, data: Data) -> str | None:
    """The name of the completions that are reranked and how they are drawn; None where none are."""
    if not options.rerank:
        return None
    return digest(["rerank", generation_id(options, data), options.rerank])


@measurement(column="reranking", option="rerank", needs="policy", wanted=reranking_id)
class Reranking:
    """Scores the reference's completions with the policies of one loaded model."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._questions: tuple[Question, ...] = questions(loaded.options, loaded.data)

    def ask(self, model: Any) -> list[float]:
        """The log-prob of every drawn completion under a trained policy, in nats; its weights are left alone."""
        return self._log_probs(model, self._drawn)

    def measure(self, logps: Sequence[float]) -> Addition:
        """Columns and files from a policy's log-probs."""
        return self._numbers(self._reference.assign(logp=list(logps)))

    def measure_reference(self) -> Addition:
        """The same of the untrained baseline, to which all completions are equal."""
        return self._numbers(self._reference)

    def recompute(self, folder: Path) -> Addition:
        """The same of a cell that holds its log-probs. Raises: OSError, ValueError where they cannot be read."""
        return self._numbers(generations.from_json_lines((folder / RERANKED).read_bytes()))

    def prepare(self) -> None:
        """Draws the completions, before a policy's weights take the place of the reference's."""
        _ = self._reference

    def _numbers(self, completions: DataFrame) -> Addition:
        lengths = np.array([len(question.ids) for question in self._questions], dtype=np.float64)
        found = best_of_n.measure(completions, lengths, prompt_once=self._loaded.layout != "plain")
        return Addition(found, {RERANKED: generations.json_lines(completions)})

    @cached_property
    def _drawn(self) -> list[Completion]:
        """The reference's completions, those to a prompt side by side."""
        loaded = self._loaded
        prompts = [(question.id, question.ids) for question in self._questions]
        count = loaded.options.rerank
        with loaded.progress.stage(f"the reference draws {count} completions of each prompt", len(prompts)) as stage:
            return kept_completions(
                reference_generator(loaded),
                prompts,
                sampling_of(loaded.options, loaded.data),
                samples=count,
                advance=stage.advance,
            )

    @cached_property
    def _reference(self) -> DataFrame:
        """The drawn completions as scored by the reference alone."""
        loaded = self._loaded
        loaded.policy.end()
        drawn = self._drawn
        logps = self._log_probs(loaded.policy.base, drawn)
        asked = [question for question in self._questions for _ in range(loaded.options.rerank)]
        # Measured in one way under policy and reference, so that an untrained policy prefers nothing.
        return completion_table(asked, drawn, logps, reward_of(loaded.data)).assign(logp=logps)

    def _log_probs(self, model: Any, drawn: Sequence[Completion]) -> list[float]:
        """Nats of each completion; all completions of a prompt are one item, so that the prompt is read once."""
        n = self._loaded.options.rerank
        items = [
            Item(question.ids, tuple(completion.tokens for completion in drawn[place * n : place * n + n]))
            for place, question in enumerate(self._questions)
        ]
        scores = measure(Scorer(model, "fp32"), items, layout=self._loaded.layout, pad=self._loaded.pad)
        return [completion.double().sum().item() for item in scores for completion in item]

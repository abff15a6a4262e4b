"""Reranking: each policy chooses among answers of the reference, which are drawn and scored by it once for all cells.

What a cell adds is its own log-probs of those answers; they lie in `reranked.jsonl` beside its row, and a judge reads
them there (reranked_judging.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.dataset import Data
from harness.digests import digest
from harness.evaluation.answers import (
    Question,
    answer_table,
    generation_id,
    questions,
    reference_author,
    reward_of,
    sampling_of,
)
from harness.evaluation.finished import Addition
from harness.evaluation.measurements import measurement
from harness.generation.completions import kept_answers
from harness.generation.sampler import Generation
from harness.model.layout import Item
from harness.model.logprobs import Scorer
from harness.model.reference import measure
from harness.options.run import Options
from results.cells.store import RERANKED
from results.metrics import answers as generations
from results.metrics import best_of_n

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.training.loaded_model import Bench


def reranking_id(options: Options, data: Data) -> str | None:
    """The name of the answers that are reranked and how they are drawn; None where none are."""
    if not options.rerank:
        return None
    return digest(["rerank", generation_id(options, data), options.rerank])


@measurement(column="reranking", option="rerank", needs="policy", wanted=reranking_id)
class Reranking:
    """Scores the reference's answers with the models of one bench."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._questions: tuple[Question, ...] = questions(bench.options, bench.data)

    def ask(self, model: Any) -> list[float]:
        """The log-prob of every drawn answer under a trained policy, in nats; its weights are left alone."""
        return self._log_probs(model, self._drawn)

    def measure(self, logps: Sequence[float]) -> Addition:
        """Columns and files from a policy's log-probs."""
        return self._numbers(self._reference.assign(logp=list(logps)))

    def measure_reference(self) -> Addition:
        """The same of the untrained control, to which all answers are equal."""
        return self._numbers(self._reference)

    def again(self, folder: Path) -> Addition:
        """The same of a cell that holds its log-probs. Raises: OSError, ValueError where they cannot be read."""
        return self._numbers(generations.from_json_lines((folder / RERANKED).read_bytes()))

    def prepare(self) -> None:
        """Draws the answers, before a policy's weights take the place of the reference's."""
        _ = self._reference

    def _numbers(self, answers: DataFrame) -> Addition:
        lengths = np.array([len(question.ids) for question in self._questions], dtype=np.float64)
        found = best_of_n.measure(answers, lengths, prompt_once=self._bench.layout != "plain")
        return Addition(found, {RERANKED: generations.json_lines(answers)})

    @cached_property
    def _drawn(self) -> list[Generation]:
        """The reference's answers, those to a prompt side by side."""
        bench = self._bench
        prompts = [(question.id, question.ids) for question in self._questions]
        count = bench.options.rerank
        with bench.progress.stage(f"the reference draws {count} answers to each prompt", len(prompts)) as stage:
            return kept_answers(
                reference_author(bench),
                prompts,
                sampling_of(bench.options, bench.data),
                samples=count,
                advance=stage.advance,
            )

    @cached_property
    def _reference(self) -> DataFrame:
        """The drawn answers as scored by the reference alone."""
        bench = self._bench
        bench.policy.end()
        drawn = self._drawn
        logps = self._log_probs(bench.policy.base, drawn)
        asked = [question for question in self._questions for _ in range(bench.options.rerank)]
        # Measured in one way under policy and reference, so that an untrained policy prefers nothing.
        return answer_table(asked, drawn, logps, reward_of(bench.data)).assign(logp=logps)

    def _log_probs(self, model: Any, drawn: Sequence[Generation]) -> list[float]:
        """Nats of each answer; all answers to a prompt are one item, so that the prompt is read once."""
        n = self._bench.options.rerank
        items = [
            Item(question.ids, tuple(answer.tokens for answer in drawn[place * n : place * n + n]))
            for place, question in enumerate(self._questions)
        ]
        scores = measure(Scorer(model, "fp32"), items, layout=self._bench.layout, pad=self._bench.pad)
        return [answer.double().sum().item() for item in scores for answer in item]

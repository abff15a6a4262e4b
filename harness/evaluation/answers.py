"""What cells and their reference answer after training, and the numbers that follow from it.

The reference answers once for a sweep, and its answers are kept (answers.py). A cell answers the same prompts
with the same random numbers; its answers lie in `generations.jsonl` beside its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.compute import ranks
from harness.data.dataset import Data
from harness.digests import digest
from harness.errors import UsageError
from harness.evaluation.finished import Addition
from harness.evaluation.measurements import measurement
from harness.generation.completions import BLOCK, SAMPLING, Author, kept_answers
from harness.generation.sampler import Generation, Sampling, generate
from harness.model.layout import Item
from harness.model.logprobs import Scorer
from harness.model.reference import measure
from harness.options.run import Options
from results.cells.store import GENERATIONS
from results.metrics import answers as generations
from suites import SuiteError, rewards
from suites.prompts import load_prompts

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.training.loaded_model import Bench


# Apart from the numbers with which a sampled suite's answers were drawn.
SEED = 1


@dataclass(frozen=True)
class Question:
    """One prompt that is answered after training: its text as a reward reads it, and its token ids."""

    id: str
    cluster: str
    text: str
    ids: tuple[int, ...]


def sampling_of(options: Options, data: Data) -> Sampling:
    """How answers are drawn after training."""
    return Sampling(data.max_new_tokens, options.temperature, options.top_p, SEED, data.sentence)


def questions(options: Options, data: Data) -> tuple[Question, ...]:
    """The first `generate` different prompts of the test rows, or of the file `prompts=`.

    Raises: UsageError where there are fewer, one is too long, or a gold judge has no reward to judge by.
    """
    if not options.generate:
        return ()
    problems = []
    if "gold" in options.judge and data.reward is None:
        known = ", ".join(rewards.names())
        problems.append(f"judge=gold: suite {data.suite.name!r} has no gold reward; suites that have one: {known}")
    asked = _from_file(options, data) if options.prompts else _from_test_rows(data)
    if len(asked) < options.generate:
        more = "give a longer file" if options.prompts else "raise eval_pairs"
        problems.append(f"generate={options.generate}: there are {len(asked)} prompts; {more}, or ask for as many")
    limit = data.encoder.max_tokens
    long = [question for question in asked[: options.generate] if len(question.ids) >= limit]
    if long:
        problems.append(
            f"prompts: {long[0].id} has {len(long[0].ids)} tokens, and max_tokens={limit} leaves no room for an "
            "answer; raise max_tokens, or take it out"
        )
    if problems:
        raise UsageError(problems)
    return tuple(asked[: options.generate])


def _from_test_rows(data: Data) -> list[Question]:
    found: dict[tuple[int, ...], Question] = {}
    for row in data.test:
        found.setdefault(tuple(row.prompt), Question(row.id, row.cluster, data.prompt_text(row), tuple(row.prompt)))
    return list(found.values())


def _from_file(options: Options, data: Data) -> list[Question]:
    try:
        prompts = load_prompts(options.prompts)
    except SuiteError as error:
        raise UsageError([f"prompts: {error}"]) from None
    return [Question(p.id, p.cluster, p.text, data.encoder.prompt_ids(p.messages)) for p in prompts]


def generation_id(options: Options, data: Data) -> str | None:
    """The name of what is asked and how: a finished cell that holds another was asked something else."""
    if not options.generate:
        return None
    asked = [[question.id, question.ids] for question in questions(options, data)]
    return digest([SAMPLING, asked, asdict(sampling_of(options, data)), data.encoder.end_of_turn, data.reward])


@measurement(column="generation", option="generate", needs="policy", wanted=generation_id)
class Answering:
    """Asks the models of one bench; what the reference says is asked for once."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._questions = questions(bench.options, bench.data)
        self._sampling = sampling_of(bench.options, bench.data)

    def prepare(self) -> None:
        """Nothing: the reference answers when it is asked for, and its own answers need no policy."""

    def ask(self, model: Any) -> list[Generation]:
        """What a trained policy answers; its weights are left alone."""
        bench, prompts = self._bench, self._prompts
        blocks = ranks.dealt(
            [prompts[start : start + BLOCK] for start in range(0, len(prompts), BLOCK)],
            lambda block: generate(
                model, block, self._sampling, tokenizer=bench.tokenizer, end_of_turn=bench.data.encoder.end_of_turn
            ),
        )
        return [answer for block in blocks for answer in block]

    def measure(self, answers: Sequence[Generation]) -> Addition:
        """Columns and files of a policy's answers; the reference scores them, so the policy's weights go."""
        self._bench.policy.end()
        return self._numbers(self._table(answers, self._reference_logps(answers)))

    def measure_reference(self) -> Addition:
        """The same of the untrained control, whose answers are the reference's."""
        return self._numbers(self.reference)

    def again(self, folder: Path) -> Addition:
        """The same of a cell that holds its answers. Raises: OSError, ValueError where they cannot be read."""
        return self._numbers(read_answers(folder))

    def _numbers(self, policy: DataFrame) -> Addition:
        """Columns and files of a table of answers."""
        columns = generations.measure(policy, self.reference, exact=self._sampling.exact)
        return Addition(columns, {GENERATIONS: generations.json_lines(policy)})

    @cached_property
    def reference(self) -> DataFrame:
        """The reference's answers, one row each."""
        bench = self._bench
        bench.policy.end()
        with bench.progress.stage("the reference answers the prompts of the test", len(self._questions)) as stage:
            answers = kept_answers(reference_author(bench), self._prompts, self._sampling, advance=stage.advance)
        return self._table(answers, [answer.logp for answer in answers])

    def _reference_logps(self, answers: Sequence[Generation]) -> list[float]:
        """Nats of a policy's answers under the reference. The policy's own are those it was drawn with, in fp32 too:
        rows laid out in another way move an answer by less than 1e-4 nats."""
        bench = self._bench
        items = [Item(q.ids, (a.tokens,)) for q, a in zip(self._questions, answers, strict=True)]
        scores = measure(Scorer(bench.policy.base, "fp32"), items, layout=bench.layout, pad=bench.pad)
        return [score[0].double().sum().item() for score in scores]

    @property
    def _prompts(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(question.id, question.ids) for question in self._questions]

    def _table(self, answers: Sequence[Generation], reference_logps: Sequence[float]) -> DataFrame:
        return answer_table(self._questions, answers, reference_logps, reward_of(self._bench.data))


def reference_author(bench: Bench) -> Author:
    """The reference as one that answers, while the bench holds its weights."""
    return Author(bench.identity.weights, lambda: bench.policy.base, bench.tokenizer, bench.data.encoder.end_of_turn)


def reward_of(data: Data) -> rewards.Reward | None:
    """The gold reward of the suite; None where it has none."""
    return rewards.get(data.reward) if data.reward else None


def answer_table(
    asked: Sequence[Question],
    answers: Sequence[Generation],
    reference_logps: Sequence[float],
    reward: rewards.Reward | None,
) -> DataFrame:
    """Columns of GENERATION_COLUMNS, one row an answer, with the question that each answers."""
    import pandas as pd

    frame = pd.DataFrame(
        [
            {
                "prompt_id": question.id,
                "cluster_id": question.cluster,
                "sample": answer.sample,
                "prompt": question.text,
                "answer": answer.text,
                "tokens": len(answer.tokens),
                "truncated": answer.truncated,
                "logp": answer.logp,
                "reference_logp": reference_logp,
            }
            for question, answer, reference_logp in zip(asked, answers, reference_logps, strict=True)
        ]
    )
    if reward is not None:
        frame["gold_reward"] = reward.score(list(frame["prompt"]), list(frame["answer"]))
    return frame


def read_answers(folder: Path) -> DataFrame:
    """The answers that a cell holds. Raises: OSError or ValueError where there are none that can be read."""
    return generations.from_json_lines((folder / GENERATIONS).read_bytes())

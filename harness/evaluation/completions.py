"""What cells and their reference completion after training, and the numbers that follow from it.

The reference completes the prompts once for a sweep, and its completions are kept (generation/completions.py). A cell
completes the same prompts with the same random numbers; its completions lie in `generations.jsonl` beside its row.
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
from harness.generation.completions import BLOCK, SAMPLING, Generator, kept_completions
from harness.generation.sampler import Completion, Sampling, generate
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

    from harness.training.loaded_model import LoadedModel


# Apart from the numbers with which a sampled suite's completions were drawn.
SEED = 1


@dataclass(frozen=True)
class Question:
    """One prompt that is completed after training: its text as a reward reads it, and its token ids."""

    id: str
    cluster: str
    text: str
    ids: tuple[int, ...]


def sampling_of(options: Options, data: Data) -> Sampling:
    """How completions are drawn after training."""
    return Sampling(data.max_new_tokens, options.temperature, options.top_p, SEED, data.sentence)


def questions(options: Options, data: Data) -> tuple[Question, ...]:
    """The first `generate` different prompts of the test rows, or of the file `prompts=`.

    Raises: UsageError where there are fewer, one is too long, or the judge gold has no reward to judge by.
    """
    if not options.generate:
        return ()
    problems = []
    if "gold" in options.judge and data.reward is None:
        known = ", ".join(rewards.names())
        problems.append(f"judge=gold: suite {data.suite.name!r} has no known reward; suites that have one: {known}")
    asked = _from_file(options, data) if options.prompts else _from_test_rows(data)
    if len(asked) < options.generate:
        more = "give a longer file" if options.prompts else "raise eval_pairs"
        problems.append(f"generate={options.generate}: there are {len(asked)} prompts; {more}, or ask for as many")
    limit = data.encoder.max_tokens
    long = [question for question in asked[: options.generate] if len(question.ids) >= limit]
    if long:
        problems.append(
            f"prompts: {long[0].id} has {len(long[0].ids)} tokens, and max_tokens={limit} leaves no room for a "
            "completion; raise max_tokens, or take it out"
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
class GeneratedCompletions:
    """Generates with the policies of one loaded model; the reference generates once."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._questions = questions(loaded.options, loaded.data)
        self._sampling = sampling_of(loaded.options, loaded.data)

    def prepare(self) -> None:
        """Nothing: the reference writes its completions when they are needed, and that takes no policy."""

    def ask(self, model: Any) -> list[Completion]:
        """The completions of a trained policy; its weights are left alone."""
        loaded, prompts = self._loaded, self._prompts
        blocks = ranks.dealt(
            [prompts[start : start + BLOCK] for start in range(0, len(prompts), BLOCK)],
            lambda block: generate(
                model, block, self._sampling, tokenizer=loaded.tokenizer, end_of_turn=loaded.data.encoder.end_of_turn
            ),
        )
        return [completion for block in blocks for completion in block]

    def measure(self, completions: Sequence[Completion]) -> Addition:
        """Columns and files of a policy's completions; the reference scores them, so the policy's weights go."""
        self._loaded.policy.end()
        return self._numbers(self._table(completions, self._reference_logps(completions)))

    def measure_reference(self) -> Addition:
        """The same of the untrained baseline, whose completions are the reference's."""
        return self._numbers(self.reference)

    def recompute(self, folder: Path) -> Addition:
        """The same of a cell that holds its completions. Raises: OSError, ValueError where they cannot be read."""
        return self._numbers(read_completions(folder))

    def _numbers(self, policy: DataFrame) -> Addition:
        """Columns and files of a table of completions."""
        columns = generations.measure(policy, self.reference, exact=self._sampling.exact)
        return Addition(columns, {GENERATIONS: generations.json_lines(policy)})

    @cached_property
    def reference(self) -> DataFrame:
        """The reference's completions, one row each."""
        loaded = self._loaded
        loaded.policy.end()
        with loaded.progress.stage("the reference answers the prompts of the test", len(self._questions)) as stage:
            completions = kept_completions(
                reference_generator(loaded), self._prompts, self._sampling, advance=stage.advance
            )
        return self._table(completions, [completion.logp for completion in completions])

    def _reference_logps(self, completions: Sequence[Completion]) -> list[float]:
        """Nats of a policy's completions under the reference. The policy's own are those it was drawn with, in fp32
        too: rows laid out in another way move a completion by less than 1e-4 nats."""
        loaded = self._loaded
        items = [Item(q.ids, (a.tokens,)) for q, a in zip(self._questions, completions, strict=True)]
        scores = measure(Scorer(loaded.policy.base, "fp32"), items, layout=loaded.layout, pad=loaded.pad)
        return [score[0].double().sum().item() for score in scores]

    @property
    def _prompts(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(question.id, question.ids) for question in self._questions]

    def _table(self, completions: Sequence[Completion], reference_logps: Sequence[float]) -> DataFrame:
        return completion_table(self._questions, completions, reference_logps, reward_of(self._loaded.data))


def reference_generator(loaded: LoadedModel) -> Generator:
    """The reference as a generator, while the loaded model holds its weights."""
    return Generator(
        loaded.identity.weights, lambda: loaded.policy.base, loaded.tokenizer, loaded.data.encoder.end_of_turn
    )


def reward_of(data: Data) -> rewards.Reward | None:
    """The known reward of the suite; None where it has none."""
    return rewards.get(data.reward) if data.reward else None


def completion_table(
    asked: Sequence[Question],
    completions: Sequence[Completion],
    reference_logps: Sequence[float],
    reward: rewards.Reward | None,
) -> DataFrame:
    """Columns of GENERATION_COLUMNS, one row a completion, with the question that each completions."""
    import pandas as pd

    frame = pd.DataFrame(
        [
            {
                "prompt_id": question.id,
                "cluster_id": question.cluster,
                "sample": completion.sample,
                "prompt": question.text,
                "answer": completion.text,
                "tokens": len(completion.tokens),
                "truncated": completion.truncated,
                "logp": completion.logp,
                "reference_logp": reference_logp,
            }
            for question, completion, reference_logp in zip(asked, completions, reference_logps, strict=True)
        ]
    )
    if reward is not None:
        frame["gold_reward"] = reward.score(list(frame["prompt"]), list(frame["answer"]))
    return frame


def read_completions(folder: Path) -> DataFrame:
    """The completions that a cell holds. Raises: OSError or ValueError where there are none that can be read."""
    return generations.from_json_lines((folder / GENERATIONS).read_bytes())

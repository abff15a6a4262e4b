"""The loaded model: one model in memory, its layout checked, its reference measured, ready for every cell."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

import losses
from harness.cache import cache_folder
from harness.compute import ranks
from harness.compute.machine import Machine
from harness.compute.sharding import shard
from harness.data.dataset import Data
from harness.data.perturbations import start_perturbations
from harness.data.selection import ids_of
from harness.data.tokens import Row, item_of
from harness.digests import digest
from harness.experiment.identity import START_SEED, Identity
from harness.experiment.rounds import reference_of
from harness.experiment.trial import Trial
from harness.model.layout import Item
from harness.model.layout_check import check_layout
from harness.model.logprobs import Scorer
from harness.model.policy import Policy
from harness.model.reference import ReferenceStore, Scores, measure, store_identity
from harness.model.sources import load_policy
from harness.progress import Progress
from harness.training.callbacks import Callback, OnStep
from harness.training.feed import RowFeed
from harness.training.job import Job, TrainingInputs
from harness.training.loop import train
from harness.training.micro_batches import micro_tokens

# Nats, times the square root of a completion's tokens, that policy and reference may differ by before the first
# update: they are packed differently, and one bf16 unit of a logit near 30 is an eighth. A wrong template
# or wrong weights are off by about a nat a token.
START_TOLERANCE = {"fp32": 1e-3, "bf16": 0.4}
NOISE_ROWS = 8

Logps = Mapping[str, tuple[Tensor, ...]]


class LoadedModel(Callback):
    """Loads the policy once and hands out what cells need: jobs, reference log-probs, evaluations.

    It looks on while they train, because it remembers what fits into memory.
    """

    def __init__(
        self,
        identity: Identity,
        tokenizer: Any,
        machine: Machine,
        progress: Progress,
        *,
        workers: int = 1,
        command: str = "",
    ) -> None:
        self.identity, self.machine, self.progress = identity, machine, progress
        self.workers, self.command, self.memory_ran_out = workers, command, False
        self.kept: list[Path] = []  # files of the cache that hold what was made of the starting weights
        self.options, self.data, self.tokenizer = identity.options, identity.data, tokenizer
        pad = tokenizer.pad_token_id
        self.pad = pad if pad is not None else self.data.encoder.end_of_turn
        model = load_policy(identity.source, "cpu" if self.options.shard else machine.device)
        if self.options.shard:
            model = shard(model, machine.device)
        self.policy = Policy(
            model,
            tuning=self.options.tuning,
            rank=self.options.lora_rank,
            alpha=self.options.lora_alpha,
            files=sorted(identity.source.folder.glob("*.safetensors")),
        )
        self._memory: dict[Any, Any] = {}
        self.micro_batch = self.options.micro_batch
        self.micro_tokens = self.options.micro_tokens or min(
            ranks.all_gather(lambda: micro_tokens(model.config, machine.device))
        )
        self._check_layout(self._check_items(), self.options.layout)
        if self.options.start == "sft":
            start = self._start_from_sft()
            if self.options.save != "none":
                self.policy.name_start(start.with_suffix(""), tokenizer)

    @property
    def data_rows(self) -> tuple[Row, ...]:
        """The evaluation rows, validation first."""
        return self.data.validation + self.data.test

    def _check_items(self) -> list[Item]:
        """A short row and the longest of the run: an attention window shows only beyond its length."""
        groups = (self.data.pool, self.data_rows)
        lengths = [row.length for rows in groups for row in rows]
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        first = len(self.data.pool)
        return [
            item_of(self.data.pool[place] if place < first else self.data_rows[place - first])
            for place in (order[len(order) // 4], order[-1])
        ]

    def _check_layout(self, items: Sequence[Item], wanted: str) -> None:
        """Settles on the fastest layout that holds for the items in every process."""
        checks = ranks.all_gather(lambda: check_layout(self.policy.base, items, wanted=wanted, pad=self.pad))
        check = next((one for one in checks if one.reason), checks[0])
        self.layout = check.layout
        if check.reason:
            self.progress.note(f"{check.layout} layout: {check.reason}")

    def check_longest(self, rows: Sequence[Row]) -> None:
        """Tries the layout on the longest of a later round's rows: it may be longer than all that were there before."""
        self.policy.end()
        self._check_layout([item_of(max(rows, key=lambda row: row.length))], self.layout)

    def _start_from_sft(self) -> Path:
        """Puts weights tuned on chosen completions under every cell; they are kept in a file, and made once."""
        key = digest([self.identity.weights, self.machine.device, self.machine.threads], length=32)
        path = cache_folder("starts") / f"{key}.safetensors"
        self.kept.append(path)
        if all(ranks.all_gather(path.is_file)):
            self.policy.start_from(path)
            return path
        sft = losses.get("sft")
        trial = Trial(
            "sft",
            dict(sft.defaults),
            self.identity.start_lr,
            START_SEED,
            control=False,
            perturbations=start_perturbations(self.options),
        )
        job = self.job(trial, cell=f"start-{key}")
        scorer = self.trainer(self.policy.begin(START_SEED))
        with self.progress.stage("training the starting weights on chosen completions", job.feed.steps) as stage:
            train(scorer, job, [self, OnStep(lambda row: stage.advance(1))])
        self.policy.adopt(path)
        return path

    def trainer(self, model: Any) -> Scorer:
        """The scorer that trains a policy."""
        return Scorer(model, self.machine.precision, recompute=self.options.activation_checkpointing)

    def job(self, trial: Trial, cell: str, data: Data | None = None, start: Path | None = None) -> Job:
        """Everything one cell's training needs; of a later round also its rows, and the weights that it begins with.

        Raises: ValueError for a trial that trains nothing.
        """
        if trial.lr is None or trial.seed is None:
            raise ValueError(f"{trial.label} trains nothing, so there is no job to do")
        loss, data = losses.get(trial.loss), data or self.data
        drawn, options = data.draw(trial.seed, trial.perturbations), self.options
        against = reference_of(trial, options)
        inputs = TrainingInputs(data, drawn, start if against == "previous" else None)
        return Job(
            cell=cell,
            loss=loss,
            hyperparameters=trial.hyperparameters,
            schedule=self.identity.schedule(trial.lr),
            seed=trial.seed,
            feed=RowFeed(drawn.training, trial.seed, options.epochs, options.batch_size),
            reference=self._training_reference(inputs) if "reference" in loss.needs else {},
            mismatched=self._mismatched(inputs) if "mismatched" in loss.needs else {},
            layout=self.layout,
            pad=self.pad,
            micro_batch=self.micro_batch,
            micro_tokens=self.micro_tokens,
            tolerance=math.inf if against == "first" else START_TOLERANCE[self.machine.precision],
        )

    def on_out_of_memory(self, job: Job) -> None:
        """Memory ran out in a micro-batch: later cells begin with the one that fitted."""
        self.micro_batch, self.micro_tokens, self.memory_ran_out = job.micro_batch, job.micro_tokens, True
        size = f"{job.micro_batch} rows" if job.micro_batch else f"{job.micro_tokens} tokens"
        self.progress.warn(f"out of memory: going on with micro-batches of {size}; no gradient changes")

    def _store(self, precision: str) -> ReferenceStore:
        identity = store_identity(self.identity.weights, self.machine, precision, self.layout)
        return ReferenceStore(identity) if self.options.store else ReferenceStore(identity, folder=None)

    def _reference(self, items: Sequence[Item], precision: str, what: str, weights: Path | None = None) -> Scores:
        """Log-probs under the starting weights, or under those of a folder: these serve one cell and are not kept."""
        if weights is None:
            self.policy.end()
            store = self._store(precision)
            self.kept += store.files(items)
        else:
            self.policy.load(weights)
            store = ReferenceStore({}, folder=None)
        scorer = Scorer(self.policy.model, precision)
        with self.progress.stage(f"reference log-probs of {what}", len(items)) as stage:
            return store.scores(scorer, items, layout=self.layout, pad=self.pad, advance=stage.advance)

    def measure_reference(self, trials: Iterable[Trial]) -> list[Path]:
        """Fills the store with all that these cells need of the reference; the files of the cache that hold it."""
        if self.options.store:
            drawn = {
                (t.seed, t.perturbations, frozenset(losses.get(t.loss).needs)): t for t in trials if t.lr is not None
            }
            for trial in drawn.values():
                self.job(trial, cell="")
            _ = self.evaluation_reference
        return list(dict.fromkeys(self.kept))

    def _training_reference(self, inputs: TrainingInputs) -> Logps:
        """Log-probs of training rows in the training precision; measured once for a set of rows.

        The rows are measured as the suite has them, so that label noise changes neither the store nor a bit.
        """
        rows, memory = inputs.drawn.rows, self._memory_of(inputs)
        key = ("train", tuple(ids_of(rows)))
        if key not in memory:
            items = [item_of(row) for row in rows]
            scores = self._reference(items, self.machine.precision, f"{len(rows)} training rows", inputs.weights)
            memory[key] = {row.id: score for row, score in zip(rows, scores, strict=True)}
        flipped = inputs.drawn.flipped
        return {name: score[::-1] if name in flipped else score for name, score in memory[key].items()}

    def _mismatched(self, inputs: TrainingInputs) -> Mapping[str, tuple[Item, tuple[Tensor, ...]]]:
        """Mismatched items and their reference log-probs. Raises: ValueError where a row has no partner."""
        rows, partners, memory = inputs.drawn.rows, inputs.data.mismatched, self._memory_of(inputs)
        lonely = [row.id for row in rows if row.id not in partners]
        if lonely:
            raise ValueError(
                f"{len(lonely)} training rows have no completion of another prompt that fits (first: {lonely[0]}); "
                "this loss needs at least two different first turns in the training rows"
            )
        key = ("mismatched", tuple(ids_of(rows)))
        if key not in memory:
            items = [partners[row.id] for row in rows]
            scores = self._reference(
                items, self.machine.precision, f"{len(rows)} mismatched completions", inputs.weights
            )
            memory[key] = {r.id: (i, s) for r, i, s in zip(rows, items, scores, strict=True)}
        found: Mapping[str, tuple[Item, tuple[Tensor, ...]]] = memory[key]
        return found

    def _memory_of(self, inputs: TrainingInputs) -> dict[Any, Any]:
        """What several cells share is kept; the rows of a later round are those of one cell."""
        return self._memory if inputs.data is self.data else {}

    @cached_property
    def evaluation_reference(self) -> Scores:
        """The reference of the evaluation rows in fp32: everybody's evaluation at step 0."""
        blocks = []
        for name, rows in (("validation", self.data.validation), ("test", self.data.test)):
            if rows:
                items = [item_of(row) for row in rows]
                blocks += self._reference(items, "fp32", f"{len(rows)} {name} rows")
        return blocks

    def evaluate(self, model: Any) -> Scores:
        """Log-probs of the evaluation rows in fp32, packed as the reference was: at step 0 they are equal."""
        scorer = Scorer(model, "fp32")
        blocks: Scores = []
        for rows in (self.data.validation, self.data.test):
            blocks += measure(scorer, [item_of(row) for row in rows], layout=self.layout, pad=self.pad)
        return blocks

    @cached_property
    def noise_floors(self) -> tuple[float, float]:
        """Nats that packing alone moves a margin at evaluation, and that the training precision moves it.

        The largest difference over a few test rows, each measured alone, to the reference's blocks.
        """
        rows = self.data.test[:NOISE_ROWS]
        reference = self.evaluation_reference[len(self.data.validation) :][: len(rows)]
        self.policy.end()
        floors = []
        for precision in ("fp32", self.machine.precision):
            scorer = Scorer(self.policy.base, precision)
            worst = 0.0
            for row, known in zip(rows, reference, strict=True):
                (alone,) = measure(scorer, [item_of(row)], layout=self.layout, pad=self.pad)
                worst = max(worst, abs(_margin(alone) - _margin(known)))
            floors.append(worst)
        return floors[0], floors[1]

    def seconds_per_token(self) -> tuple[float, float]:
        """Measured seconds a token of a training step and of an evaluation, from one small batch."""
        rows = sorted(self.data.test, key=lambda row: row.length)
        middle = rows[len(rows) // 2 : len(rows) // 2 + 4]
        items = [item_of(row) for row in middle]
        tokens = sum(len(i.prompt) + sum(map(len, i.completions)) for i in items)
        began = time.perf_counter()
        measure(Scorer(self.policy.base, "fp32"), items, layout=self.layout, pad=self.pad)
        evaluation = time.perf_counter() - began
        began = time.perf_counter()
        measure(Scorer(self.policy.base, self.machine.precision), items, layout=self.layout, pad=self.pad)
        # A step is a forward and a backward of about twice its cost.
        return 3 * (time.perf_counter() - began) / tokens, evaluation / tokens


def _margin(scores: tuple[Tensor, ...]) -> float:
    sums = [completion.double().sum().item() for completion in scores]
    return sums[0] - sums[1] if len(sums) == 2 else sums[0]

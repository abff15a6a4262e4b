"""The other side: TRL's own trainers on the same token ids, pairs, batches and precision.

"fastest" is what a user who reads the documentation ends with: no gradient checkpointing, reference log-probs
measured before training, the micro-batch that was found fastest, and the pairs of an optimizer batch in order
of length, so that little is padded. "defaults" is TRL's configuration as it comes: gradient checkpointing, 8
pairs a device, the reference computed in the step. Both accumulate to the same optimizer batch and update with
fused AdamW. Token ids are handed over, so TRL spends no time on tokenising and both sides train on the same.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from benchmarks.task import Clock, Task
from harness.data.tokens import Row, row_tokens
from harness.model.sources import load_policy
from harness.training.feed import Batch

os.environ.setdefault("TQDM_DISABLE", "1")


class Ready(DPOTrainer):
    """DPOTrainer over rows that are token ids already."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


class Marks(TrainerCallback):
    """Marks the clock at the begin of training and after every optimizer step."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """The model lies on its device and the optimizer is made."""
        self.clock.mark()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """The weights were updated and the gradients cleared."""
        self.clock.mark()


def step(task: Task) -> dict[str, Any]:
    """Trains DPO on the task's batches: the time of each step, of the reference pass, and the peak of memory."""
    sweep, fastest = task.sweep, task.spec["side"] == "trl fastest"
    options = sweep.options
    rows = [row for batch in task.batches for row in ordered(batch, by_length=fastest)]
    with scratch() as folder:
        arguments = DPOConfig(
            **common(task, folder, task.spec["micro"] if fastest else None),
            learning_rate=sweep.trials[0].lr,
            beta=sweep.trials[0].hyperparameters["beta"],
            max_length=None,
            precompute_ref_log_probs=fastest,
        )
        model = load_policy(sweep.identity.source, sweep.machine.device).train()
        began = time.perf_counter()
        trainer = Ready(
            model,
            args=arguments,
            train_dataset=Dataset.from_list([paired(row) for row in rows]),
            processing_class=sweep.tokenizer,
            peft_config=adapter(options),
        )
        before = time.perf_counter() - began
        clock = Clock(sweep.machine.device)
        trainer.add_callback(Marks(clock))
        trainer.train()
    first = trainer.state.log_history[0]
    return {
        "steps": clock.steps(trained(trainer.train_dataset, task.batches)),
        "peak_memory_bytes": clock.peak(),
        "reference_seconds": before if fastest else None,
        "loss": first["loss"],
        "chosen_logp": first["logps/chosen"],
        "layout": f"{arguments.per_device_train_batch_size} x {arguments.gradient_accumulation_steps}",
    }


def common(task: Task, folder: str, micro: int | None) -> dict[str, Any]:
    """Settings of every trainer; `micro` examples at a time, or (None) TRL's own number and checkpointing."""
    options, machine = task.sweep.options, task.sweep.machine
    settings = {
        "output_dir": folder,
        "num_train_epochs": 1,
        "bf16": machine.precision == "bf16",
        "use_cpu": machine.device == "cpu",
        "max_grad_norm": options.clip,
        "weight_decay": options.weight_decay,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "logging_first_step": True,
        "logging_steps": 10**6,
        "seed": 0,
    }
    if micro is not None:
        settings["gradient_checkpointing"] = False
    size = min(micro or DPOConfig.per_device_train_batch_size, options.batch_size)
    return settings | {"per_device_train_batch_size": size, "gradient_accumulation_steps": options.batch_size // size}


def adapter(options: Any) -> Any:
    """The LoRA of the harness, as peft's configuration; None under full tuning."""
    if options.tuning == "full":
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def ordered(batch: Batch, *, by_length: bool) -> list[Row]:
    """The pairs of one optimizer batch, in which their order changes no gradient."""
    return sorted(batch.rows, key=row_tokens) if by_length else list(batch.rows)


def paired(row: Row) -> dict[str, list[int]]:
    """A pair as TRL's preference collator takes it."""
    chosen, rejected = row.completions
    return {"prompt_ids": list(row.prompt), "chosen_ids": list(chosen), "rejected_ids": list(rejected)}


def trained(dataset: Dataset, done: Sequence[Batch]) -> list[Batch]:
    """The batches as they lie in the trainer's own data set: what the digests of the two sides compare."""
    rows = iter(dataset)
    result = []
    for batch in done:
        taken = [next(rows) for _ in batch.rows]
        of = [
            Row("", "", "train", tuple(r["prompt_ids"]), (tuple(r["chosen_ids"]), tuple(r["rejected_ids"])))
            for r in taken
        ]
        result.append(Batch(batch.step, batch.epoch, of))
    return result


@contextmanager
def scratch() -> Iterator[str]:
    """A folder that the trainer may write to."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder

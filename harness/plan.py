"""What a command would do: the rows, the grid, what is finished, time and memory. Nothing is run or written."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import losses
from harness.audits import audit_lines, audited
from harness.estimate import assumed_rates, memory_bytes, seconds, work
from harness.grid import Trial
from harness.layout import LAYOUTS
from harness.models import parameter_count
from harness.objective import item_of
from harness.options import Options
from harness.progress import Progress, estimate
from harness.reference import ReferenceStore, store_identity
from harness.show import shown
from harness.sweep import Sweep, prepare_sweep
from harness.tokens import Row


def plan(options: Options, progress: Progress, command: str) -> int:
    """Prints the plan of `command`; the exit code. Raises: UsageError, SuiteError as `run` would."""
    sweep = prepare_sweep(options, progress)
    parts = [_data(sweep, progress), _shown(sweep), _grid(sweep), _cost(sweep)]
    sys.stdout.write("\n\n".join("\n".join(part) for part in map(list, parts) if part) + "\n")
    return 0


def _data(sweep: Sweep, progress: Progress) -> Iterator[str]:
    data = sweep.data
    yield from audit_lines(data, audited(data, progress))
    yield f"  {data.train_count} training rows are used for each seed"
    left_over = data.train_count % sweep.options.batch_size
    if left_over:
        yield f"  {left_over} training rows of each epoch fill no batch of {sweep.options.batch_size} and are left out"


def _shown(sweep: Sweep) -> Iterator[str]:
    """The first training rows of the first seed, where the command asks for some."""
    if sweep.options.show:
        rows = sweep.data.training_rows(sweep.options.seeds[0])[: sweep.options.show]
        yield from shown(rows, sweep.tokenizer)


def _grid(sweep: Sweep) -> Iterator[str]:
    yield f"{len(sweep.trials)} cells, protocol {sweep.identity.protocol}:"
    for trial in sweep.trials:
        yield f"  {sweep.identity.cell_id(trial)}  {_state(sweep, trial):12s}  {trial.label}"


def _state(sweep: Sweep, trial: Any) -> str:
    if trial.skip:
        return f"skipped: {trial.skip};"
    return "finished" if sweep.is_finished(trial) else "to run"


def _cost(sweep: Sweep) -> Iterator[str]:
    options = sweep.options
    todo = [trial for trial in sweep.trials if not sweep.is_finished(trial)]
    parameters = parameter_count(sweep.identity.source)
    amount = work(options, sweep.data, todo)
    rates = assumed_rates(parameters, sweep.machine.device, sweep.machine.precision)
    yield (
        f"model: {options.model}, {parameters / 1e6:.1f}M parameters, {options.tuning} tuning, "
        f"{sweep.machine.precision} on {sweep.machine.device_name}"
    )
    yield from _stored(sweep, todo)
    yield f"work:  {amount.train:,} tokens trained on, {amount.evaluate:,} evaluated, in {len(todo)} cells"
    yield f"time:  about {estimate(seconds(amount, rates))} (from the matrix rate; a run measures before it starts)"
    yield (
        f"memory: {memory_bytes(options, parameters) / 2**30:.1f} GiB for weights, their copy, gradients and "
        "optimizer; activations come on top"
    )


def _stored(sweep: Sweep, todo: Sequence[Trial]) -> Iterator[str]:
    """How much of the reference an earlier sweep has left in the store."""
    if not sweep.options.store or not todo:
        return
    needed = {"evaluated": (sweep.data.validation, sweep.data.test)}
    seeds = {trial.seed for trial in todo if trial.lr is not None and "reference" in losses.get(trial.loss).needs}
    if seeds:
        needed["trained on"] = tuple(sweep.data.training_rows(seed) for seed in sorted(seeds))
    parts = []
    for what, groups in needed.items():
        precision = "fp32" if what == "evaluated" else sweep.machine.precision
        total = sum(map(len, groups))
        parts.append(f"{max(_held(sweep, groups, precision, layout) for layout in LAYOUTS)} of {total} rows {what}")
    yield f"reference: {', '.join(parts)} are in the store already"


def _held(sweep: Sweep, groups: Sequence[Sequence[Row]], precision: str, layout: str) -> int:
    store = ReferenceStore(store_identity(sweep.identity.weights, sweep.machine, precision, layout))
    return sum(store.holds([item_of(row) for row in rows]) for rows in groups)

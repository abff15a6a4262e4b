"""What a command would do: the rows, the grid, what is finished, time and memory. Nothing is run or written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from harness.estimate import assumed_rates, memory_bytes, seconds, work
from harness.models import parameter_count
from harness.options import Options
from harness.progress import Progress, estimate
from harness.sweep import Sweep, prepare_sweep
from suites import audit


def plan(options: Options, progress: Progress, command: str) -> int:
    """Prints the plan of `command`; the exit code. Raises: UsageError, SuiteError as `run` would."""
    sweep = prepare_sweep(options, progress)
    sys.stdout.write("\n".join([*_data(sweep), "", *_grid(sweep), "", *_cost(sweep)]) + "\n")
    return 0


def _data(sweep: Sweep) -> Iterator[str]:
    data = sweep.data
    yield from audit.lines(audit.audit(data.suite))
    encoder = data.encoder
    cut = f", {data.truncated} cut" if data.truncated else ""
    yield (
        f"  within {encoder.max_tokens} tokens ({encoder.template} template): {len(data.pool)} training rows, "
        f"{data.train_count} used for each seed; {len(data.validation)} validation and {len(data.test)} test rows "
        f"evaluated; {data.dropped.get('overlong', 0)} dropped as overlong{cut}"
    )
    left_over = data.train_count % sweep.options.batch_size
    if left_over:
        yield f"  {left_over} training rows of each epoch fill no batch of {sweep.options.batch_size} and are left out"


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
    yield f"work:  {amount.train:,} tokens trained on, {amount.evaluate:,} evaluated, in {len(todo)} cells"
    yield f"time:  about {estimate(seconds(amount, rates))} (from the matrix rate; a run measures before it starts)"
    yield (
        f"memory: {memory_bytes(options, parameters) / 2**30:.1f} GiB for weights, their copy, gradients and "
        "optimizer; activations come on top"
    )

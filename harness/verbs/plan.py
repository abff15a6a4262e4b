"""What a command would do: the rows, the grid, what is finished, time and memory. Nothing is run or written."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from harness.cells.estimate import assumed_rates, measured_draws, seconds, work
from harness.cells.sweep import Sweep, plan_sweep
from harness.data.audits import audit_lines, audited
from harness.data.dataset import Data
from harness.data.perturbations import Perturbations, combinations, eligible
from harness.data.selection import values_of
from harness.data.show import shown
from harness.data.tokens import Row, item_of, row_tokens
from harness.digests import ID_LENGTH
from harness.engines.run import machine_of
from harness.experiment.rounds import describe_rounds
from harness.experiment.trial import Trial
from harness.model.layout import LAYOUTS
from harness.model.reference import ReferenceStore, store_identity
from harness.model.sources import empty_model
from harness.options.lookup import read_options
from harness.options.run import Options
from harness.options.search import describe_budget
from harness.progress import Progress, estimate, on_stream
from harness.redaction import command_line
from harness.sweeps.footprint import Footprint, Shape, footprint, gigabytes, shape
from harness.sweeps.search import describe_search, known, outlook
from harness.text_tables import table
from harness.training.micro_batches import micro_tokens
from results.inference import seeds_needed
from results.inference.test import MOST_SEEDS, POWER, out_of_reach, seeds_for

DIFFERENCES = (0.1, 0.05, 0.03, 0.02)  # in preference accuracy


def plan(options: Options, progress: Progress, command: str) -> int:
    """Prints the plan of `command`; the exit code. Raises: UsageError, SuiteError as `run` would."""
    sweep = plan_sweep(options, machine_of(options, progress, planned=True), progress, command)
    parts = [_data(sweep, progress), _shown(sweep), _grid(sweep), _seeds(sweep), _cost(outlook(sweep))]
    sys.stdout.write("\n\n".join("\n".join(part) for part in map(list, parts) if part) + "\n")
    return 0


def _data(sweep: Sweep, progress: Progress) -> Iterator[str]:
    data = sweep.data
    if data.expected:
        yield from _unsampled(data)
    else:
        yield from audit_lines(data, audited(data, progress))
    yield f"  {_counted(sweep)} training rows are used for each seed"
    for perturbations in combinations(sweep.options):
        yield from _rows(sweep, perturbations)
    if said := describe_rounds(sweep.options, sweep.data):
        yield f"  {said}"


def _unsampled(data: Data) -> Iterator[str]:
    """What can be said of rows whose completions are not there."""
    yield (
        f"{data.suite.name}: the completions are not sampled yet, which a run does first, so rows, their digests and "
        f"the names of cells are not known; below, every prompt has a pair, with completions of "
        f"{data.sampled.max_new_tokens} tokens, the most they may have"
    )
    splits = ", ".join(f"{count} {split}" for split, count in Counter(values_of(data.suite.rows, "split")).items())
    yield f"  {data.sampled.samples} completions of each of {len(data.suite.rows)} prompts ({splits})"


def _counted(sweep: Sweep) -> str:
    return " or ".join(
        map(str, dict.fromkeys(sweep.data.count(perturbations) for perturbations in combinations(sweep.options)))
    )


def _rows(sweep: Sweep, perturbations: Perturbations) -> Iterator[str]:
    """What one setting of the perturbations does to the training rows."""
    data, size = sweep.data, sweep.options.batch_size
    drawn = data.draw(sweep.options.seeds[0], perturbations)
    if perturbations.description:
        below = len(data.pool) - len(eligible(data.pool, perturbations))
        yield (
            f"  {perturbations.description}: {len(drawn.rows)} training rows of {len(data.pool) - below} "
            f"({below} below min_margin), {len(drawn.flipped)} of them with the label reversed"
        )
    left_over = len(drawn.rows) % size
    if left_over:
        yield f"  {left_over} training rows of each epoch fill no batch of {size} and are left out"


def _shown(sweep: Sweep) -> Iterator[str]:
    """The first training rows of the first seed and perturbations, where the command asks for some."""
    if sweep.options.show and sweep.data.expected:
        yield f"show={sweep.options.show}: there are no rows to show before the completions are sampled"
    elif sweep.options.show:
        rows = sweep.data.training_rows(sweep.options.seeds[0], combinations(sweep.options)[0])
        yield from shown(rows[: sweep.options.show], sweep.tokenizer)


def _grid(sweep: Sweep) -> Iterator[str]:
    if sweep.options.budget != "none":
        yield describe_budget(sweep.options)
    if sweep.options.search != "none":
        yield from describe_search(sweep)
    total, sweep, unknown = len(outlook(sweep).trials), known(sweep).sweep, sweep.data.expected
    yield f"{total} cells, protocol {'not known yet' if unknown else sweep.identity.protocol}:"
    for trial in sweep.trials:
        name = "-" * ID_LENGTH if unknown else sweep.identity.cell_id(trial)
        yield f"  {name}  {_state(sweep, trial):12s}  {trial.label}"
    if total > len(sweep.trials):
        yield f"  and about {total - len(sweep.trials)} that follow from what these show"


def _seeds(sweep: Sweep) -> Iterator[str]:
    """How many seeds a finding needs, by the spread of earlier cells of the suite, or of this protocol."""
    protocol = sweep.identity.protocol
    try:
        found = seeds_needed.spread(sweep.place, protocol=protocol) or seeds_needed.spread(sweep.place)
    except (FileNotFoundError, ValueError):
        return
    if found is None:
        return
    needed = ", ".join(f"{gap:g}: {seeds_for(found, gap) or f'more than {MOST_SEEDS}'}" for gap in DIFFERENCES)
    yield f"seeds a side that find a difference in preference accuracy with probability {POWER:g}: {needed}"
    yield "  two settings compared; the correction for several comparisons asks for more"
    yield (
        f"  by the spread of {found.runs} earlier runs of {found.settings} settings; below "
        f"{out_of_reach(found):.3f} only more test pairs help"
    )


def _state(sweep: Sweep, trial: Any) -> str:
    if trial.skip:
        return f"skipped: {trial.skip};"
    if sweep.is_finished(trial):
        return "finished"
    return "failed" if sweep.options.retry == "none" and sweep.failure(trial) is not None else "to run"


def _cost(sweep: Sweep) -> Iterator[str]:
    options = sweep.options
    todo = [trial for trial in sweep.trials if not sweep.is_finished(trial)]
    model = shape(sweep.identity.source.folder, options.lora_rank)
    amount = work(options, sweep.data, todo)
    rates = assumed_rates(model.parameters, sweep.machine.device, sweep.machine.precision, options.device_tflops)
    yield (
        f"model: {options.model}, {model.parameters / 1e6:.1f}M parameters, {options.tuning} tuning, "
        f"{sweep.machine.precision} on {sweep.machine.device_name}"
    )
    yield from _stored(sweep, todo)
    yield f"work:  {amount.train:,} tokens trained on, {amount.evaluate:,} evaluated, in {len(todo)} cells"
    yield from _time(options, seconds(amount, rates))
    yield ""
    yield from _memory(sweep, model)


def _time(options: Options, alone: float) -> Iterator[str]:
    """Hours on one device, on all, and what they cost."""
    rate = f"{options.device_tflops:g} TFLOP/s" if options.device_tflops else "the matrix rate here"
    yield f"time:  about {estimate(alone)} on one device (a third of {rate}; a run measures before it starts)"
    if options.devices > 1:
        yield f"       about {estimate(alone / options.devices)} on {options.devices} devices that are never idle"
    if options.device_hour_price:
        cost = alone / 3600 * options.device_hour_price
        yield f"cost:  about {cost:,.2f} at {options.device_hour_price:g} a device and hour"


def _memory(sweep: Sweep, model: Shape) -> Iterator[str]:
    """A table of what a cell needs: as this command runs it, and in the settings that it is weighed against."""
    options, machine = sweep.options, sweep.machine
    rows = itertools.chain(sweep.data.pool, sweep.data.validation, sweep.data.test)
    config = empty_model(sweep.identity.source.folder).config
    tokens = options.micro_tokens or micro_tokens(config, machine.device)
    if options.micro_batch:
        tokens = options.micro_batch * max(map(row_tokens, rows))
    given = {
        "precision": machine.precision,
        "optimizer": options.optimizer,
        "tokens": tokens,
        "checkpointing": options.activation_checkpointing,
        "devices": options.devices,
    }
    here = {"copy_bytes": 2 if machine.precision == "bf16" else 0}
    other = "lora" if options.tuning == "full" else "full"
    settings = {
        f"this command: {options.tuning}, reference stored": {"tuning": options.tuning, **here},
        f"{options.tuning}, reference as a second model": {"tuning": options.tuning, "second_model": True, **here},
        f"{other}, reference stored": {"tuning": other, **here},
        "full, bf16 weights, reference stored": {"weight_bytes": 2},
        "full, bf16 weights, second model": {"weight_bytes": 2, "second_model": True},
    }
    heads = ("memory in GB a device", *Footprint._fields, "total")
    lines = []
    for name, setting in settings.items():
        found = footprint(model, **given, **setting)
        lines.append((name, *map(gigabytes, found), gigabytes(found.total)))
    yield table(heads, lines).rstrip()
    shared = f", sharded over {options.devices} devices" if options.devices > 1 else ""
    yield f"in micro-batches of {tokens:,} tokens{shared}"


def _stored(sweep: Sweep, todo: Sequence[Trial]) -> Iterator[str]:
    """How much of the reference an earlier sweep has left in the store."""
    if not sweep.options.store or not todo or sweep.data.expected:
        return
    needed = {"evaluated": (sweep.data.validation, sweep.data.test)}
    draws = measured_draws(todo)
    if draws:
        needed["trained on"] = tuple(sweep.data.training_rows(seed, perturbations) for seed, perturbations in draws)
    parts = []
    for what, groups in needed.items():
        precision = "fp32" if what == "evaluated" else sweep.machine.precision
        total = sum(map(len, groups))
        parts.append(f"{max(_held(sweep, groups, precision, layout) for layout in LAYOUTS)} of {total} rows {what}")
    yield f"reference: {', '.join(parts)} are in the store already"


def _held(sweep: Sweep, groups: Sequence[Sequence[Row]], precision: str, layout: str) -> int:
    store = ReferenceStore(store_identity(sweep.identity.weights, sweep.machine, precision, layout))
    return sum(store.holds([item_of(row) for row in rows]) for rows in groups)


def main(argv: Sequence[str]) -> int:
    """Says what the command would cost; the exit code. Raises: UsageError, SuiteError."""
    options, notices = read_options(argv)
    with on_stream(sys.stderr) as progress:
        for notice in notices:
            progress.warn(notice)
        return plan(options, progress, command_line("plan", argv))

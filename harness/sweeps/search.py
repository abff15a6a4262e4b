"""A search in stages: settings of each loss tried on one seed, losers cut, then winner and default on fresh seeds.

What comes next follows from finished rows alone, so a command that was killed goes on with the same decisions, and a
plan can tell what is known. Settings are ranked by preference accuracy on validation pairs, equal ones by the order of
trials; one that failed (a NaN, say) is out. Successive halving (search=racing) trains all settings on a small part of
the training rows, the better half on twice as many, and so on up to all of them: rows of a smaller part belong to the
larger one, every cell is trained from the start with its whole schedule, and every loss spends the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from harness.cells.sweep import Sweep
from harness.data.tokens import row_tokens
from harness.digests import digest
from harness.experiment.spaces import Space, spaces, trials_each
from harness.experiment.trial import Trial
from harness.options.models import ENTRIES
from harness.options.search import confirmation_seeds
from results.cells import store
from results.cells.searches import CLAIM, DEFAULT, METRIC, SEARCH, WINNER
from results.inference.test import CLAIM_SEEDS

Judge = Callable[[Trial], float | None]


class Unfinished(Exception):
    """A trial has not ended, so what follows from it is not known yet."""


class Rung(NamedTuple):
    """So many settings of each loss on so many training rows."""

    settings: int
    rows: int


@dataclass(frozen=True)
class Stage:
    """The command as far as it is known: `sweep.trials` are all trials up to here, `fresh` those of this stage."""

    sweep: Sweep
    fresh: Sequence[Trial]
    record: Mapping[str, Any] | None = None
    news: Sequence[str] = ()


def stages(sweep: Sweep, judge: Judge | None = None) -> Iterator[Stage]:
    """The stages of a command, each after the one before has ended; one alone without a search.

    judge: the value of a trial, None where it failed; it raises `Unfinished` where the walk shall end. By default
    that of its stored row.
    """
    if sweep.options.search == "none":
        yield Stage(sweep, sweep.trials)
        return
    try:
        yield from _Search(sweep, judge or (lambda trial: _value(sweep, trial))).stages()
    except Unfinished:
        return


def outlook(sweep: Sweep) -> Sweep:
    """The sweep with all trials that it will have; where that is not decided yet, the first ones stand for others."""

    def judge(trial: Trial) -> float | None:
        try:
            return _value(sweep, trial)
        except Unfinished:
            return 0.0

    return list(stages(sweep, judge))[-1].sweep


def known(sweep: Sweep) -> Stage:
    """The last stage that finished rows lead to."""
    return list(stages(sweep))[-1]


def rungs(settings: int, rows: int, batch_size: int, halving: bool) -> list[Rung]:
    """Settings of a loss halved and rows doubled, up to one setting on all rows; the first rung fills a batch."""
    count = settings.bit_length() if halving else 1
    while count > 1 and rows >> (count - 1) < batch_size:
        count -= 1
    parts = [(rows >> (count - 1 - place)) // batch_size * batch_size for place in range(count - 1)]
    return [Rung(settings >> place, part) for place, part in enumerate([*parts, rows])]


def describe_search(sweep: Sweep) -> list[str]:
    """What the search will do and what each loss may spend, in sentences."""
    options, found = sweep.options, _spaces(sweep)
    each = trials_each(options, found)
    steps = [f"{rung.settings} on {rung.rows:,} training rows" for rung in _rungs(sweep, each)]
    lines = [
        f"search={options.search}: of each loss the same number of settings on seed {options.seeds[0]}: "
        f"{', then the best '.join(steps)}: {_tokens(sweep, each):,} training tokens a loss"
    ]
    seeds = confirmation_seeds(options)
    lines.append(
        f"confirmation: winner and default of each loss on seeds {', '.join(map(str, seeds))}, verdicts on test pairs"
        if seeds
        else "no confirmation: claim_seeds=none, so nothing is said about the losses"
    )
    if 0 < len(seeds) < CLAIM_SEEDS:
        lines.append(f"with fewer than {CLAIM_SEEDS} confirmation seeds there is no verdict")
    still = [space.loss for space in found if not space.axes]
    if still:
        lines.append(f"nothing to search: {', '.join(still)} (one value of everything), so one trial each")
    for space in found:
        axes = [f"{axis.name} {axis.values[0]:g} to {axis.values[-1]:g}" for axis in space.axes]
        lines += [f"  {space.loss}: {', '.join(axes)}"] if axes else []
    return lines


def _tokens(sweep: Sweep, each: int) -> int:
    """Tokens that the settings of one loss are trained on, all rungs together."""
    options, trial = sweep.options, next(trial for trial in sweep.trials if not trial.control)
    parts = _rungs(sweep, each)
    draws = [_cut(trial, rung.rows if rung is not parts[-1] else None).perturbations for rung in parts]
    rows = [sum(map(row_tokens, sweep.data.training_rows(trial.seed, perturbations))) for perturbations in draws]
    return sum(rung.settings * tokens for rung, tokens in zip(parts, rows, strict=True)) * options.epochs


def _spaces(sweep: Sweep) -> list[Space]:
    entry = ENTRIES.get(sweep.identity.source.name)
    return spaces(sweep.options, base_lr=sweep.identity.base_lr, entry_grid=entry.grid if entry else {})


def _rungs(sweep: Sweep, settings: int) -> list[Rung]:
    trial = next(trial for trial in sweep.trials if not trial.control)
    options = sweep.options
    return rungs(settings, sweep.data.count(trial.perturbations), options.batch_size, options.search == "racing")


def _cut(trial: Trial, rows: int | None) -> Trial:
    """The trial on fewer training rows; None: on all."""
    return trial if rows is None else replace(trial, perturbations=replace(trial.perturbations, train_pairs=rows))


def _value(sweep: Sweep, trial: Trial) -> float | None:
    """The validation accuracy of a finished trial, None of a failed one. Raises: Unfinished."""
    folder = sweep.folder(trial)
    if store.is_done(folder):
        return store.read_row(folder)[METRIC]
    if sweep.failure(trial) is None:
        raise Unfinished
    return None


@dataclass
class _Search:
    """The walk through one search; `cells` and `decisions` grow as in its record."""

    sweep: Sweep
    judge: Judge
    trials: list[Trial] = field(default_factory=list)
    cells: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    news: list[str] = field(default_factory=list)

    def stages(self) -> Iterator[Stage]:
        sweep = self.sweep
        self._add([(None, trial) for trial in sweep.trials if trial.control], stage=SEARCH)
        waiting = list(self.trials)
        alive: dict[str, list[tuple[int, Trial]]] = {}
        for trial in sweep.trials:
            if not trial.control:
                entries = alive.setdefault(trial.loss, [])
                entries.append((len(entries), trial))
        steps = _rungs(sweep, max(map(len, alive.values())))
        for number, rung in enumerate(steps):
            last = number == len(steps) - 1
            fresh = [(place, _cut(trial, None if last else rung.rows)) for place, trial in _in_turns(alive)]
            self._add(fresh, stage=SEARCH, rung=number)
            yield self._stage([*waiting, *(trial for _, trial in fresh)])
            waiting = []
            kept = 1 if last else steps[number + 1].settings
            alive = {loss: self._decide(loss, entries, rung, number, kept, last) for loss, entries in alive.items()}
        yield from self._confirm(alive)

    def _confirm(self, winners: Mapping[str, list[tuple[int, Trial]]]) -> Iterator[Stage]:
        """Winner and default of each loss on the fresh seeds, with the baselines; at the end nothing is left to do."""
        sweep, seeds = self.sweep, confirmation_seeds(self.sweep.options)
        baselines = [trial for trial in sweep.trials if trial.control]
        defaults = {space.loss: space.default for space in _spaces(sweep)}
        before = len(self.trials)
        for seed in seeds:
            self._add([(None, replace(t, seed=seed if t.seed is not None else None)) for t in baselines], stage=CLAIM)
            for loss, default in defaults.items():
                for number, trial in winners[loss]:
                    self._add([(number, replace(trial, seed=seed))], stage=CLAIM, role=WINNER)
                if all(replace(default, seed=trial.seed) != trial for _, trial in winners[loss]):
                    self._add([(None, replace(default, seed=seed))], stage=CLAIM, role=DEFAULT)
        yield self._stage(self.trials[before:])
        for trial in self.trials[before:]:
            self.judge(trial)
        yield self._stage([])

    def _add(
        self, entries: Sequence[tuple[int | None, Trial]], *, stage: str, rung: int | None = None, role: str = ""
    ) -> None:
        for number, trial in entries:
            if trial not in self.trials:
                self.trials.append(trial)
            entry = {
                "cell": self.sweep.identity.cell_id(trial),
                "loss": trial.loss,
                "stage": stage,
                "trial": number,
                "rung": rung,
                "role": role,
            }
            if entry not in self.cells:  # the untrained baseline, once for all seeds
                self.cells.append(entry)

    def _decide(
        self,
        loss: str,
        entries: list[tuple[int, Trial]],
        rung: Rung,
        number: int,
        keep: int,
        last: bool,
    ) -> list[tuple[int, Trial]]:
        """The best of a loss's settings, at their full number of rows again; noted with the evidence."""
        tried = [(place, _cut(trial, None if last else rung.rows)) for place, trial in entries]
        values = {place: self.judge(trial) for place, trial in tried}
        order = sorted((place for place, value in values.items() if value is not None), key=lambda p: (-values[p], p))
        kept, rest = order[:keep], order[keep:]
        tied = [place for place in rest if values[place] == values[kept[-1]]]
        self.decisions.append(
            {
                "loss": loss,
                "rung": number,
                "train_pairs": rung.rows,
                "rule": f"highest {METRIC}, then the first trial",
                "kept": kept,
                "cut": [place for place, _ in tried if place not in kept],
                "tied_with_kept": tied,
                "evidence": [
                    {"trial": place, "cell": self.sweep.identity.cell_id(trial), METRIC: values[place]}
                    for place, trial in tried
                ],
            }
        )
        self.news.append(_describe_cut(loss, rung, values, kept, tied))
        return [(place, trial) for place, trial in entries if place in kept]

    def _stage(self, fresh: Sequence[Trial]) -> Stage:
        news, self.news = self.news, []
        return Stage(replace(self.sweep, trials=list(self.trials)), list(fresh), self._record(), news)

    def _record(self) -> dict[str, Any]:
        """The search as it is stored beside its cells."""
        sweep, options = self.sweep, self.sweep.options
        found = _spaces(sweep)
        asked = {
            "method": options.search,
            "trials": trials_each(options, found),
            "search_seed": options.search_seed,
            "seed": options.seeds[0],
            "claim_seeds": list(confirmation_seeds(options)),
            "selected_by": METRIC,
            "protocol": sweep.identity.protocol,
            "train_pairs": list(options.train_pairs),
            "spaces": {space.loss: space.described() for space in found},
            "proposed": [sweep.identity.cell_id(trial) for trial in sweep.trials],
        }
        return {
            "search": digest(asked),
            **asked,
            "command": sweep.command,
            "cells": list(self.cells),
            "decisions": list(self.decisions),
        }


def _in_turns(alive: Mapping[str, list[tuple[int, Trial]]]) -> list[tuple[int, Trial]]:
    """The settings by trial number, losses in turn, so that a search cut short has treated them alike."""
    losses = list(alive)
    entries = [entry for own in alive.values() for entry in own]
    return sorted(entries, key=lambda entry: (entry[0], losses.index(entry[1].loss)))


def _describe_cut(
    loss: str, rung: Rung, values: Mapping[int, float | None], kept: Sequence[int], tied: Sequence[int]
) -> str:
    """A decision in one line."""
    shown = ", ".join(f"{place}: {'failed' if value is None else f'{value:.3f}'}" for place, value in values.items())
    chosen = f"kept {', '.join(map(str, kept))}" if kept else "none is left"
    equal = f" (equal and later: {', '.join(map(str, tied))})" if tied else ""
    return f"{loss} on {rung.rows:,} rows, validation accuracy by trial: {shown}; {chosen}{equal}"

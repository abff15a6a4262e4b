"""Perturbations of the training rows: how many, how noisy, of which lengths, how far apart in score.

They are declared axes. Evaluation rows, the reference store and KTO's mismatched completions do not depend on
label noise: a pair whose sides change places is still the same two texts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from harness.data.selection import ids_of, order, taken, values_of
from harness.data.tokens import Row
from harness.options.run import Options
from suites.rows import Rows


@dataclass(frozen=True)
class Perturbations:
    """What a trial does to its training rows; the defaults are a plain draw.

    train_pairs:    rows asked for; fewer where that is a default that the pool cannot give.
    label_noise:    share of them whose label is wrong.
    length_balance: equal numbers with the longer and with the shorter completion chosen, by tokens.
    min_margin:     least score_chosen - score_rejected; None keeps every pair.
    """

    train_pairs: int = Options.model_fields["train_pairs"].default[0]
    label_noise: float = 0.0
    length_balance: bool = False
    min_margin: float | None = None

    @property
    def clean(self) -> Perturbations:
        """The same rows with their own labels."""
        return replace(self, label_noise=0.0)

    @property
    def changed(self) -> dict[str, Any]:
        """The perturbations that are not at their defaults."""
        return {name: value for name, value in vars(self).items() if value != getattr(PLAIN, name)}

    @property
    def description(self) -> str:
        """The changed perturbations as they are typed, without the number of rows; empty for a plain draw."""
        return " ".join(f"suite.{name}={shown(value)}" for name, value in self.changed.items() if name != "train_pairs")


PLAIN = Perturbations()


def shown(value: bool | float) -> str:
    """The value of a perturbation as it is typed."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def start_perturbations(options: Options) -> Perturbations:
    """Those of `start=sft`: it is one start for all cells, so no perturbation but the number of rows acts on it."""
    return Perturbations(options.train_pairs[0])


def combinations(options: Options) -> list[Perturbations]:
    """Every setting of the perturbations that the options ask for."""
    axes = (options.train_pairs, options.label_noise, options.length_balance, options.min_margin)
    return [Perturbations(*values) for values in itertools.product(*axes)]


def eligible(pool: Sequence[Row], perturbations: Perturbations) -> Sequence[Row]:
    """The rows that min_margin keeps; a row without scores has no margin."""
    if perturbations.min_margin is None:
        return pool
    scores = enumerate(values_of(pool, "scores"))
    return taken(pool, [place for place, pair in scores if pair and pair[0] - pair[1] >= perturbations.min_margin])


class Draw(NamedTuple):
    """The training rows of one trial: as the suite has them, in canonical order, and whose label is wrong."""

    rows: Rows[Row]
    flipped: frozenset[str]

    @property
    def training(self) -> Rows[Row]:
        """The rows as they are trained on."""
        return self.rows.changed(partial(_as_trained, flipped=self.flipped)) if self.flipped else self.rows


def _as_trained(row: Row, flipped: frozenset[str]) -> Row:
    return flip(row) if row.id in flipped else row


def flips(rows: Sequence[Row], share: float, seed: int) -> frozenset[str]:
    """The ids of exactly round(share * rows) rows: the first by a hash, so a larger share only adds rows."""
    count = round(share * len(rows))
    if not count:
        return frozenset()
    ids = ids_of(rows)
    return frozenset(ids[place] for place in order(rows, "noise", seed)[:count])


def flip(row: Row) -> Row:
    """The row with its label reversed.

    Scores keep their places: a wrong verdict is wrong in its scores too, so a loss that reads them is told
    no more than one that does not.
    """
    if row.desirable is not None:
        return replace(row, desirable=not row.desirable)
    return replace(row, completions=row.completions[::-1])

"""One training run to do: a loss at one setting and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.data.perturbations import PLAIN, Perturbations, shown

if TYPE_CHECKING:
    from harness.model.sources import Source


@dataclass(frozen=True)
class Trial:
    """One training run to do: a loss at one setting and seed; `none` is the untrained baseline. Or an external
    checkpoint, which is measured only.

    hyperparameters holds all of the loss's values. lr and seed are None where nothing is trained.
    skip is the reason why the trial cannot run, or "". perturbations are those of its training rows.
    external_checkpoint is a model that another command or library trained; loss is then what it was trained with, or a
    name for it that no loss has. round is 1, or a later one that goes on from the weights of the round before.
    """

    loss: str
    hyperparameters: Mapping[str, float]
    lr: float | None
    seed: int | None
    control: bool
    skip: str = ""
    perturbations: Perturbations = PLAIN
    external_checkpoint: Source | None = None
    round: int = 1

    @property
    def training_seed(self) -> int:
        """The seed of a trial that trains. Raises: ValueError for one that trains nothing."""
        if self.seed is None:
            raise ValueError(f"{self.label} trains nothing, so it has no seed")
        return self.seed

    @property
    def parent(self) -> Trial | None:
        """The round before; None for the first."""
        return replace(self, round=self.round - 1) if self.round > 1 else None

    @property
    def chain(self) -> list[Trial]:
        """All rounds up to this one, the first in front."""
        return [*(self.parent.chain if self.parent else []), self]

    @property
    def label(self) -> str:
        """The trial in one short line: `dpo beta=0.1 lr=1e-05 seed=0 label_noise=0.2`."""
        parts = [f"{name}={value:g}" for name, value in self.hyperparameters.items()]
        parts += [f"lr={self.lr:g}"] if self.lr is not None else []
        parts += [f"seed={self.seed}"] if self.seed is not None else []
        parts += [f"{name}={shown(value)}" for name, value in self.perturbations.changed.items()]
        parts += [f"model={self.external_checkpoint.name}"] if self.external_checkpoint else []
        parts += [f"round={self.round}"] if self.round > 1 else []
        return " ".join([self.loss, *parts])

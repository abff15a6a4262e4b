"""Every path of a cell: its folder, what stays in it, and what is there while it is made or until a next round."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.experiment.trial import Trial
from results.cells import store


@dataclass(frozen=True)
class Places:
    """Where the things of one cell lie."""

    folder: Path

    @property
    def pairs(self) -> Path:
        """The table of its evaluations."""
        return self.folder / store.PAIRS

    @property
    def model(self) -> Path:
        """The folder of the trained model, where it is kept."""
        return self.folder / store.MODEL

    def model_of(self, trial: Trial) -> Path:
        """The folder of the model that the trial measures: its own, or the external checkpoint."""
        return trial.external_checkpoint.folder if trial.external_checkpoint else self.model

    @property
    def next_round(self) -> Path:
        """The folder of the weights that a next round begins with, until it has begun."""
        return self.folder / store.NEXT_ROUND

    @property
    def checkpoints(self) -> Path:
        """The folder of the states that a training goes on from, until the cell is stored."""
        return self.folder / store.CHECKPOINTS

    def checkpoints_of(self, evals: int) -> Path:
        """The states of a training that is evaluated so often: what lies behind one is not measured again."""
        return self.checkpoints / f"evals-{evals}"

    @property
    def weights(self) -> Path | None:
        """The folder of the trained weights, kept for good or for a next round; None where they are gone."""
        return next((place for place in (self.model, self.next_round) if place.is_dir()), None)

    def drop_checkpoints(self) -> None:
        """Removes the states to go on from, once the cell is stored."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)


def places_of(out: str, suite: str, loss: str, cell: str) -> Places:
    """The places of a cell of a command. Raises: UsageError where a symbolic link would lead elsewhere."""
    try:
        places = Places(store.cell_folder(out, suite, loss, cell))
    except ValueError as error:
        raise UsageError([str(error)]) from None
    for place in (places.model, places.checkpoints, places.next_round):
        if place.is_symlink():
            raise UsageError([f"{place} is a symbolic link, and nothing is written through one; remove it"])
    return places

"""What a cell lacks for a command, which says whether it is done, and whether it has to be trained again."""

from __future__ import annotations

from dataclasses import dataclass

from harness.evaluation.measurements import Measurement


@dataclass(frozen=True)
class Missing:
    """What a cell lacks for a command: measurements, and parts of the cell itself; false where it lacks nothing.

    parts:     `row` (it is not done), `evals`, the saved `model`, or the `weights` that its next round begins with.
    has_model: whether there is a model to measure, or none is needed.
    """

    measurements: tuple[Measurement, ...] = ()
    parts: tuple[str, ...] = ()
    has_model: bool = True

    def __bool__(self) -> bool:
        return bool(self.measurements or self.parts)

    @property
    def needs_training(self) -> bool:
        """Whether the cell has to be made again, because a measurement alone would not complete it."""
        return bool(self.parts) or any(not self._can_be_added(one) for one in self.measurements)

    @property
    def unasked(self) -> bool:
        """Whether a finished cell's model has to be asked for it, and is gone."""
        return not self.has_model and any(one.needs == "policy" for one in self.measurements)

    def _can_be_added(self, one: Measurement) -> bool:
        return one.needs == "policy" and self.has_model

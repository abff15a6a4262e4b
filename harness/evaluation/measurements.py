"""What is measured on a policy besides its held-out rows: a registry, and what a command asks for of it.

A measurement is declared where it is computed:

    @measurement(column="refusal_counted_by", option="refusal", needs="completions")
    def refusals(finished): ...

`column` is that of a row which says what was measured, `option` what asks for it. By what it needs it is:

    policy       a class, made with the loaded model: `PolicyMeasurement`. The policy is asked while it is in memory
    model        a function of the loaded model and the trial just trained: columns of the row
    nothing      a class, made with the loaded model, whose `on_pairs` adds columns to the table of held-out pairs
    completions  a function of the finished cells (finished.Finished): it stores what it finds, and returns a
                 sentence for each failure

All modules of this room are looked through, so that a new measurement is written into no list.
"""

from __future__ import annotations

import importlib
import operator
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from harness import evaluation
from harness.evaluation.finished import Addition
from harness.options.run import Options

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.data.dataset import Data
    from harness.experiment.trial import Trial
    from harness.training.loaded_model import LoadedModel

Needs = Literal["policy", "model", "nothing", "completions"]
OF_A_CELL: tuple[Needs, ...] = ("policy", "model", "nothing")
"""Needs of what is measured with a cell; completions are read when all cells are finished."""
Outputs = Mapping[str, Any]  # column of a measurement -> what a policy gave for it, as completions or log-probs
Made = TypeVar("Made", bound=Callable[..., Any])


class PolicyMeasurement(Protocol):
    """A measurement of what a policy says while its weights are in memory."""

    def prepare(self) -> None:
        """Does what only the reference can do, before a policy takes its place in memory."""

    def ask(self, model: Any) -> Any:
        """What is wanted of a policy while its weights are there."""

    def measure(self, outputs: Any) -> Addition:
        """The numbers of what a policy said; its weights may go."""

    def measure_reference(self) -> Addition:
        """The numbers of the untrained baseline."""

    def recompute(self, folder: Path) -> Addition:
        """The numbers of a cell that holds what its policy said. Raises: OSError, ValueError for a bad file."""


@dataclass(frozen=True)
class Measurement:
    """One entry of the registry.

    wanted:  what the column holds where all that the options ask is measured; None where nothing is asked.
    is_held: whether a column's value is what is wanted.
    make:    the class or function; see above.
    """

    column: str
    option: str
    needs: Needs
    wanted: Callable[[Options, Data], Any]
    is_held: Callable[[Any, Any], bool]
    make: Callable[..., Any]


_REGISTERED: dict[str, Measurement] = {}


def measurement(
    *,
    column: str,
    option: str,
    needs: Needs,
    wanted: Callable[[Options, Data], Any] | None = None,
    is_held: Callable[[Any, Any], bool] = operator.eq,
) -> Callable[[Made], Made]:
    """Registers what it decorates. Without `wanted`, the column holds the option's value; its default asks nothing."""

    def value(options: Options, data: Data) -> Any:
        given, default = getattr(options, option), type(options).model_fields[option].default
        return None if given == default else given

    def register(make: Made) -> Made:
        if column in _REGISTERED:
            raise ValueError(f"the column {column!r} is that of another measurement, {_REGISTERED[column].make!r}.")
        _REGISTERED[column] = Measurement(column, option, needs, wanted or value, is_held, make)
        return make

    return register


@cache
def _look_through() -> None:
    for module in sorted(found.name for found in pkgutil.iter_modules(evaluation.__path__)):
        importlib.import_module(f"{evaluation.__name__}.{module}")


def registered(*needs: Needs) -> list[Measurement]:
    """The measurements with these needs, by module."""
    _look_through()
    ordered = sorted(_REGISTERED.values(), key=lambda one: one.make.__module__)
    return [one for one in ordered if one.needs in needs]


def wanted(options: Options, data: Data) -> dict[str, Any]:
    """Column -> what a finished cell's row holds there where all is measured that is asked of the cell by itself."""
    asked = {one.column: one.wanted(options, data) for one in registered(*OF_A_CELL)}
    return {column: value for column, value in asked.items() if value is not None}


def lacking(row: Mapping[str, Any], asked: Mapping[str, Any]) -> list[Measurement]:
    """The measurements that a finished row does not hold as `wanted` says."""
    chosen = [one for one in registered(*OF_A_CELL) if one.column in asked]
    return [one for one in chosen if not one.is_held(row.get(one.column), asked[one.column])]


def of_completions(options: Options, data: Data) -> list[Measurement]:
    """The measurements of finished cells' completions that are asked for."""
    return [one for one in registered("completions") if one.wanted(options, data) is not None]


class Additions:
    """What a command asks for, measured with one loaded model."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded, self._wanted = loaded, wanted(loaded.options, loaded.data)
        asked = [one for one in registered(*OF_A_CELL) if one.column in self._wanted]
        self._of_policies: dict[str, PolicyMeasurement] = {
            one.column: one.make(loaded) for one in asked if one.needs == "policy"
        }
        self._of_models = [one.make for one in asked if one.needs == "model"]
        self._of_rows = [one.make(loaded) for one in asked if one.needs == "nothing"]

    def prepare(self) -> None:
        """What only the reference can do; before a policy takes its place in memory."""
        for part in self._of_policies.values():
            part.prepare()

    def ask(self, model: Any) -> Outputs:
        """What is wanted of a policy while its weights are there."""
        return {column: part.ask(model) for column, part in self._of_policies.items()}

    def of_model(self, trial: Trial) -> dict[str, Any]:
        """The columns that need the trained model; its weights stay."""
        return {name: value for of in self._of_models for name, value in of(self._loaded, trial).items()}

    def on_pairs(self, pairs: DataFrame) -> DataFrame:
        """The table of held-out pairs with what else is measured of its rows; a policy's weights may go."""
        for part in self._of_rows:
            pairs = part.on_pairs(pairs)
        return pairs

    def of_policy(self, outputs: Outputs) -> Addition:
        """The numbers of what a policy said; its weights go. Empty where nothing is asked for."""
        return self._joined({column: part.measure(outputs[column]) for column, part in self._of_policies.items()})

    def of_reference(self) -> Addition:
        """The numbers of the untrained baseline."""
        return self._joined({column: part.measure_reference() for column, part in self._of_policies.items()})

    def of_finished(self, folder: Path, model: Path, lacks: Sequence[Measurement]) -> Addition:
        """The numbers of a finished cell: of what it holds, and what it lacks from its model in the folder `model`."""
        absent = [one.column for one in lacks]
        found = {column: part.recompute(folder) for column, part in self._of_policies.items() if column not in absent}
        if absent:
            self.prepare()
            policy = self._loaded.policy.load(model)
            outputs = {column: self._of_policies[column].ask(policy) for column in absent}
            found |= {column: self._of_policies[column].measure(said) for column, said in outputs.items()}
        return self._joined(found)

    def _joined(self, parts: Mapping[str, Addition]) -> Addition:
        columns: dict[str, Any] = {}
        for column, part in parts.items():
            columns |= {column: self._wanted[column], **part.columns}
        return Addition(columns, {name: content for part in parts.values() for name, content in part.files.items()})

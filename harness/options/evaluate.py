"""The options of the verb `evaluate`: what it has of its own, and which keys of `run` it takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from harness.options.cards import cards, kinds
from harness.options.fields import OptionCard, Scope, option, required
from harness.options.parsers import Auto, Number, Several, Text, WholeNumber
from harness.options.words import AXIS, LIST

SHARED = frozenset(card.name for card in cards() if card.evaluate)
"""Keys that mean what they mean for `run`; those of training have nothing to act on."""


class EvaluateOptions(BaseModel):
    """What is measured against what, and what is known of its training; frozen, complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[tuple[str, ...], BeforeValidator(Several(Text()))] = required(
        "the trained models: folders of whole models or of adapters, or hub ids",
        AXIS,
        scope=Scope.GRID,
        example="my-dpo-model",
    )
    model_revision: Annotated[str | None, BeforeValidator(Auto(Text()))] = option(
        None, "commit or branch of a hub model; auto = its newest", shown="auto", scope=Scope.GRID
    )
    reference: Annotated[str, BeforeValidator(Text())] = required(
        "what they were trained from: a name of `list models`, a folder, or a hub id",
        scope=Scope.GRID,
        example="smollm2-135m",
    )
    reference_revision: Annotated[str | None, BeforeValidator(Auto(Text()))] = option(
        None, "commit or branch of a hub reference; auto = its newest", shown="auto", scope=Scope.GRID
    )
    loss: Annotated[str | None, BeforeValidator(Auto(Text()))] = option(
        None,
        "the loss of `list losses` that they were trained with, whose own reward is then used; auto = unknown, "
        "the model's name stands in its place",
        shown="auto",
        scope=Scope.GRID,
    )
    beta: Annotated[float | None, BeforeValidator(Auto(Number(above=0)))] = option(
        None,
        "the beta that they were trained with, for effective_beta; auto = unknown",
        shown="auto",
        scope=Scope.GRID,
    )
    seeds: Annotated[tuple[int, ...], BeforeValidator(Several(WholeNumber(0, 2**31 - 1)))] = option(
        (),
        "the seed of each model, in their order: says that they are runs of one setting, as `compare` needs it",
        LIST,
        shown="unknown",
        scope=Scope.GRID,
        example="0,1,2",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> EvaluateOptions:
        problems = []
        if self.seeds and len(self.seeds) != len(self.model):
            problems.append(f"seeds= names {len(self.seeds)} seeds for {len(self.model)} models; give one for each")
        if self.seeds and self.loss is None:
            problems.append("seeds= says that the models are runs of one setting; name it with loss=")
        if self.beta is not None and self.loss is None:
            problems.append(f"beta={self.beta:g} belongs to a loss, and none is named; add loss=dpo, say")
        if self.model_revision is not None and len(self.model) > 1:
            problems.append("model_revision= belongs to one model, and model= names several; one command for each")
        if problems:
            raise ValueError("\n".join(problems))
        return self


def evaluate_cards() -> tuple[OptionCard, ...]:
    """Every key of `evaluate`: its own, then those shared with `run`."""
    return (*cards(EvaluateOptions), *(card for card in cards() if card.name in SHARED))


def evaluate_kinds() -> dict[str, str]:
    """Key -> SCALAR, LIST or AXIS, as `cards.kinds`."""
    own = kinds(EvaluateOptions)
    return {**own, **{name: kind for name, kind in kinds().items() if name in SHARED}}

"""Weighted sums of registered losses, registered as losses themselves.

losses.combine("mine", dpo=0.8, sft=0.2)
losses.named("dpo+0.2*sft")          # the same from text; its name becomes dpo_plus_sft_x0p2
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from losses import registry
from losses.batch import ExampleBatch, PairBatch
from losses.registry import Loss, LossFunction

BATCHES = {"pairwise": PairBatch, "pointwise": ExampleBatch}


@dataclass(frozen=True)
class _Part:
    """One summand. keys: its own hyper-parameter -> what the sum calls it."""

    loss: Loss
    weight: float
    keys: Mapping[str, str]

    def value(self, batch: PairBatch | ExampleBatch, values: Mapping[str, float]) -> Tensor:
        """[N] its weighted value, from the sum's hyper-parameters."""
        return self.weight * self.loss.fn(batch, **{own: values[key] for own, key in self.keys.items()})

    @property
    def written(self) -> str:
        """`0.2*sft`, or the bare name at weight 1."""
        return self.loss.name if self.weight == 1.0 else f"{_digits(self.weight)}*{self.loss.name}"


def combine(name: str, /, **weights: float) -> Loss:
    """Register the weighted sum of losses under `name` and return its card.

    A hyper-parameter keeps its name where one part alone has it and is called PART_KEY where several do
    (dpo_beta); so do the grids. needs are the union; the reward is the first part's; batch_coupled if any
    part is; the terms are the weighted parts. lr_scale is the smallest of the parts': a rate that suits a
    likelihood would be a contrast's undoing, so start low and sweep `lrs`. The source is a digest of the
    parts, their weights and their plug-ins, so that an edited plug-in makes another loss of the sum.

    Raises: LookupError for an unknown part; ValueError for a weight that is not a number above 0, parts of
    different kinds, no parts, or a name that is taken.
    """
    parts = _parts(weights)
    _register(name, parts)
    return registry.get(name)


def named(text: str) -> Loss:
    """The loss that a text names: a registered one, or a sum of `[weight*]name` joined by `+`.

    A sum is registered the first time, under a plain word (`dpo+0.2*sft`: dpo_plus_sft_x0p2), and anew when
    one of its parts has changed.

    Raises: as `combine`, and ValueError for a text that is no sum.
    """
    if not is_sum(text):
        return registry.get(text)
    parts = _parts(_weights(text))
    name = "_plus_".join(part.loss.name + _slug(part.weight) for part in parts)
    if name in registry.names():
        known = registry.get(name)
        if known.source == _source(parts):
            return known
        if known.parts:
            registry.forget(name)
    _register(name, parts)
    return registry.get(name)


def is_sum(text: str) -> bool:
    """Whether a text is written as a weighted sum rather than as one name."""
    return "+" in text or "*" in text


def _weights(text: str) -> dict[str, float]:
    """`dpo+0.2*sft` -> {"dpo": 1.0, "sft": 0.2}. Raises: ValueError."""
    weights: dict[str, float] = {}
    for term in text.split("+"):
        weight, star, name = term.strip().rpartition("*")
        name = name.strip()
        if not name or (star and not weight.strip()):
            raise ValueError(f"{text!r} has an empty term; write a sum as dpo+0.2*sft, each term [weight*]name.")
        if name in weights:
            raise ValueError(f"{name!r} stands twice in {text!r}; give it once, with one weight.")
        try:
            weights[name] = float(weight) if star else 1.0
        except ValueError:
            raise ValueError(
                f"the weight {weight.strip()!r} of {name!r} in {text!r} is not a number; "
                "write a sum as dpo+0.2*sft, each term [weight*]name."
            ) from None
    return weights


def _parts(weights: Mapping[str, float]) -> list[_Part]:
    """The summands with their hyper-parameters renamed where they collide. Raises: ValueError."""
    if not weights:
        raise ValueError("a sum of no losses; name its parts with their weights: combine('mine', dpo=0.8, sft=0.2).")
    found = {name: registry.get(name) for name in weights}
    for name, weight in weights.items():
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not (is_number and math.isfinite(weight) and weight > 0):
            raise ValueError(f"the weight of {name!r} is {weight!r}, allowed: a number above 0.")
    kinds = {loss.kind for loss in found.values()}
    if len(kinds) > 1:
        seen = ", ".join(f"{name} is {loss.kind}" for name, loss in found.items())
        raise ValueError(f"losses of different kinds cannot be added: {seen}. Add pairwise to pairwise ones.")
    seen_in = Counter(key for loss in found.values() for key in loss.defaults)
    return [
        _Part(loss, float(weights[name]), {k: k if seen_in[k] == 1 else f"{name}_{k}" for k in loss.defaults})
        for name, loss in found.items()
    ]


def _register(name: str, parts: list[_Part]) -> None:
    first = parts[0].loss
    loss = Loss(
        name=name,
        fn=_function(name, parts, parts),
        paper="; ".join(dict.fromkeys(part.loss.paper for part in parts if part.loss.paper)),
        kind=first.kind,
        needs=first.needs.union(*(part.loss.needs for part in parts)),
        reward=first.reward,
        defaults=_defaults(parts),
        grid={part.keys[key]: grid for part in parts for key, grid in part.loss.grid.items()},
        lr_scale=min(part.loss.lr_scale for part in parts),
        batch_coupled=any(part.loss.batch_coupled for part in parts),
        formula=" + ".join(_formula(part) for part in parts),
        verified=f"the sum of its terms, by the probe; {', '.join(part.loss.name for part in parts)} by themselves",
        terms={part.loss.name: _function(name, parts, [part]) for part in parts},
        parts={part.loss.name: part.weight for part in parts},
        source=_source(parts),
    )
    registry.add(loss)


def _defaults(parts: list[_Part]) -> dict[str, float]:
    """The hyper-parameters of all parts, as the sum calls them, with their defaults."""
    return {part.keys[own]: value for part in parts for own, value in part.loss.defaults.items()}


def _function(name: str, parts: list[_Part], summed: list[_Part]) -> LossFunction:
    """A loss function with the hyper-parameters of all `parts` that adds up those of `summed`."""
    keys = _defaults(parts)
    kinds = inspect.Parameter
    signature = inspect.Signature(
        [
            kinds("batch", kinds.POSITIONAL_ONLY, annotation=BATCHES[parts[0].loss.kind]),
            *(kinds(key, kinds.KEYWORD_ONLY, default=value, annotation=float) for key, value in keys.items()),
        ]
    )

    def fn(*batch: Any, **values: float) -> Tensor:
        bound = signature.bind(*batch, **values)  # refuses a hyper-parameter that no part has
        full = {**keys, **bound.kwargs}
        first, *others = (part.value(bound.args[0], full) for part in summed)
        return sum(others, first)

    return _described(fn, name, signature, " + ".join(part.written for part in summed))


def _described(fn: Callable[..., Tensor], name: str, signature: inspect.Signature, text: str) -> LossFunction:
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"The weighted sum {text}; returns [N], in the units of its parts.\n\nConventions: those of its parts."
    fn.__signature__ = signature  # type: ignore[attr-defined]
    return fn


def _formula(part: _Part) -> str:
    """The part's formula in brackets with its weight; its name where it declares none."""
    renamed = [f"{own} = {key}" for own, key in part.keys.items() if own != key]
    note = f" [{', '.join(renamed)}]" if renamed else ""
    weight = "" if part.weight == 1.0 else f"{_digits(part.weight)}*"
    return f"{weight}({part.loss.formula or part.loss.name}){note}"


def _source(parts: list[_Part]) -> str:
    """sha256 over the parts' names, weights and own sources."""
    text = json.dumps([[part.loss.name, part.weight, part.loss.source] for part in parts])
    return hashlib.sha256(text.encode()).hexdigest()


def _digits(weight: float) -> str:
    """The shortest digits that give the number back, a whole one without its point."""
    return repr(weight).removesuffix(".0")


def _slug(weight: float) -> str:
    """A weight as part of a plain word: 0.2 -> _x0p2, 1e-05 -> _x1em05, 1 -> nothing."""
    if weight == 1.0:
        return ""
    return "_x" + _digits(weight).replace(".", "p").replace("-", "m").replace("+", "")

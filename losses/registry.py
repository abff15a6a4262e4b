"""The registry of losses: a decorator, the card of each loss, and look-up by name.

A loss is a pure function `fn(batch, *, beta=0.1, ...) -> [N]`. Its hyper-parameters are its keyword-only
arguments and its kind is the annotation of its first parameter; everything else is said in `@register`.
What values they may take is in `losses.hyperparameters`, how plug-in files are found and loaded in
`losses.plugins`, whether a loss keeps its promises in `losses.checks.probe`.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor

from losses.batch import ExampleBatch, PairBatch
from losses.numerics import is_finite_number, nearest
from losses.rewards import REWARDS

LossFunction = Callable[..., Tensor]
Kind = Literal["pairwise", "pointwise"]

NEEDS = ("reference", "prompt", "tokens", "mismatched", "scores")  # and "stats:NAME"
KINDS: dict[str, Kind] = {PairBatch.__name__: "pairwise", ExampleBatch.__name__: "pointwise"}


@dataclass(frozen=True)
class Loss:
    """The card of a registered loss.

    fn:            `fn(batch, **hyperparameters) -> [N]`, un-reduced.
    kind:          "pairwise" (takes a PairBatch) or "pointwise" (takes an ExampleBatch).
    needs:         what the trainer must compute for it, from `NEEDS` or "stats:NAME".
    reward:        the reward by which this loss ranks completions, one of `REWARDS`; where none is
                   declared, "log_ratio" for a loss that needs the reference, else "log_prob".
    defaults:      every hyper-parameter with its default.
    grid:          hyper-parameter -> values tried in the literature.
    lr_scale:      this loss's learning rate relative to the model's own, a declared starting point.
    batch_coupled: an example's value depends on the other examples, or on state or a generator.
    terms:         name -> function with the loss's signature; the terms add up to the loss.
    parts:         for a weighted sum, the losses it adds up and their weights; else empty.
    source:        sha256 of the plug-in file, stamped on when it is loaded, or of what a sum is made of; None for
                   a built-in loss.
    origin:        the plug-in as the user named it, None for a built-in loss.
    """

    name: str
    fn: LossFunction
    paper: str
    kind: Kind
    needs: frozenset[str]
    reward: str
    defaults: Mapping[str, float]
    grid: Mapping[str, tuple[float, ...]]
    lr_scale: float
    batch_coupled: bool
    verified: str
    formula: str
    terms: Mapping[str, LossFunction]
    parts: Mapping[str, float] = field(default_factory=dict)
    source: str | None = None
    origin: str | None = None


_losses: dict[str, Loss] = {}
_staged: dict[str, Loss] | None = None


def register(
    name: str,
    *,
    paper: str = "",
    needs: Iterable[str] = (),
    reward: str | None = None,
    grid: Mapping[str, Sequence[float]] | None = None,
    lr_scale: float = 1.0,
    batch_coupled: bool = False,
    formula: str = "",
    verified: str = "",
    terms: Mapping[str, LossFunction] | None = None,
) -> Callable[[LossFunction], LossFunction]:
    """Register the decorated function under `name` and return it unchanged; `Loss` says what is declared.

    Raises: ValueError where the function or the declaration cannot be used, or the name is taken.
    """
    wanted = frozenset([needs] if isinstance(needs, str) else needs)

    def declared(fn: LossFunction) -> LossFunction:
        loss = Loss(
            name=name,
            fn=fn,
            paper=paper,
            defaults=_hyperparameters(name, fn),
            kind=_kind(name, fn),
            needs=wanted,
            reward=reward or ("log_ratio" if "reference" in wanted else "log_prob"),
            grid={key: tuple(float(value) for value in options) for key, options in (grid or {}).items()},
            lr_scale=float(lr_scale),
            batch_coupled=batch_coupled,
            verified=verified,
            formula=formula,
            terms=dict(terms or {}),
        )
        add(loss)
        return fn

    return declared


def add(loss: Loss) -> None:
    """Put a loss into the registry, or into the plug-in being loaded.

    Raises: ValueError where the declaration cannot be used, or the name is taken.
    """
    _require_usable_declaration(loss)
    target = _losses if _staged is None else _staged
    taken = _losses.get(loss.name) or target.get(loss.name)
    if taken is not None:
        raise ValueError(
            f"loss {loss.name!r} is already registered by {taken.origin or taken.fn.__module__}; "
            "choose another name: a variant is its own loss."
        )
    target[loss.name] = loss


def get(name: str) -> Loss:
    """The card of a registered loss.

    Raises: LookupError naming the nearest loss and all known ones.
    """
    known = {**_losses, **(_staged or {})}  # a plug-in being loaded may add up its own losses
    if name not in known:
        raise LookupError(f"unknown loss {name!r}; {nearest(name, known)}Known: {', '.join(known)}.")
    return known[name]


def forget(name: str) -> None:
    """Take a loss out of the registry: a sum whose part has changed is registered anew."""
    del _losses[name]


def names() -> tuple[str, ...]:
    """Every registered loss, built-in ones first, in the order of registration."""
    return tuple(_losses)


@contextmanager
def registering_from(origin: str, source: str, replaceable: Iterable[str]) -> Iterator[dict[str, Loss]]:
    """Stamp losses registered inside the block as a plug-in's; all of them enter, or none.

    origin, source: see `Loss`. replaceable: names that this plug-in registered before and may replace;
    those that it no longer registers are forgotten. Yields the losses registered so far.
    """
    global _staged
    before = dict(_losses)
    staged: dict[str, Loss] = {}
    for name in replaceable:
        _losses.pop(name, None)
    _staged = staged
    try:
        yield staged
        stamped = {
            name: replace(loss, origin=origin, source=_joined(source, loss.source)) for name, loss in staged.items()
        }
    except BaseException:
        _losses.clear()
        _losses.update(before)
        raise
    finally:
        _staged = None
    _losses.update(stamped)


def _joined(source: str, of_parts: str | None) -> str:
    """The plug-in's digest; of a sum that it registers, one of both, because parts may be another plug-in's."""
    return source if of_parts is None else hashlib.sha256(f"{source} {of_parts}".encode()).hexdigest()


def _hyperparameters(name: str, fn: LossFunction) -> dict[str, float]:
    """Keyword-only arguments with their numeric defaults; anything else in the signature is refused.

    Raises: ValueError.
    """
    parameters = list(inspect.signature(fn).parameters.values())
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise ValueError(f"loss {name!r} takes no batch; write `def {name}(pair: losses.PairBatch, *, ...)`.")
    for parameter in parameters[1:]:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise ValueError(
                f"loss {name!r}: parameter {str(parameter)!r} is not keyword-only; hyper-parameters come "
                "after a `*`, as in `def mine(pair: losses.PairBatch, *, beta: float = 0.1)`."
            )
        if not is_finite_number(parameter.default):
            seen = "missing" if parameter.default is inspect.Parameter.empty else repr(parameter.default)
            raise ValueError(
                f"loss {name!r}: the default of {parameter.name!r} is {seen}, allowed: a finite number. "
                "A switch is no hyper-parameter: register the variant under its own name."
            )
    return {parameter.name: float(parameter.default) for parameter in parameters[1:]}


def _kind(name: str, fn: LossFunction) -> Kind:
    """Pairwise or pointwise, read from the first parameter's annotation (a class, or its name as text).

    Raises: ValueError.
    """
    first = next(iter(inspect.signature(fn).parameters.values()))
    annotation = first.annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", repr(annotation))
    kind = KINDS.get(text.strip("\"' ").rsplit(".", 1)[-1])
    if kind is None:
        seen = "missing" if annotation is inspect.Parameter.empty else repr(text)
        raise ValueError(
            f"loss {name!r}: the annotation of its first parameter {first.name!r} is {seen}, allowed: "
            "losses.PairBatch (pairs) or losses.ExampleBatch (single rated answers)."
        )
    return kind


def _require_usable_declaration(loss: Loss) -> None:
    """Refuse unknown needs and rewards, a grid over no hyper-parameter, and an lr_scale that is no factor.

    Raises: ValueError.
    """
    if not loss.name or not loss.name.isidentifier():
        raise ValueError(f"loss name {loss.name!r} is not a plain word, allowed: letters, digits and _.")
    if loss.name == "none":
        raise ValueError("loss name 'none' is that of the untrained control, choose another.")
    for need in sorted(loss.needs):
        if need not in NEEDS and not (need.startswith("stats:") and len(need) > len("stats:")):
            allowed = ", ".join(NEEDS)
            raise ValueError(
                f"loss {loss.name!r} needs {need!r}; {nearest(need, NEEDS)}Allowed: {allowed}, stats:NAME."
            )
    if loss.reward not in REWARDS:
        raise ValueError(
            f"loss {loss.name!r}: unknown reward {loss.reward!r}; {nearest(loss.reward, REWARDS)}"
            f"Known: {', '.join(REWARDS)}."
        )
    if loss.reward.endswith("log_ratio") and "reference" not in loss.needs:
        raise ValueError(
            f"loss {loss.name!r}: the reward {loss.reward!r} compares with the reference, which it does not need; "
            'add "reference" to its needs, or name another reward.'
        )
    for key, options in loss.grid.items():
        if key not in loss.defaults:
            known = ", ".join(loss.defaults) or "none"
            raise ValueError(f"loss {loss.name!r}: grid over {key!r}, its hyper-parameters are: {known}.")
        if not options or not all(map(math.isfinite, options)):
            raise ValueError(f"loss {loss.name!r}: grid of {key!r} is {options}, allowed: finite numbers.")
    if not (math.isfinite(loss.lr_scale) and loss.lr_scale > 0):
        raise ValueError(f"loss {loss.name!r}: lr_scale is {loss.lr_scale}, allowed: a number above 0.")

"""The second look at what was asked: do the named losses, settings, suite, model and folders exist.

`read_options` is the door for command-line words: it collects what both looks find wrong and raises it at
once, before any model or data is loaded. Warnings are returned, not printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import losses
from harness.errors import UsageError
from harness.options.cards import kinds, make, values_of
from harness.options.judges import measurement_problems
from harness.options.models import ENTRIES, Grid, grid_of
from harness.options.parsers import Number, nearest, unknown
from harness.options.run import Options
from harness.options.suites import looks_like_path, suite_errors
from harness.options.words import Words, split
from harness.redaction import refusals


class Checked(NamedTuple):
    """Options whose every name exists, and what the user should know about them."""

    options: Options
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Findings:
    errors: list[str]
    warnings: list[str]


def read_options(argv: Sequence[str]) -> Checked:
    """Options from command-line words, every name looked up; plug-ins are loaded on the way.

    Raises: UsageError with every problem found.
    """
    words = split(argv, kinds())
    errors = [*words.errors, *refusals(argv)]
    for word in words.bare:
        errors.append(f"unexpected word {word!r}; settings are written key=value, without spaces")
    return checked(values_of(words), words, errors)


def checked(values: Mapping[str, Any], words: Words, errors: Sequence[str]) -> Checked:
    """Options from values that are still text, every name looked up; `errors` were found in the words before.

    Raises: UsageError with every problem found, those before included.
    """
    errors = list(errors)
    findings = _look_up(values)
    options: Options | None = None
    try:
        options = make(with_named_sums(values))
    except UsageError as error:
        errors += [message for message in error.messages if not message.startswith(_said_better(words))]
    errors += findings.errors
    if errors or options is None:
        raise UsageError(errors)
    return Checked(options, tuple(findings.warnings))


def _said_better(words: Words) -> tuple[str, ...]:
    """Beginnings of sentences about values that another sentence explains: an unread key is not missing, and
    a value of a loss that does not exist needs no judgement."""
    unknown_losses = [name for name in words.loss_settings if name not in losses.names()]
    return (*(f"{key}= is missing" for key in words.unread), *(f"{name}." for name in unknown_losses))


def _look_up(values: Mapping[str, Any]) -> _Findings:
    """Both kinds of findings about explicitly given values, which may still be text."""
    findings = _Findings(_load_plugins(_items(values.get("plugins"))), [])
    known = []
    for name in dict.fromkeys(_items(values.get("losses"))):
        try:
            known.append(losses.named(name))
        except LookupError as error:
            findings.errors.append(_unknown_loss(name, error))
        except ValueError as error:
            findings.errors.append(f"losses: {error}")
    values = with_named_sums(values)
    _look_up_loss_settings(values, findings)
    _look_up_shared_axes(values, known, findings)
    findings.errors.extend(suite_errors(values.get("suite"), values.get("suite_settings", {})))
    _look_up_model(values, findings)
    _look_up_out(values, findings)
    findings.errors.extend(measurement_problems(values))
    return findings


def with_named_sums(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the registered name of each weighted sum in the place of its text (`dpo+0.2*sft`).

    A text that names no sum stays as it is: its error has been noted.
    """
    changed = dict(values)
    if "losses" in values:
        changed["losses"] = tuple(map(_name_of, _items(values["losses"])))
    if "loss_settings" in values:
        changed["loss_settings"] = {_name_of(owner): own for owner, own in values["loss_settings"].items()}
    return changed


def _name_of(text: str) -> str:
    try:
        return losses.named(text).name if losses.is_sum(text) else text
    except (LookupError, ValueError):
        return text


def _load_plugins(sources: Sequence[str]) -> list[str]:
    """Load installed and named plug-ins; one sentence for each that cannot be loaded."""
    errors = []
    try:
        losses.load_entry_points()
    except ValueError as error:
        errors.append(str(error))
    for source in sources:
        try:
            losses.load_plugin(source)
        except (ValueError, FileNotFoundError) as error:
            errors.append(f"plugins: {error}")
    return errors


def _unknown_loss(name: str, error: LookupError) -> str:
    if name == "none":
        return "losses: 'none' is the untrained control and not a loss; controls=true, the default, runs it"
    return f"losses: {error} A loss of your own needs plugins=FILE.py."


def _look_up_loss_settings(values: Mapping[str, Any], findings: _Findings) -> None:
    """LOSS.KEY: the loss is one of losses=, KEY is `lrs` or its hyper-parameter, `grid` is declared."""
    selected = _items(values.get("losses"))
    for name, settings in values.get("loss_settings", {}).items():
        first = next(iter(settings))
        if name not in selected:
            findings.errors.append(_not_selected(name, first, selected))
        elif name in losses.names():
            findings.errors.extend(_wrong_settings(losses.get(name), settings, _entry_grid(values)))


def _not_selected(name: str, key: str, selected: Sequence[str]) -> str:
    """The sentence for settings of something that is not among losses=."""
    if name in losses.names():
        return f"{name}.{key}: {name} is not among losses={','.join(selected)}; add it there, or drop this"
    return f"{name}.{key}: " + unknown("loss or `suite`", name, [*selected, "suite"])


def _wrong_settings(loss: losses.Loss, settings: Mapping[str, Any], entry_grid: Grid) -> list[str]:
    """Settings that a loss does not have, or whose grid nobody declares."""
    problems = []
    for key, asked in settings.items():
        if key != "lrs" and key not in loss.defaults:
            problems.append(f"{loss.name}.{key}: " + unknown("setting", key, [*loss.defaults, "lrs"]))
        elif key != "lrs" and _is_grid(asked) and grid_of(loss, key, entry_grid) is None:
            problems.append(f"{loss.name}.{key}=grid: {_no_grid(loss, key)}")
        elif key not in ("lrs", "beta"):  # whose limits are those of the options
            problems.extend(_outside_limits(loss, key, asked))
    return problems


def _outside_limits(loss: losses.Loss, key: str, asked: Any) -> list[str]:
    """A sentence for each value that a hyper-parameter cannot have; what is no number is told by the options."""
    problems = []
    for value in _items(asked):
        try:
            number = Number()(value)
        except ValueError:
            continue
        try:
            losses.check_hyperparameters(loss, {key: number})
        except ValueError as error:
            problems.append(str(error))
    return problems


def _no_grid(loss: losses.Loss, key: str) -> str:
    example = f"{loss.name}.{key}={loss.defaults[key]:g},..."
    return f"{loss.name} declares no grid for {key}; give values: {example}"


def _look_up_shared_axes(values: Mapping[str, Any], selected: list[losses.Loss], findings: _Findings) -> None:
    """betas= and lrs=: whom they reach, and whether one scale can fit them all."""
    own = values.get("loss_settings", {})
    if "betas" in values:
        with_beta = [loss for loss in selected if "beta" in loss.defaults]
        reached = [loss for loss in with_beta if "beta" not in own.get(loss.name, {})]
        _look_up_betas(values, selected, reached, findings)
    if "lrs" in values and not _is_grid(values["lrs"]):
        scales = {loss.name: loss.lr_scale for loss in selected if "lrs" not in own.get(loss.name, {})}
        if len(set(scales.values())) > 1:
            findings.warnings.append(
                f"lrs= gives {_listing(scales)} the same learning rates, but their lr_scale differs: "
                "lrs=grid tries three around each loss's own, LOSS.lrs=... sets one loss"
            )


def _look_up_betas(
    values: Mapping[str, Any], selected: list[losses.Loss], reached: list[losses.Loss], findings: _Findings
) -> None:
    """The findings about a shared betas=."""
    without = [loss.name for loss in selected if "beta" not in loss.defaults]
    if selected and len(without) == len(selected):
        findings.errors.append(f"betas: none of {', '.join(without)} has a beta; drop betas=")
    elif without:
        findings.warnings.append(f"betas= does not act on {', '.join(without)}, which has no beta")
    if _is_grid(values["betas"]):
        gridless = [loss for loss in reached if grid_of(loss, "beta", _entry_grid(values)) is None]
        findings.errors.extend(f"betas=grid: {_no_grid(loss, 'beta')}" for loss in gridless)
        return
    defaults = {loss.name: loss.defaults["beta"] for loss in reached}
    if len(set(defaults.values())) > 1:
        findings.warnings.append(
            f"betas= gives {_listing(defaults)} the same values, but their scales differ (default betas "
            "in brackets): betas=grid uses each loss's own, LOSS.beta=... sets one loss"
        )


def _look_up_model(values: Mapping[str, Any], findings: _Findings) -> None:
    """A model's name where it can be judged without the hub, and options that cannot act on it."""
    name = values.get("model")
    if isinstance(name, str) and name not in ENTRIES and not Path(name).expanduser().is_dir():
        meant = nearest(name, ENTRIES)
        if "/" not in name and meant:
            findings.errors.append("model: " + unknown("model", name, ENTRIES) + " Or a folder, or a hub id.")
        elif looks_like_path(name, ()):
            findings.errors.append(f"model: no such folder: {name}; give a folder, a hub id, or a known name")
    if values.get("tuning", "full") == "full":
        idle = [key for key in ("lora_rank", "lora_alpha") if key in values]
        if idle:
            findings.warnings.append(f"{', '.join(idle)} does nothing while tuning=full; write tuning=lora")


def _look_up_out(values: Mapping[str, Any], findings: _Findings) -> None:
    out = Path(str(values.get("out", "."))).expanduser().absolute()
    there = next(place for place in (out, *out.parents) if place.exists())
    if not there.is_dir():
        findings.errors.append(f"out: {there} is a file; name a folder, which is made when it is not there")


def _entry_grid(values: Mapping[str, Any]) -> Grid:
    entry = ENTRIES.get(values.get("model", Options.model_fields["model"].default))
    return entry.grid if entry else {}


def _items(value: Any) -> tuple[str, ...]:
    """A list-valued option as a tuple, absent or single ones too."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _is_grid(value: Any) -> bool:
    return value in ("grid", ["grid"], ("grid",))


def _listing(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} ({number:g})" for name, number in numbers.items())

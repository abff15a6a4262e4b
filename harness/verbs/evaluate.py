"""The verb `evaluate`: external checkpoints, measured against their reference as a trained cell is.

A model is a cell that is finished without training: the same rows, metrics, completions and files. One model is in
memory: the reference is measured first (and kept), then each model's weights take the place of its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import losses
from harness.cells.inputs import rows_held_out
from harness.cells.sweep import Sweep
from harness.compute.machine import resolve
from harness.data.dataset import Data
from harness.errors import UsageError
from harness.evaluation.completions import questions
from harness.experiment.identity import ExternalIdentity
from harness.experiment.trial import Trial
from harness.model.sources import Source, find, load_tokenizer
from harness.model.weights import require_whole
from harness.options import lookup as names
from harness.options.cards import make, values_of
from harness.options.evaluate import SHARED, EvaluateOptions, evaluate_kinds
from harness.options.run import Options
from harness.options.words import Words, split
from harness.progress import Progress, on_stream
from harness.redaction import command_line, refusals
from harness.sweeps.run import carry_out
from harness.verbs.trained import COMPARED_ROWS, find_trained, warnings_about
from suites import Kind

# A run's options have these; where nothing is trained nothing reads them, and the smallest cost nothing.
_NOT_TRAINED = {"train_pairs": 1, "batch_size": 1}
_ANY_LOSS = "sft"


class Evaluation(NamedTuple):
    """What is asked: the verb's own options, those it shares with `run`, and what to know about them."""

    own: EvaluateOptions
    shared: Options
    warnings: tuple[str, ...]


def read_evaluate_options(argv: Sequence[str]) -> Evaluation:
    """The options from command-line words, every name looked up. Raises: UsageError with every problem found."""
    words = split(argv, evaluate_kinds())
    errors = [*words.errors, *refusals(argv)]
    errors += [f"unexpected word {word!r}; settings are written key=value, without spaces" for word in words.bare]
    errors += [
        f"{loss}.{key}: evaluate trains nothing; what the models were trained with is loss= and beta="
        for loss, given in words.loss_settings.items()
        for key in given
    ]
    words.loss_settings.clear()
    own, values = None, {key: text for key, text in words.values.items() if key not in SHARED}
    try:
        own = make(values, EvaluateOptions)
    except UsageError as error:
        errors += [message for message in error.messages if not message.startswith(tuple(words.unread))]
    loss = own.loss if own else values.get("loss")
    shared = values_of(_shared(words)) | _NOT_TRAINED | {"losses": (_ANY_LOSS if loss in (None, "auto") else loss,)}
    try:
        found = names.checked(shared | {"model": own.reference if own else "tiny"}, words, [])
    except UsageError as error:
        errors += map(_in_our_words, error.messages)
    if errors:
        raise UsageError(errors)
    if own.beta is not None and "beta" not in losses.get(found.options.losses[0]).defaults:
        raise UsageError([f"beta={own.beta:g}: {own.loss} has no beta; drop it"])
    return Evaluation(own, found.options, found.warnings)


def _in_our_words(message: str) -> str:
    """A sentence about an option of `run` under the key that it has here."""
    return re.sub("^model: ", "reference: ", re.sub("^losses: ", "loss: ", message))


def _shared(words: Words) -> Words:
    return Words(
        {key: text for key, text in words.values.items() if key in SHARED}, words.suite_settings, words.judge_settings
    )


def evaluate(asked: Evaluation, progress: Progress, command: str) -> int:
    """Measures the models that are not measured yet, and reports all; the exit code.

    Raises: UsageError, SuiteError for what cannot be measured, before anything is written.
    """
    return carry_out(prepare_evaluation(asked, progress, command), progress)


def prepare_evaluation(asked: Evaluation, progress: Progress, command: str = "") -> Sweep:
    """Everything but the weights, each model held to the reference. Raises: UsageError, SuiteError."""
    own, options = asked.own, asked.shared
    machine = resolve(options)
    reference = find(own.reference, own.reference_revision)
    require_whole(reference)
    models, problems = [], []
    for name in own.model:
        try:
            models.append(find_trained(name, own.model_revision, reference))
        except UsageError as error:
            problems += error.messages
    problems += _duplicates(models)
    if problems:
        raise UsageError(problems)
    tokenizer = load_tokenizer(reference)
    data = rows_held_out(options, reference, tokenizer, progress)
    if data.suite.kind is Kind.EXAMPLES:
        raise UsageError(
            [
                f"suite={options.suite} holds single rated completions, and evaluate compares two completions of one "
                "prompt; choose a suite of pairs"
            ]
        )
    questions(options, data)
    for warning in _warnings(models, reference, data):
        progress.warn(warning)
    identity = ExternalIdentity(options, reference, data, machine.precision)
    return Sweep(options, machine, tokenizer, data, identity, _trials(own, options, models), command)


def _duplicates(models: Sequence[Source]) -> Iterator[str]:
    """A sentence for each model whose weights another one has."""
    first: dict[str, str] = {}
    for model in models:
        if model.digest in first:
            yield f"model: {model.name} holds the same weights as {first[model.digest]}; name one of them"
        first.setdefault(model.digest, model.name)


def _warnings(models: Sequence[Source], reference: Source, data: Data) -> Iterator[str]:
    rows = data.texts(data.test[:COMPARED_ROWS])
    for trained in models:
        yield from warnings_about(trained, reference, rows, data.encoder)


def _trials(own: EvaluateOptions, options: Options, models: Sequence[Source]) -> list[Trial]:
    """The untrained baseline, which is the reference, and each model."""
    settings: dict[str, Any] = {} if own.beta is None else {"beta": own.beta}
    seeds = own.seeds or (None,) * len(models)
    return [
        Trial("none", {}, None, None, control=True),
        *(
            Trial(
                options.losses[0] if own.loss else called(model.name),
                settings,
                None,
                seed,
                control=False,
                external_checkpoint=model,
            )
            for model, seed in zip(models, seeds, strict=True)
        ),
    ]


def called(name: str) -> str:
    """A model's name in the place of its loss: the last part of its path or hub id, that of its cell for a saved
    model; one that is a loss's name gets a prefix, because its loss is not known."""
    place = Path(name)
    last = place.absolute().parent.name if place.name == "model" else place.name
    return f"evaluated-{last}" if last in (*losses.names(), "none", "") else last


def main(argv: Sequence[str]) -> int:
    """Measures external checkpoints; the exit code. Raises: UsageError, SuiteError."""
    asked = read_evaluate_options(argv)
    with on_stream(sys.stderr) as progress:
        for warning in asked.warnings:
            progress.warn(warning)
        return evaluate(asked, progress, command_line("evaluate", argv))

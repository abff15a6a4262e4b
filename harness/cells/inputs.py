"""The rows of a command, whatever its suite is: read from files, sampled from the model, or expected of it."""

from __future__ import annotations

from typing import Any

from harness.data.dataset import Data, checked_data, encoder_of, held_out_data, read_suite, training_data
from harness.data.expected import expected
from harness.data.tokens import Encoded
from harness.generation.suites import kept_suite, pairs_needed, sampled_suite
from harness.model.sources import Source
from harness.options.run import Options
from harness.progress import Progress
from suites import Sampled


def rows_to_train_on(options: Options, source: Source, tokenizer: Any, progress: Progress) -> Data:
    """The data of a run; a sampled suite's completions are sampled first, unless they were kept.

    Raises: UsageError where rows are missing; SuiteError where the suite cannot be read.
    """
    loaded, encoder = read_suite(options, progress), encoder_of(options, source, tokenizer)
    if not isinstance(loaded, Sampled):
        return training_data(options, loaded, encoder, progress)
    suite = sampled_suite(loaded, options, source, encoder, progress)
    return training_data(options, suite, encoder, progress, sampled=loaded)


def rows_planned(options: Options, source: Source, tokenizer: Any, progress: Progress) -> Data:
    """As `rows_to_train_on`, but nothing is sampled: where no completions are kept, the data is what is expected.

    Raises: UsageError, SuiteError.
    """
    loaded, encoder = read_suite(options, progress), encoder_of(options, source, tokenizer)
    if not isinstance(loaded, Sampled):
        return training_data(options, loaded, encoder, progress)
    suite = kept_suite(loaded, options, source, encoder)
    if suite is not None:
        return training_data(options, suite, encoder, progress, sampled=loaded)
    suite, rows = expected(loaded, pairs_needed(options), encoder)
    return checked_data(options, suite, encoder, Encoded(rows, {}, 0, {}), progress, loaded, expected=True)


def rows_held_out(options: Options, source: Source, tokenizer: Any, progress: Progress) -> Data:
    """The held-out rows alone, for external checkpoints. Raises: UsageError, SuiteError."""
    loaded, encoder = read_suite(options, progress), encoder_of(options, source, tokenizer)
    if not isinstance(loaded, Sampled):
        return held_out_data(options, loaded, encoder, progress)
    suite = sampled_suite(loaded, options, source, encoder, progress)
    return held_out_data(options, suite, encoder, progress, sampled=loaded)

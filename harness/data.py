"""The rows of a run: loaded, tokenised, limited and split, before any model is in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import suites
from harness.models import Source, token_limit
from harness.options import Options, UsageError
from harness.progress import Progress
from harness.sampled import sampled_suite
from harness.selection import draw, held_out, mismatched, text_digest
from harness.tokens import Encoder, Row, make_encoder
from suites.pair import SPLITS, last_user_turn

MAX_NEW_TOKENS = 64  # of a generated answer, where neither the user nor the suite says


@dataclass(frozen=True)
class Data:
    """pool: every training row that fits; validation and test: the rows that are evaluated.

    dropped counts rows by rule, those of the suite and `overlong`; truncated counts cut rows. max_new_tokens
    limits an answer that is generated; sentence ends it with its first sentence.
    """

    suite: suites.Suite
    encoder: Encoder
    pool: tuple[Row, ...]
    validation: tuple[Row, ...]
    test: tuple[Row, ...]
    train_count: int
    dropped: Mapping[str, int]
    truncated: int
    max_new_tokens: int
    sentence: bool = False

    @property
    def reward(self) -> str | None:
        """The name of the suite's gold reward; None where it has none."""
        return self.suite.name if self.suite.name in suites.rewards.names() else None

    def prompt_text(self, row: Row) -> str:
        """What a reward or a judge sees of a row's prompt: its last user message."""
        return last_user_turn(self._texts[row.id].prompt)

    @cached_property
    def _texts(self) -> dict[str, suites.Pair | suites.Example]:
        return {row.id: row for row in self.suite.rows}

    def training_rows(self, seed: int) -> list[Row]:
        """The training rows of a seed, in canonical order."""
        return draw(self.pool, self.train_count, seed)

    def digest(self, rows: Sequence[Row]) -> str:
        """A digest of the texts behind some rows."""
        return text_digest(self._texts[row.id] for row in rows)

    @cached_property
    def pool_digest(self) -> str:
        """A digest of everything that training rows may be drawn from."""
        return self.digest(self.pool)

    @cached_property
    def mismatched(self) -> Mapping[str, Any]:
        """Row id -> its prompt with another prompt's answer, of the whole pool (for KTO)."""
        return mismatched(self.pool, self.encoder.max_tokens)


def prepare(options: Options, source: Source, tokenizer: Any, progress: Progress) -> Data:
    """Loads and tokenises the suite and picks the held-out rows; a sampled suite's answers are sampled first.

    Raises: UsageError where rows are missing; SuiteError where the suite cannot be read.
    """
    loaded = suites.load(options.suite, options.suite_settings)
    encoder = make_encoder(
        tokenizer,
        template=options.template,
        max_tokens=options.max_tokens or token_limit(source),
        overlong=options.overlong,
    )
    sampled = loaded if isinstance(loaded, suites.Sampled) else None
    suite = sampled_suite(sampled, options, source, encoder, progress) if sampled else loaded
    with progress.stage(f"tokenising {len(suite.rows):,} rows of {suite.name}", len(suite.rows)) as stage:
        encoded = encoder.encode(suite.rows, stage.advance)
    splits = {name: [row for row in encoded.rows if row.split == name] for name in SPLITS}
    dropped = {**suite.dropped, **encoded.dropped}
    counts = _counts(options, splits, dropped, encoder)
    for note in counts.notes:
        progress.note(note)
    return Data(
        suite=suite,
        encoder=encoder,
        pool=tuple(splits["train"]),
        validation=tuple(held_out(splits["validation"], options.eval_pairs)),
        test=tuple(held_out(splits["test"], options.eval_pairs)),
        train_count=counts.train,
        dropped=dropped,
        truncated=encoded.truncated,
        max_new_tokens=options.max_new_tokens or (sampled.max_new_tokens if sampled else MAX_NEW_TOKENS),
        sentence=sampled.sentence if sampled else False,
    )


@dataclass(frozen=True)
class _Counts:
    train: int
    notes: list[str]


def _counts(
    options: Options, splits: Mapping[str, list[Row]], dropped: Mapping[str, int], encoder: Encoder
) -> _Counts:
    """How many training rows there will be. A number that the user typed is an error where it cannot be had;
    a default is lowered, with a note."""
    have = {name: len(rows) for name, rows in splits.items()}
    rules = ", ".join(f"{count} {rule}" for rule, count in dropped.items() if count) or "none"
    where = (
        f"within {encoder.max_tokens} tokens there are {have['train']} training, {have['validation']} validation "
        f"and {have['test']} test rows (dropped: {rules})"
    )
    errors = []
    if have["train"] < options.batch_size:
        errors.append(f"batch_size={options.batch_size}: {where}, too few for one batch; give more rows, a "
                      "larger max_tokens, overlong=truncate, or a smaller batch_size")  # fmt: skip
    if not have["test"]:
        errors.append(f"no test rows: {where}; give more rows, or a `split` column in your file")
    asked = options.model_fields_set
    if "train_pairs" in asked and options.train_pairs > have["train"]:
        errors.append(f"train_pairs={options.train_pairs}: {where}; ask for at most {have['train']}")
    fewest = min(have["validation"], have["test"])
    if "eval_pairs" in asked and options.eval_pairs > fewest:
        errors.append(f"eval_pairs={options.eval_pairs}: {where}; ask for at most {fewest}")
    if errors:
        raise UsageError(errors)
    train, validation, test = (
        min(options.train_pairs, have["train"]), *(min(options.eval_pairs, have[n]) for n in ("validation", "test"))
    )  # fmt: skip
    lowered = train < options.train_pairs or min(validation, test) < options.eval_pairs
    note = f"fewer rows than the defaults ask for: {where}; used are {train}, {validation} and {test}"
    return _Counts(train, [note] if lowered else [])

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
from harness.selection import draw, held_out, ids_of, mismatched, text_digest
from harness.tokens import Encoder, Row, make_encoder
from suites.pair import SPLITS
from suites.rows import Rows


@dataclass(frozen=True)
class Data:
    """pool: every training row that fits; validation and test: the rows that are evaluated.

    dropped counts rows by rule, those of the suite and `overlong`; truncated counts cut rows; long_sides says what
    was too long in either (see tokens.Encoded).
    """

    suite: suites.Suite
    encoder: Encoder
    pool: Sequence[Row]
    validation: tuple[Row, ...]
    test: tuple[Row, ...]
    train_count: int
    dropped: Mapping[str, int]
    truncated: int
    long_sides: Mapping[str, int]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {row_id: place for place, row_id in enumerate(ids_of(self.suite.rows))}

    @cached_property
    def _drawn(self) -> dict[int, Sequence[Row]]:
        return {}

    def training_rows(self, seed: int) -> Sequence[Row]:
        """The training rows of a seed, in canonical order."""
        if seed not in self._drawn:
            self._drawn[seed] = draw(self.pool, self.train_count, seed)
        return self._drawn[seed]

    def texts(self, rows: Sequence[Row]) -> Sequence[suites.Pair | suites.Example]:
        """The pairs or examples behind some rows."""
        return self.suite.rows.take([self._places[row_id] for row_id in ids_of(rows)])

    def digest(self, rows: Sequence[Row]) -> str:
        """A digest of the texts behind some rows."""
        return text_digest(self.texts(rows))

    @cached_property
    def pool_digest(self) -> str:
        """A digest of everything that training rows may be drawn from."""
        return self.digest(self.pool)

    @cached_property
    def mismatched(self) -> Mapping[str, Any]:
        """Row id -> its prompt with another prompt's answer, of the whole pool (for KTO)."""
        return mismatched(self.pool, self.encoder.max_tokens)


def prepare(options: Options, source: Source, tokenizer: Any, progress: Progress) -> Data:
    """Loads and tokenises the suite and picks the held-out rows.

    Raises: UsageError where rows are missing; SuiteError where the suite cannot be read.
    """
    with progress.stage(f"reading {options.suite}", 1):
        suite = suites.load(options.suite, options.suite_settings)
    encoder = make_encoder(
        tokenizer,
        template=options.template,
        max_tokens=options.max_tokens or token_limit(source),
        overlong=options.overlong,
    )
    with progress.stage(f"tokenising {len(suite.rows):,} rows of {suite.name}", len(suite.rows)) as stage:
        encoded = encoder.encode(suite.rows, stage.advance)
    splits = by_split(encoded.rows)
    dropped = {**suite.dropped, **encoded.dropped}
    counts = _counts(options, splits, dropped, encoder)
    for note in counts.notes:
        progress.note(note)
    return Data(
        suite=suite,
        encoder=encoder,
        pool=splits["train"],
        validation=tuple(held_out(splits["validation"], options.eval_pairs)),
        test=tuple(held_out(splits["test"], options.eval_pairs)),
        train_count=counts.train,
        dropped=dropped,
        truncated=encoded.truncated,
        long_sides=encoded.long_sides,
    )


def by_split(rows: Rows[Row]) -> dict[str, Rows[Row]]:
    """The rows of each split, in their order."""
    places: dict[str, list[int]] = {name: [] for name in SPLITS}
    for place, split in enumerate(rows.column("split").to_pylist()):
        places[split].append(place)
    return {name: rows.take(found) for name, found in places.items()}


@dataclass(frozen=True)
class _Counts:
    train: int
    notes: list[str]


def _counts(
    options: Options, splits: Mapping[str, Sequence[Row]], dropped: Mapping[str, int], encoder: Encoder
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

"""The rows of a run: loaded, tokenised, limited and split, before any model is in memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import suites
from harness.data.perturbations import Draw, Perturbations, combinations, eligible, flips
from harness.data.selection import (
    Shares,
    draw,
    held_out,
    ids_of,
    largest_draw,
    mismatched,
    taken,
    text_digest,
    values_of,
)
from harness.data.tokens import Encoded, Encoder, Row, make_encoder
from harness.errors import UsageError
from harness.model.sources import Source, token_limit
from harness.options.run import Options
from harness.progress import Progress
from suites import Kind
from suites.pair import SPLITS, last_user_turn
from suites.rows import Rows

MAX_NEW_TOKENS = 64  # of a generated completion, where neither the user nor the suite says


@dataclass(frozen=True)
class Data:
    """pool: every training row that fits; validation and test: the rows that are evaluated.

    dropped counts rows by rule, those of the suite and `overlong`; truncated counts cut rows; long_sides says what
    was too long in either (see tokens.Encoded). shares: the weights of a mixture's sources, None where the suite is
    no mixture. max_new_tokens limits a completion that is generated; sentence ends it with its first sentence. sampled:
    the description of a suite whose completions were sampled. expected: they are not there yet (expected.py).
    """

    suite: suites.Suite
    encoder: Encoder
    pool: Rows[Row]
    validation: tuple[Row, ...]
    test: tuple[Row, ...]
    dropped: Mapping[str, int]
    truncated: int
    long_sides: Mapping[str, int]
    max_new_tokens: int
    sentence: bool = False
    shares: Shares | None = None
    sampled: suites.Sampled | None = None
    expected: bool = False

    @cached_property
    def _draws(self) -> dict[tuple[int, Perturbations], Draw]:
        return {}

    @property
    def reward(self) -> str | None:
        """The name of the suite's known reward; None where it has none."""
        return self.suite.name if self.suite.name in suites.rewards.names() else None

    def prompt_text(self, row: Row) -> str:
        """What a reward or a judge sees of a row's prompt: its last user message."""
        return last_user_turn(self.texts([row])[0].prompt)

    @cached_property
    def _digests(self) -> dict[tuple[int, Perturbations], str]:
        return {}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {row_id: place for place, row_id in enumerate(ids_of(self.suite.rows))}

    def count(self, perturbations: Perturbations) -> int:
        """Training rows of each seed: those asked for, or fewer where the pool has no more."""
        pool = eligible(self.pool, perturbations)
        return largest_draw(pool, perturbations.train_pairs, self.shares, balance=perturbations.length_balance)

    def draw(self, seed: int, perturbations: Perturbations) -> Draw:
        """The training rows of a seed in canonical order, and which of them carry a wrong label."""
        if (seed, perturbations) not in self._draws:
            pool = eligible(self.pool, perturbations)
            rows = draw(pool, self.count(perturbations), seed, self.shares, balance=perturbations.length_balance)
            self._draws[seed, perturbations] = Draw(rows, flips(rows, perturbations.label_noise, seed))
        return self._draws[seed, perturbations]

    def training_rows(self, seed: int, perturbations: Perturbations) -> Sequence[Row]:
        """The training rows of a seed as they are trained on, in canonical order."""
        return self.draw(seed, perturbations).training

    def texts(self, rows: Sequence[Row]) -> Sequence[suites.Pair | suites.Example]:
        """The pairs or examples behind some rows."""
        return self.suite.rows.take([self._places[row_id] for row_id in ids_of(rows)])

    def digest(self, rows: Sequence[Row]) -> str:
        """A digest of the texts behind some rows."""
        return text_digest(self.texts(rows))

    def training_digest(self, seed: int, perturbations: Perturbations) -> str:
        """A digest of the texts of the training rows, and of which labels are wrong."""
        drawn = self.draw(seed, perturbations)
        key = (seed, perturbations.clean)  # the texts of all rows are read for it: once, whatever the number of losses
        if key not in self._digests:
            self._digests[key] = self.digest(drawn.rows)
        texts = self._digests[key]
        if not drawn.flipped:
            return texts
        return hashlib.sha256("\n".join([texts, *sorted(drawn.flipped)]).encode()).hexdigest()

    @cached_property
    def pool_digest(self) -> str:
        """A digest of everything that training rows may be drawn from."""
        return self.digest(self.pool)

    @cached_property
    def mismatched(self) -> Mapping[str, Any]:
        """Row id -> its prompt with another prompt's completion, of the whole pool (for KTO)."""
        return mismatched(self.pool, self.encoder.max_tokens)


def read_suite(options: Options, progress: Progress) -> suites.Suite | suites.Sampled:
    """The suite, or the description of one that is still to be sampled. Raises: SuiteError where it cannot be read."""
    with progress.stage(f"reading {options.suite}", 1):
        return suites.load(options.suite, options.suite_settings)


def encoder_of(options: Options, source: Source, tokenizer: Any) -> Encoder:
    """How text becomes tokens for this model."""
    return make_encoder(
        tokenizer,
        template=options.template,
        max_tokens=token_limit(source, options.max_tokens),
        overlong=options.overlong,
    )


def training_data(
    options: Options,
    suite: suites.Suite,
    encoder: Encoder,
    progress: Progress,
    *,
    sampled: suites.Sampled | None = None,
) -> Data:
    """The rows to train on and those held out. Raises: UsageError where rows are missing."""
    if sampled is None and set(values_of(suite.rows, "split")) == {"test"}:
        raise UsageError(
            [
                f"suite={options.suite} has test rows only ({len(suite.rows)}) and is for evaluation: there is "
                "nothing to train on; choose a suite with training rows"
            ]
        )
    return checked_data(options, suite, encoder, _encoded(suite, suite.rows, encoder, progress), progress, sampled)


def held_out_data(
    options: Options,
    suite: suites.Suite,
    encoder: Encoder,
    progress: Progress,
    *,
    sampled: suites.Sampled | None = None,
) -> Data:
    """The held-out rows alone, for an external checkpoint. Raises: UsageError where there are none."""
    encoded = _encoded(suite, _held_out_rows(suite.rows), encoder, progress)
    data, splits = _data(options, suite, encoder, encoded, sampled)
    where = _where(data, splits)
    if not data.test:
        raise UsageError([f"no test rows: {where}; give more rows, or a `split` column in your file"])
    if len(data.test) < options.eval_pairs:
        if "eval_pairs" in options.model_fields_set:
            raise UsageError([f"eval_pairs={options.eval_pairs}: {where}; ask for at most {len(data.test)}"])
        used = f"{len(data.validation)} and {len(data.test)}"
        progress.note(f"fewer rows than the defaults ask for: {where}; used are {used}")
    return data


def checked_data(
    options: Options,
    suite: suites.Suite,
    encoder: Encoder,
    encoded: Encoded,
    progress: Progress,
    sampled: suites.Sampled | None = None,
    *,
    expected: bool = False,
) -> Data:
    """The data of tokenised rows, with a note where there are fewer than the defaults ask for. Raises: UsageError."""
    data, splits = _data(options, suite, encoder, encoded, sampled)
    data = replace(data, expected=expected)
    for note in _checked(options, data, splits):
        progress.note(note)
    return data


def _encoded(suite: suites.Suite, rows: Rows[Any], encoder: Encoder, progress: Progress) -> Encoded:
    with progress.stage(f"tokenising {len(rows):,} rows of {suite.name}", len(rows)) as stage:
        return encoder.encode(rows, stage.advance)


class _Split(NamedTuple):
    data: Data
    splits: Mapping[str, Rows[Row]]


def _data(
    options: Options, suite: suites.Suite, encoder: Encoder, encoded: Encoded, sampled: suites.Sampled | None
) -> _Split:
    """Tokenised rows by split, with as many held out as were asked for."""
    splits = by_split(encoded.rows)
    shares = suites.shares(options.suite, options.suite_settings)
    counts = {name: largest_draw(splits[name], options.eval_pairs, shares) for name in SPLITS[1:]}
    data = Data(
        suite=suite,
        encoder=encoder,
        pool=splits["train"],
        validation=tuple(held_out(splits["validation"], counts["validation"], shares)),
        test=tuple(held_out(splits["test"], counts["test"], shares)),
        dropped={**suite.dropped, **encoded.dropped},
        truncated=encoded.truncated,
        long_sides=encoded.long_sides,
        max_new_tokens=options.max_new_tokens or (sampled.max_new_tokens if sampled else MAX_NEW_TOKENS),
        sentence=sampled.sentence if sampled else False,
        shares=shares,
        sampled=sampled,
    )
    return _Split(data, splits)


def _held_out_rows(rows: Rows[Any]) -> Rows[Any]:
    return rows.take([place for place, split in enumerate(values_of(rows, "split")) if split != "train"])


def by_split(rows: Rows[Row]) -> dict[str, Rows[Row]]:
    """The rows of each split, in their order."""
    places: dict[str, list[int]] = {name: [] for name in SPLITS}
    for place, split in enumerate(values_of(rows, "split")):
        places[split].append(place)
    return {name: taken(rows, found) for name, found in places.items()}


def _checked(options: Options, data: Data, splits: Mapping[str, Sequence[Row]]) -> list[str]:
    """What to know about the number of rows. A number that the user typed is an error where it cannot be had;
    a default is lowered, with a note. Raises: UsageError."""
    where, asked = _where(data, splits), options.model_fields_set
    errors = [*_missing_sources(data, splits, where), *_idle_perturbations(options, data)]
    counts = {} if errors else {perturbations: data.count(perturbations) for perturbations in combinations(options)}
    for perturbations, count in counts.items():
        under = f"{where}; {count} under {perturbations.description}" if perturbations.description else where
        if count < options.batch_size:
            errors.append(
                f"batch_size={options.batch_size}: {under}, too few for one batch; give more rows, a "
                "larger max_tokens, overlong=truncate, or a smaller batch_size"
            )
        elif "train_pairs" in asked and count < perturbations.train_pairs:
            most = data.count(replace(perturbations, train_pairs=len(data.pool)))
            errors.append(f"train_pairs={perturbations.train_pairs}: {under}; ask for at most {most}")
    if not splits["test"]:
        errors.append(f"no test rows: {where}; give more rows, or a `split` column in your file")
    held = (len(data.validation), len(data.test))
    if "eval_pairs" in asked and min(held) < options.eval_pairs:
        most = min(largest_draw(splits[name], len(splits[name]), data.shares) for name in SPLITS[1:])
        errors.append(f"eval_pairs={options.eval_pairs}: {where}; ask for at most {most}")
    if errors:
        raise UsageError(errors)
    if min(held) >= options.eval_pairs and all(
        count >= perturbations.train_pairs for perturbations, count in counts.items()
    ):
        return []
    used = [
        f"{count} ({perturbations.description})" if perturbations.description else str(count)
        for perturbations, count in counts.items()
    ]
    return [f"fewer rows than the defaults ask for: {where}; used are {', '.join([*used, str(held[0])])} and {held[1]}"]


def _where(data: Data, splits: Mapping[str, Sequence[Row]]) -> str:
    """How many rows there are, in words."""
    have = {name: len(rows) for name, rows in splits.items()}
    rules = ", ".join(f"{count} {rule}" for rule, count in data.dropped.items() if count) or "none"
    where = (
        f"within {data.encoder.max_tokens} tokens there are {have['train']} training, {have['validation']} validation "
        f"and {have['test']} test rows (dropped: {rules})"
    )
    if data.shares is None:
        return where
    found = Counter((source, split) for split, rows in splits.items() for source in values_of(rows, "source"))
    parts = [f"{name} {'/'.join(str(found[name, split]) for split in SPLITS)}" for name in data.shares]
    return f"{where}; by source, train/validation/test: {', '.join(parts)}"


def _missing_sources(data: Data, splits: Mapping[str, Sequence[Row]], where: str) -> list[str]:
    """A sentence for each source of a mixture that is not there in a split which has rows of others."""
    sources = {split: set(values_of(rows, "source")) for split, rows in splits.items()}
    return [
        f"{name} has no {split} rows, so it cannot have its share of them: {where}; give it more rows, or leave it out"
        for name in data.shares or ()
        for split in SPLITS
        if splits[split] and name not in sources[split]
    ]


def _idle_perturbations(options: Options, data: Data) -> list[str]:
    """Sentences about perturbations that have no effect on this suite."""
    errors = []
    if data.suite.kind is Kind.EXAMPLES and any(options.length_balance):
        errors.append(
            "suite.length_balance compares two completions, and this suite holds single rated completions; drop it"
        )
    margins = [margin for margin in options.min_margin if margin is not None]
    if margins and not any(values_of(data.pool, "scores")):
        errors.append(
            f"suite.min_margin={margins[0]:g}: {data.suite.name} has no pairs with both scores; give a file with "
            "score_chosen and score_rejected, or drop suite.min_margin"
        )
    return errors

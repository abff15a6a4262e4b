"""The verb `pairs`: a model completes prompts, a scorer rates the completions, and pairs are written as a suite."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import suites
from harness.compute.machine import resolve
from harness.data.dataset import MAX_NEW_TOKENS
from harness.data.tokens import Encoder, make_encoder
from harness.digests import digest
from harness.errors import UsageError
from harness.generation.completions import BLOCK, Generator, kept_completions
from harness.generation.sampler import Completion, Sampling
from harness.generation.suites import generator_of, provenance_path, write_suite
from harness.judges.scorers import CompletionScorer, make_scorer
from harness.model.sources import Source, find, load_tokenizer, token_limit
from harness.model.weights import require_whole
from harness.options.cards import kinds, make, values_of
from harness.options.pairs import PairsOptions
from harness.options.words import split
from harness.progress import Progress, on_stream
from suites import Kind
from suites.prompts import load_prompts
from suites.reading.cleaning import Draft, RowDropped, Tally, finish
from suites.sampled import Answer, Prompt, in_hash_order, pair_up, usable


def read_pairs_options(argv: Sequence[str]) -> PairsOptions:
    """The options from command-line words. Raises: UsageError with every problem found."""
    words = split(argv, kinds(PairsOptions))
    errors = list(words.errors)
    errors += [f"unexpected word {word!r}; settings are written key=value, without spaces" for word in words.bare]
    errors += [
        f"{name}.{key}: pairs trains nothing; drop it" for name, own in words.loss_settings.items() for key in own
    ]
    words.loss_settings.clear()
    options = None
    try:
        options = make(values_of(words, PairsOptions), PairsOptions)
    except UsageError as error:
        unread = tuple(f"{key}= is missing" for key in words.unread)
        errors += [message for message in error.messages if not message.startswith(unread)]
    if errors or options is None:
        raise UsageError(errors)
    return options


def pairs(options: PairsOptions, progress: Progress) -> int:
    """Samples, rates and writes the pairs; the exit code.

    Raises: UsageError, SuiteError for what cannot be done, before anything is written.
    """
    path = Path(options.to).expanduser()
    if path.exists():
        raise UsageError([f"to={options.to} exists already; name another file, or remove it"])
    prompts = _prompts(options)
    machine = resolve(options)
    source = find(options.model, options.model_revision)
    require_whole(source)
    encoder = make_encoder(
        load_tokenizer(source),
        template=options.template,
        max_tokens=token_limit(source, options.max_tokens),
        overlong="drop",
    )
    scorer = make_scorer(options.score, prompts.name if options.suite else None, machine.device)
    made = {
        **_made(options, source, encoder),
        "max_new_tokens": prompts.limit,
        "precision": machine.precision,
        "scorer": scorer.id,
    }
    tally = Tally()
    drafts = _sample(options, prompts, encoder, generator_of(source, encoder, machine), scorer, tally, progress)
    suite = finish(
        drafts,
        tally,
        name=path.stem,
        kind=Kind.PAIRS,
        source=f"answers of {options.model} to {prompts.name}",
        revision=digest(made),
    )
    write_suite(path, suite, made)
    _tell(path, suite)
    return 0


def _made(options: PairsOptions, source: Source, encoder: Encoder) -> dict[str, Any]:
    """What the pairs are made of, as far as the options and the model say."""
    return {
        **options.model_dump(exclude={"to", "device", "threads"}),
        "model_digest": source.digest,
        "tokenizer_digest": source.tokenizer_digest,
        "template": encoder.template,
        "max_tokens": encoder.max_tokens,
    }


def _tell(path: Path, suite: suites.Suite) -> None:
    dropped = ", ".join(f"{count} {rule}" for rule, count in suite.dropped.items()) or "none"
    sys.stdout.write(
        f"{len(suite.rows)} pairs (dropped: {dropped})\npairs: {path}\nmade of: {provenance_path(path)}\n"
        f"train: python -m harness run suite={path} losses=dpo,ipo\n"
    )


def _sample(
    options: PairsOptions,
    prompts: _Prompts,
    encoder: Encoder,
    generator: Generator,
    scorer: CompletionScorer,
    tally: Tally,
    progress: Progress,
) -> list[Draft]:
    """The pairs of the first `count` prompts that leave room for a completion. Raises: UsageError where none does."""
    sampling = Sampling(prompts.limit, options.temperature, options.top_p, options.seed, prompts.sentence)
    fitting = []
    for prompt in in_hash_order(prompts.prompts):
        ids = encoder.prompt_ids(prompt.messages)
        if len(fitting) < options.count and len(ids) + prompts.limit <= encoder.max_tokens:
            fitting.append((prompt, ids))
    if not fitting:
        raise UsageError(
            [
                f"none of {len(prompts.prompts)} prompts leaves room for {prompts.limit} new tokens within "
                f"{encoder.max_tokens}; raise max_tokens or lower max_new_tokens"
            ]
        )
    drafts: list[Draft] = []
    with progress.stage(f"sampling {options.n} completions of each prompt", len(fitting)) as stage:
        for start in range(0, len(fitting), BLOCK):
            block = fitting[start : start + BLOCK]
            written = kept_completions(
                generator,
                [(prompt.id, ids) for prompt, ids in block],
                sampling,
                samples=options.n,
                advance=stage.advance,
            )
            drafts += _drafts(options, [prompt for prompt, _ in block], written, scorer, tally)
    return drafts


class _Prompts(NamedTuple):
    """Where prompts come from, the prompts, how long a completion may be, and whether it is one sentence."""

    name: str
    prompts: tuple[Prompt, ...]
    limit: int
    sentence: bool = False


def _prompts(options: PairsOptions) -> _Prompts:
    """The prompts of a suite, each once, or of a file. Raises: SuiteError, UsageError."""
    if options.prompts is not None:
        if options.suite_settings:
            raise UsageError(["suite.KEY=VALUE belongs to suite=, and prompts= is given; drop it"])
        path = Path(options.prompts)
        return _Prompts(path.name, load_prompts(options.prompts), options.max_new_tokens or MAX_NEW_TOKENS)
    loaded = suites.load(options.suite, options.suite_settings)
    if isinstance(loaded, suites.Sampled):
        return _Prompts(loaded.name, loaded.prompts, options.max_new_tokens or loaded.max_new_tokens, loaded.sentence)
    found = {row.prompt: Prompt(row.id, row.prompt, row.cluster, row.split) for row in loaded.rows}
    return _Prompts(loaded.name, tuple(found.values()), options.max_new_tokens or MAX_NEW_TOKENS)


def _drafts(
    options: PairsOptions,
    block: Sequence[Prompt],
    written: Sequence[Completion],
    scorer: CompletionScorer,
    tally: Tally,
) -> Iterator[Draft]:
    """The pairs of a block of prompts; what makes none is counted under its rule."""
    scores = scorer.score([prompt for prompt in block for _ in range(options.n)], [a.text for a in written])
    completions = [Answer(a.text, a.truncated, s) for a, s in zip(written, scores, strict=True)]
    for place, prompt in enumerate(block):
        own = completions[place * options.n : (place + 1) * options.n]
        couples = list(itertools.combinations(usable(own), 2)) if options.keep == "all" else []
        for number, couple in enumerate(couples or [own]):
            tally.read += 1
            try:
                draft = pair_up(prompt, couple, "deterministic", 0)
            except RowDropped as dropped:
                tally.drop(dropped.rule, f"{prompt.id}, {dropped}")
            else:
                yield replace(draft, id=f"{prompt.id}-{number}") if couples else draft


def main(argv: Sequence[str]) -> int:
    """Samples, rates and writes completions as a suite file; the exit code. Raises: UsageError, SuiteError."""
    options = read_pairs_options(argv)
    with on_stream(sys.stderr) as progress:
        return pairs(options, progress)

"""From prompts to a suite: a model writes completions, a reward scores them, the best and the worst make a pair.

The pairs are kept in the cache as a suite file with a note of where they come from, named by everything that
decides them. Only as many prompts are completed as a command needs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.cache import cache_folder, writing
from harness.compute.machine import Machine, resolve, return_memory
from harness.data.tokens import Encoder
from harness.digests import digest
from harness.generation.completions import BLOCK, SAMPLING, Generator, kept_completions
from harness.generation.sampler import Completion, Sampling
from harness.model.sources import Source, load_policy
from harness.options.run import Options
from harness.progress import Progress
from suites import Kind, Suite, rewards
from suites.files import load_file
from suites.reading.cleaning import Draft, RowDropped, Tally, finish
from suites.sampled import Answer, Label, Prompt, Sampled, in_hash_order, pair_up

ROOM = 1.05  # a few pairs more than asked for, so that seeds have rows to draw from


@dataclass(frozen=True)
class Made:
    """How the completions of a set of pairs are made: what its name depends on."""

    model: str
    model_digest: str
    tokenizer_digest: str
    template: str
    max_tokens: int
    prompts: str
    reward: str
    label: str
    label_seed: int
    samples: int
    sampling: Mapping[str, Any]
    precision: str
    counts: Mapping[str, int]
    version: int = field(default=SAMPLING)

    @property
    def key(self) -> str:
        """A digest of everything that decides the pairs; the model's name does not."""
        return digest({name: value for name, value in asdict(self).items() if name != "model"}, length=32)


def generator_of(source: Source, encoder: Encoder, machine: Machine) -> Generator:
    """The model of a source as one that completions, loaded when it is first asked something new."""
    weights = digest([source.digest, source.tokenizer_digest], length=64)
    return Generator(
        weights, lambda: load_policy(source, machine.device), encoder.tokenizer, encoder.end_of_turn, machine.precision
    )


def pairs_needed(options: Options) -> dict[str, int]:
    """Pairs of each split that a command samples."""
    held_out = math.ceil(ROOM * options.eval_pairs)
    return {"train": math.ceil(ROOM * max(options.train_pairs)), "validation": held_out, "test": held_out}


def sampled_suite(wanted: Sampled, options: Options, source: Source, encoder: Encoder, progress: Progress) -> Suite:
    """The suite that a description stands for, made of completions of the model that is to be trained.

    Raises: SuiteError where prompts are missing or no pair is left.
    """
    machine, made = resolve(options), _made(wanted, options, source, encoder)
    path = _path(wanted, made)
    if not path.is_file():
        generator = generator_of(source, encoder, machine)
        sampling = Sampling(wanted.max_new_tokens, sentence=wanted.sentence)
        suite = _sample(wanted, generator, encoder, sampling, made.counts, made.key[:12], progress)
        write_suite(path, suite, asdict(made))
        del generator
        return_memory()
    return read_suite(path, wanted.name)


def kept_suite(wanted: Sampled, options: Options, source: Source, encoder: Encoder) -> Suite | None:
    """The same as it was made before; None where it was not."""
    path = _path(wanted, _made(wanted, options, source, encoder))
    return read_suite(path, wanted.name) if path.is_file() else None


def _path(wanted: Sampled, made: Made) -> Path:
    return cache_folder("pairs") / f"{wanted.name}-{made.key}.jsonl"


def _made(wanted: Sampled, options: Options, source: Source, encoder: Encoder) -> Made:
    """What the completions are made of."""
    return Made(
        source.name,
        source.digest,
        source.tokenizer_digest,
        encoder.template,
        encoder.max_tokens,
        digest([[p.id, p.text, p.split] for p in wanted.prompts], length=64),
        rewards.get(wanted.reward).id,
        wanted.label,
        wanted.label_seed,
        wanted.samples,
        asdict(Sampling(wanted.max_new_tokens, sentence=wanted.sentence)),
        resolve(options).precision,
        pairs_needed(options),
    )


def _sample(
    wanted: Sampled,
    generator: Generator,
    encoder: Encoder,
    sampling: Sampling,
    counts: Mapping[str, int],
    revision: str,
    progress: Progress,
) -> Suite:
    tally = Tally()
    drafts: list[Draft] = []
    name = f"sampling {wanted.samples} completions of each prompt of {wanted.name}, for pairs"
    with progress.stage(name, sum(counts.values())) as stage:
        for split, count in counts.items():
            prompts = in_hash_order(prompt for prompt in wanted.prompts if prompt.split == split)
            found = _drafts(wanted, prompts, generator, encoder, sampling, tally)
            for number, draft in enumerate(found, start=1):
                drafts.append(draft)
                stage.advance(1)
                if number == count:
                    break
    return finish(drafts, tally, name=wanted.name, kind=Kind.PAIRS, source=wanted.source, revision=revision)


def _drafts(
    wanted: Sampled, prompts: Sequence[Prompt], generator: Generator, encoder: Encoder, sampling: Sampling, tally: Tally
) -> Iterator[Draft]:
    """The pairs of some prompts, sampled block by block for as long as more are asked for."""
    reward = rewards.get(wanted.reward)
    for start in range(0, len(prompts), BLOCK):
        asked = [(prompt, encoder.prompt_ids(prompt.messages)) for prompt in prompts[start : start + BLOCK]]
        block = [(p, ids) for p, ids in asked if len(ids) + sampling.max_new_tokens <= encoder.max_tokens]
        for prompt, _ in (one for one in asked if one not in block):
            tally.read += 1
            tally.drop("overlong", f"{prompt.id}: no room for {sampling.max_new_tokens} tokens")
        written = kept_completions(generator, [(p.id, ids) for p, ids in block], sampling, samples=wanted.samples)
        scores = reward.score([p.text for p, _ in block for _ in range(wanted.samples)], [a.text for a in written])
        yield from labelled([p for p, _ in block], written, scores, wanted.label, wanted.label_seed, tally)


def labelled(
    prompts: Sequence[Prompt],
    written: Sequence[Completion],
    scores: Sequence[float],
    label: Label,
    label_seed: int,
    tally: Tally,
) -> Iterator[Draft]:
    """A pair of each prompt's completions, equally many each, in order; what makes none is counted under its rule."""
    completions = [Answer(a.text, a.truncated, s) for a, s in zip(written, scores, strict=True)]
    samples = len(completions) // max(len(prompts), 1)
    for place, prompt in enumerate(prompts):
        tally.read += 1
        try:
            yield pair_up(prompt, completions[place * samples : (place + 1) * samples], label, label_seed)
        except RowDropped as dropped:
            tally.drop(dropped.rule, f"{prompt.id}, {dropped}")


def write_suite(path: Path, suite: Suite, made: Mapping[str, Any]) -> None:
    """Writes pairs as a suite file, and beside it what they were made of; the file of pairs comes last."""
    note = {
        "source": suite.source,
        "revision": suite.revision,
        "read": suite.read,
        "dropped": dict(suite.dropped),
        "pairs": len(suite.rows),
        "made": dict(made),
    }
    lines = [
        {
            "id": row.id,
            "prompt": [{"role": m.role, "content": m.content} for m in row.prompt],
            "chosen": row.chosen,
            "rejected": row.rejected,
            "split": row.split,
            "cluster": row.cluster,
            "score_chosen": row.score_chosen,
            "score_rejected": row.score_rejected,
        }
        for row in suite.rows
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    _write(provenance_path(path), json.dumps(note, indent=2, sort_keys=True) + "\n")
    _write(path, text)


def _write(path: Path, text: str) -> None:
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_suite(path: Path, name: str) -> Suite:
    """The pairs of a file that `write_suite` wrote, under their suite's name. Raises: SuiteError."""
    rows = load_file(str(path)).rows
    note = json.loads(provenance_path(path).read_text(encoding="utf-8"))
    return Suite(name, rows, Kind.PAIRS, note["dropped"], note["read"], note["source"], note["revision"])


def provenance_path(path: Path) -> Path:
    """Where a suite file's note lies: FILE.jsonl -> FILE.provenance.json."""
    return path.with_name(path.name.removesuffix(".jsonl") + ".provenance.json")

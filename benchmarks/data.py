"""Time and memory until the rows of a large set are ready: loading, audit, tokenisation.

    python -m benchmarks.data [pairs=100000] [model=smollm2-135m] [out=runs/benchmarks-data.json]

A seeded file of transcripts in the layout of hh-rlhf is written to a temporary folder: as long as the mean real
pair (220 tokens of SmolLM2, 60 % of them prompt), one to three turns, a few dirty rows. Then one process of its own
goes through the stages, and its time and peak resident memory are taken for each.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from benchmarks.table import gibibytes, number, table
from benchmarks.turns import child
from harness.compute.machine import commit, peak_memory, reset_peak_memory, versions
from harness.data.tokens import make_encoder
from harness.errors import UsageError
from harness.model.sources import find, load_tokenizer
from harness.options.parsers import Text, WholeNumber, unknown
from harness.progress import Progress, on_stream
from suites import audit, load

SUBSET = "synthetic"
MAX_TOKENS = 512
LIMIT_SECONDS = 180.0  # of 100,000 pairs, all stages together
PROMPT_WORDS, COMPLETION_WORDS = 67, 32  # on average
SYLLABLES = "ba be co da de fo ga ha in ka la li ma me na no or pa re sa se ta ti un ve wa".split()
COMMON = (
    "the of and to in a is that for it was on are as with his they at be this have from or one had by word but not "
    "what all were we when your can said there use an each which she do how their if will up other about out many "
    "then them these so some her would make like him into time has look two more write go see number no way could "
    "people my than first water been call who oil its now find long down day did get come made may part"
).split()

# key -> (parser, default)
KEYS = {
    "pairs": (WholeNumber(100), 100_000),
    "model": (Text(), "smollm2-135m"),
    "out": (Text(), "runs/benchmarks-data.json"),
}


class Settings(NamedTuple):
    """What to measure, and the file of the raw numbers."""

    pairs: int
    model: str
    out: str


def main(argv: Sequence[str]) -> int:
    """Makes the file, measures, prints the table; the exit code: 0, 1 where the measurement failed, 2 wrong words."""
    if "help" in argv or "--help" in argv:
        print((__doc__ or "").strip())
        return 0
    try:
        settings = read(argv)
    except UsageError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        size = write_pairs(Path(folder) / SUBSET / "test.jsonl.gz", settings.pairs)
        ended = child([sys.executable, "-m", "benchmarks.data", "stages", folder, settings.model])
    if ended.code:
        print(f"FAILED: {ended.failure}", file=sys.stderr)
        return 1
    found = json.loads(ended.stdout.strip().splitlines()[-1]) | {"file_bytes": size, "words": list(argv)}
    out = Path(settings.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1))
    print(*lines(found), f"\nraw numbers: {out}\nrepeat: python -m benchmarks.data {' '.join(argv)}".rstrip(), sep="\n")
    return 0


def read(argv: Sequence[str]) -> Settings:
    """Settings from words. Raises: UsageError with every problem found."""
    values = {key: default for key, (_, default) in KEYS.items()}
    errors = []
    for word in argv:
        key, _, text = word.partition("=")
        if key not in KEYS:
            errors.append(unknown("key", key, KEYS))
            continue
        try:
            values[key] = KEYS[key][0](text)
        except ValueError as error:
            errors.append(f"{key}: {error}")
    if errors:
        raise UsageError(errors)
    return Settings(**values)


def write_pairs(path: Path, count: int, seed: int = 0) -> int:
    """Writes `count` pairs as gzipped transcripts; the same seed gives the same bytes. Returns the text's bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as file:
        for row in _rows(count, random.Random(seed)):
            line = json.dumps(row).encode() + b"\n"
            size += file.write(line)
    return size


def _rows(count: int, dice: random.Random) -> Iterator[dict[str, str]]:
    """Transcripts; of a hundred rows ten repeat the first turn before, one has equal completions."""
    words = COMMON * 60 + ["".join(dice.choices(SYLLABLES, k=dice.randint(2, 4))) for _ in range(1_500)]

    def text(mean: float) -> str:
        length = max(1, round(dice.lognormvariate(0.0, 0.6) * mean / 1.197))  # the mean of that is exp(0.18)
        return " ".join(dice.choices(words, k=length)) + "."

    first = text(PROMPT_WORDS)
    for index in range(count):
        turns = dice.randint(1, 3)
        parts = [text(PROMPT_WORDS / (2 * turns - 1)) for _ in range(2 * turns - 1)]
        first = parts[0] = first if index % 10 == 9 else parts[0]
        speakers = ("Human", "Assistant")
        head = "".join(f"\n\n{speakers[place % 2]}: {part}" for place, part in enumerate(parts))
        chosen, rejected = text(COMPLETION_WORDS), text(COMPLETION_WORDS)
        if index % 100 == 50:
            rejected = chosen
        yield {"chosen": f"{head}\n\nAssistant: {chosen}", "rejected": f"{head}\n\nAssistant: {rejected}"}


def stages(folder: str, model: str, stream: TextIO) -> dict[str, Any]:
    """What each stage took in this process, and counts that show what was done."""
    found: dict[str, Any] = {"commit": commit(), "versions": dict(versions()), "stages": {}}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        reset_peak_memory("cpu")
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        found["stages"][name] = {
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "peak_memory_bytes": peak_memory("cpu"),
        }
        print(f"{name}: {found['stages'][name]['seconds']:.1f} s", file=stream)

    with on_stream(stream) as progress:
        with timed("start"):
            tokenizer = load_tokenizer(find(model))
        found |= _measure(folder, tokenizer, progress, timed)
    return found


def _measure(folder: str, tokenizer: Any, progress: Progress, timed: Callable[[str], Any]) -> dict[str, Any]:
    with timed("load"):
        suite = load("hh-rlhf", {"path": folder})
    with timed("audit"):
        audited = audit.audit(suite)
    encoder = make_encoder(tokenizer, template="auto", max_tokens=MAX_TOKENS, overlong="drop")
    with timed("tokenise"), progress.stage("tokenising", len(suite.rows)) as stage:
        encoded = encoder.encode(suite.rows, stage.advance)
    sample = encoded.rows[:: max(1, len(encoded.rows) // 1000)]
    prompt, completions = (
        sum(sizes) / len(sample)
        for sizes in (
            [len(row.prompt) for row in sample],
            [sum(map(len, row.completions)) for row in sample],
        )
    )
    return {
        "read": suite.read,
        "kept": len(suite.rows),
        "overlong": encoded.dropped.get("overlong", 0),
        "repeated_turns": audited.repeated_turns,
        "prompt_tokens": prompt,
        "answer_tokens": completions,
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The table of a measurement."""
    rows = [
        [name, number(one["seconds"]), number(one["cpu_seconds"]), gibibytes(one["peak_memory_bytes"])]
        for name, one in found["stages"].items()
    ]
    work = [one for name, one in found["stages"].items() if name != "start"]
    together = [sum(one[key] for one in work) for key in ("seconds", "cpu_seconds")]
    peak = max(one["peak_memory_bytes"] for one in work)
    limit = LIMIT_SECONDS * found["read"] / 100_000
    tokens = found["prompt_tokens"] + found["answer_tokens"]
    verdict = "passed" if together[0] <= limit else "FAILED"
    return [
        f"{found['read']:,} pairs read ({found['file_bytes'] / 1e6:.0f} MB of text), {found['kept']:,} kept, "
        f"{found['overlong']:,} beyond {MAX_TOKENS} tokens; {tokens:.0f} tokens a pair, "
        f"{found['prompt_tokens'] / tokens:.0%} of them prompt",
        "",
        *table(
            ["stage", "s", "CPU s", "peak memory"],
            [*rows, ["load to tokenise", *map(number, together), gibibytes(peak)]],
        ),
        "",
        f"check {verdict}: {together[0]:.0f} s of at most {limit:.0f} s",
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["stages"]:
        print(json.dumps(stages(*sys.argv[2:4], stream=sys.stderr)))
    else:
        sys.exit(main(sys.argv[1:]))

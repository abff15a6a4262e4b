"""Speed and memory of this harness and of TRL, measured in turns in one run.

    python -m benchmarks.speed [key=value ...]

Its own keys are listed by `python -m benchmarks.speed help`; every other word is an option of
`python -m harness run` (suite.path=, model=, max_tokens=, batch_size=, device=, threads=, precision=), equal on both
sides. model=random:1b is a llama of 1.07 billion random parameters, for a GPU. Tables go to stdout, progress to
stderr, raw numbers to the file `out`, which is written after each part.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import limit, share, step, sweep
from benchmarks.settings import KEYS, Settings, read
from benchmarks.turns import Say
from harness.compute.machine import commit
from harness.errors import UsageError


class Part(NamedTuple):
    """A title, what measures it, and what makes lines of the measurements."""

    title: str
    measure: Callable[[Settings, Say], Any]
    lines: Callable[[Any, Settings], list[str]]


PARTS = {
    "step": Part("A training pair, full tuning", step.measure, step.lines),
    "lora": Part("A training pair, LoRA", step.measure_lora, step.lines),
    "sweep": Part("A sweep: 5 losses, 2 betas, 2 learning rates", sweep.measure, sweep.lines),
    "share": Part("A training pair against the prompt's share", share.measure, share.lines),
    "limit": Part("The machine's limit", limit.measure, limit.lines),
}


def main(argv: Sequence[str]) -> int:
    """Measures the parts asked for; the exit code: 0, 1 where a measurement or a check failed, 2 for wrong words."""
    if "help" in argv or "--help" in argv:
        print(usage())
        return 0
    try:
        settings = read(argv)
    except UsageError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        return 2
    out = Path(settings.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    raw: dict[str, Any] = {"words": list(argv), "commit": commit(), "started": time.strftime("%Y-%m-%d %H:%M:%S")}
    failed = False
    for name in settings.parts:
        part = PARTS[name]
        raw[name] = part.measure(settings, lambda text, name=name: print(f"{name}: {text}", file=sys.stderr))
        out.write_text(json.dumps(raw, indent=1))
        lines = part.lines(raw[name], settings)
        failed |= any("FAILED" in line for line in lines)
        print(f"\n### {part.title}\n", *lines, sep="\n", flush=True)
    print(f"\nraw numbers: {out}\nrepeat: python -m benchmarks.speed {' '.join(argv)}".rstrip())
    return int(failed)


def usage() -> str:
    """The module's words, and each own key with its default."""
    keys = [f"  {key + '=':14s}{meaning} (default {_shown(default)})" for key, (_, default, meaning) in KEYS.items()]
    return "\n".join([(__doc__ or "").strip(), "", *keys])


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(default)
    return "none" if default is None else str(default)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

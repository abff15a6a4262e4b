"""How many small faults the tests see: mutants of the code that numbers and findings rest on, by mutmut.

    python -m benchmarks.mutants                       # everything, in a copy of this tree: about an hour
    python -m benchmarks.mutants parts=losses out=FILE

Each part is a set of files and the tests that should notice: all mutants of results/inference, results/metrics and
training/objective, and 400 of losses/ drawn by a fixed seed. Printed are the score of each file (killed of tried) and
every survivor, which tests/mutation.md explains or a test kills.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SEED = 0
KILLED = {1, 3, 24, 152, 255, -24, 36}  # exit codes of a worker: a failed test, or one that ran out of time
SURVIVED = {0, 5, 33}  # the last two: no test reaches the code


class Part(NamedTuple):
    """Files to mutate, the tests that run on each mutant, and how many mutants are drawn (None: all)."""

    files: tuple[str, ...]
    tests: tuple[str, ...]
    drawn: int | None = None


PARTS = {
    "results": Part(("results/inference/*", "results/metrics/*"), ("tests/results",)),
    "objective": Part(
        ("harness/training/objective.py",),
        tuple(f"tests/harness/training/test_{name}.py" for name in ("objective", "whole_batch", "gradient", "loop")),
    ),
    "losses": Part(("losses/*.py",), ("tests/losses",), 400),
}


def main(argv: list[str]) -> int:
    """Tries the parts that the words name; prints scores and survivors."""
    given = dict(word.split("=", 1) for word in argv)
    found = {name: tried(PARTS[name]) for name in given.get("parts", ",".join(PARTS)).split(",")}
    for name, codes in found.items():
        print(f"{name}: {summary(codes)}")
        files = Counter(mutant.rpartition(".")[0] for mutant in codes)
        for file in sorted(files):
            print(f"  {file}: {summary({m: c for m, c in codes.items() if m.rpartition('.')[0] == file})}")
        for mutant in sorted(mutant for mutant, code in codes.items() if code in SURVIVED):
            print(f"  survived: {mutant}")
    if "out" in given:
        Path(given["out"]).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def summary(codes: dict[str, int | None]) -> str:
    """How many of the mutants that a test ran on were killed."""
    killed = sum(code in KILLED for code in codes.values())
    tried = killed + sum(code in SURVIVED for code in codes.values())
    return f"{killed} of {tried} killed ({killed / tried:.1%}), {len(codes) - tried} not run" if tried else "none tried"


def tried(part: Part) -> dict[str, int | None]:
    """Mutant -> the exit code of the tests on it; None where it was not tried."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "tree"
        copy_tree(place)
        configure(place, part)
        run(place, "no.such.mutant")  # writes the mutants, tries none
        names = sorted(codes_of(place))
        if part.drawn is not None:
            names = sorted(random.Random(SEED).sample(names, min(part.drawn, len(names))))
        run(place, *names)
        codes = codes_of(place)
        return {name: codes[name] for name in names}


def copy_tree(place: Path) -> None:
    """The files that git knows, and no others."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)


def configure(place: Path, part: Part) -> None:
    """mutmut reads its settings from the project file of the folder that it runs in."""
    top = part.files[0].partition("/")[0]
    others = [name for name in ("losses", "suites", "results", "reports", "harness", "tests", "docs") if name != top]
    settings = {
        "source_paths": [top],
        "only_mutate": list(part.files),
        "pytest_add_cli_args_test_selection": list(part.tests),
        "also_copy": [*others, "pyproject.toml", "README.md", "CHANGELOG.md"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-p", "no:xdist", "-x", "-q"],
        "max_stack_depth": -1,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    with (place / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.mutmut]\n" + "\n".join(lines) + "\n")


def run(place: Path, *names: str) -> None:
    """mutmut on these mutants; its own exit code says nothing about them."""
    env = {**os.environ, "PYTHONPATH": str(place / "mutants"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    mutmut = Path(sys.executable).parent / "mutmut"
    subprocess.run(
        [str(mutmut), "run", "--max-children", "2", *names], cwd=place, env=env, stdout=sys.stderr, check=False
    )


def codes_of(place: Path) -> dict[str, int | None]:
    """What mutmut wrote down of every mutant."""
    codes: dict[str, int | None] = {}
    for path in (place / "mutants").rglob("*.meta"):
        codes |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return codes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

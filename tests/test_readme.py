"""What the README shows works: its commands parse, its code runs, its map is complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import losses
from harness.__main__ import VERBS
from harness.names import read_options
from harness.options import kinds, make, values_of
from harness.progress import silent
from harness.run import run
from harness.words import split

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line.partition("#")[0] for line in re.findall(r"^python -m harness .*$", README, flags=re.MULTILINE)]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_is_understood(command: str):
    verb, *words = shlex.split(command)[3:]
    assert verb in VERBS
    found = split(words, kinds())
    assert not found.errors and not found.bare
    assert make(values_of(found)).suite


def test_the_example_loss_trains_and_the_pandas_example_reads_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    example = next(code for code in CODE if "losses.register" in code)
    assert len([line for line in example.splitlines() if line.strip()]) <= 8
    Path("my_loss.py").write_text(example)
    try:
        options, _ = read_options(
            ["suite=imdb-sentiment", "losses=dpo,mine", "plugins=my_loss.py", "mine.beta=0.1,0.5", "model=tiny",
             "train_pairs=16", "eval_pairs=8", "threads=1"]
        )  # fmt: skip
        assert run(options, silent(), "command") == 0
    finally:
        losses.registry._losses.pop("mine", None)
    capsys.readouterr()
    exec(compile(next(code for code in CODE if "results.read" in code), "README.md", "exec"), {})
    assert capsys.readouterr().out.count("mine") == 2


@pytest.mark.parametrize("package", ["losses", "suites", "results", "reports", "harness"])
def test_the_map_names_every_file(package: str):
    lines = [line for line in README.splitlines() if line.startswith(f"| `{package}/")]
    named = {name.removeprefix(f"{package}/") for line in lines for name in re.findall(r"`([\w/.]+)`", line)}
    there = {path.name for path in (ROOT / package).glob("*.py")} - {"__init__.py"}
    assert there <= named, f"not in the map: {sorted(there - named)}"
    assert {name for name in named if name.endswith(".py")} <= there


def test_the_two_commands_are_targets_of_the_makefile_and_ci_runs_them():
    makefile = (ROOT / "Makefile").read_text()
    for target in ("setup", "demo", "test", "slow"):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make demo" in README and "make test" in README

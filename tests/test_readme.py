"""What the README and its chapters show works: commands parse, code runs, the map is complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

import losses
from harness.__main__ import VERBS
from harness.options.cards import kinds, make, values_of
from harness.options.evaluate import SHARED, EvaluateOptions, evaluate_kinds
from harness.options.lookup import read_options
from harness.options.words import split
from harness.progress import silent
from harness.reproduce.catalogue import recipes
from harness.sweeps.run import run
from harness.verbs.report import KEYS as REPORT_KEYS
from harness.verbs.report import wrong
from harness.verbs.reproduce import KEYS, listing, markdown_table

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
CHAPTERS = sorted((ROOT / "docs").glob("*.md"))
TEXT = "\n".join([README, *(chapter.read_text() for chapter in CHAPTERS)])
CODE = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
LINES = dict.fromkeys(re.findall(r"^python -m harness .*$", TEXT, flags=re.MULTILINE))
COMMANDS = [line.partition("#")[0] for line in LINES]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_is_understood(command: str):
    verb, *words = shlex.split(command)[3:]
    assert verb in VERBS
    if verb == "reproduce":
        asked = split(words, KEYS)
        assert not asked.errors and asked.bare[0] in (*recipes(), "all", "list")
        return
    if verb == "report":
        asked = split(words, REPORT_KEYS)
        assert not asked.errors and len(asked.bare) == 1 and not wrong(asked.values)
        return
    if verb == "evaluate":
        asked = split(words, evaluate_kinds())
        own = {key: text for key, text in asked.values.items() if key not in SHARED}
        assert not asked.errors and not asked.bare and make(own, EvaluateOptions).reference
        return
    found = split(words, kinds())
    assert not found.errors and not found.bare
    assert make(values_of(found)).suite


def test_the_example_losses_train_and_the_pandas_example_reads_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    pair, single, token = (code for code in CODE if "losses.register" in code)
    assert len([line for line in pair.splitlines() if line.strip()]) <= 8
    for name, example in (("my_loss", pair), ("my_single", single), ("my_early", token)):
        Path(f"{name}.py").write_text(example)
    try:
        options, _ = read_options(
            [
                "suite=imdb-sentiment",
                "suite.answers=written",
                "losses=dpo,mine,mine_single,mine_early,dpo+0.2*sft",
                "mine.beta=0.1,0.5",
                "plugins=my_loss.py,my_single.py,my_early.py",
                "model=tiny",
                "train_pairs=16",
                "eval_pairs=8",
                "threads=1",
            ]
        )
        assert run(options, silent(), "command") == 0
    finally:
        for name in ("mine", "mine_single", "mine_early", "dpo_plus_sft_x0p2"):
            losses.registry._losses.pop(name, None)
    capsys.readouterr()
    with pd.option_context("display.width", 200):
        exec(compile(next(code for code in CODE if "results.read" in code), "README.md", "exec"), {})
    shown = capsys.readouterr().out
    names = [line.split()[0] for line in shown.splitlines() if line]
    assert [names.count(name) for name in ("mine", "mine_single", "mine_early", "dpo_plus_sft_x0p2")] == [2, 1, 1, 1]


def test_every_chapter_is_linked_and_every_link_leads_somewhere():
    linked = {ROOT / path for path in re.findall(r"\]\((docs/[\w.]+)\)", README)}
    assert linked == {*CHAPTERS}, "a chapter that the README does not name, or a link to none"


def test_the_number_of_losses_is_rounded_down_to_the_tens_that_it_says():
    counted = re.search(r"more than\s+(\d+) losses", README)
    built_in = [name for name in losses.names() if losses.get(name).source is None]
    assert int(counted.group(1)) < len(built_in) <= int(counted.group(1)) + 10


def test_the_map_has_a_line_for_every_folder():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {name.rstrip("/") for line in text.splitlines() for name in re.findall(r"^\| `([\w/]+/)`", line)}
    packages = ("losses", "suites", "results", "reports", "harness")
    there = {str(path.parent.relative_to(ROOT)) for name in packages for path in (ROOT / name).rglob("*.py")}
    assert there <= named, f"not in the map: {sorted(there - named)}"
    assert all((ROOT / name).is_dir() for name in named)


def test_the_table_of_reproductions_is_the_command_s():
    (block,) = re.findall(r"<!-- reproduce list -->\n(.*?)<!-- end -->", README, flags=re.DOTALL)
    assert block == listing(markdown_table)


def test_the_two_commands_are_targets_of_the_makefile_and_ci_runs_them():
    makefile = (ROOT / "Makefile").read_text()
    for target in ("setup", "demo", "test", "slow"):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make demo" in README and "make test" in README

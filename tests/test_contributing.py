"""The recipes of CONTRIBUTING.md, carried out on a copy of the tree: what they say is all that has to be done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPIED = ("losses", "suites", "results", "reports", "harness", "tests")
BLOCK = re.compile(
    r"^\*\*`(?P<file>[^`]+)`\*\*, (?P<how>.+?):\n\n```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
PLACE = re.compile(r"(?P<where>after|in place of) `(?P<line>.+)`")


class Block(NamedTuple):
    """Code with the file it goes into, and where: `new`, `at the end`, or after or in place of a line."""

    file: str
    how: str
    code: str


class Recipe(NamedTuple):
    """One recipe: the files that it lists, its code, and the commands that show that it works."""

    name: str
    files: tuple[str, ...]
    blocks: tuple[Block, ...]
    commands: tuple[str, ...]

    @property
    def trains(self) -> bool:
        """Whether it runs cells, which takes its time."""
        return any("harness run" in command or "test_serial" in command for command in self.commands)


def recipes() -> list[Recipe]:
    """Every recipe of the page, in order."""
    found = []
    for part in re.split(r"^### ", TEXT.partition("## Recipes")[2], flags=re.MULTILINE)[1:]:
        blocks = tuple(Block(*match.group("file", "how", "code")) for match in BLOCK.finditer(part))
        (commands,) = re.findall(r"^```bash\n(.*?)^```$", part, flags=re.MULTILINE | re.DOTALL)
        files = tuple(re.findall(r"^- `(.+)`$", part, flags=re.MULTILINE))
        found.append(Recipe(part.partition("\n")[0], files, blocks, tuple(commands.splitlines())))
    return found


def changed(text: str, block: Block) -> str:
    """A file's text with a block in its place."""
    lines, is_definition = text.splitlines(keepends=True), re.match(r"def |class |@", block.code)
    code = f"\n\n{block.code}" if is_definition else block.code
    if block.how == "at the end":
        return text + code
    where, line = PLACE.fullmatch(block.how).group("where", "line")
    begins = line.removesuffix("...")
    same = [
        n for n, one in enumerate(lines) if one.strip() == line or (begins != line and one.strip().startswith(begins))
    ]
    assert len(same) == 1, f"{block.file} has {len(same)} lines {line!r}"
    if where == "after":
        lines.insert(same[0] + 1, code)
    else:
        lines[same[0]] = block.code
    return "".join(lines)


def carried_out(recipe: Recipe, tree: Path) -> None:
    """Puts the blocks of a recipe into a tree."""
    for block in recipe.blocks:
        path = tree / block.file
        assert path.exists() != (block.how == "new"), f"{block.file} is {block.how!r}"
        path.write_text(block.code if block.how == "new" else changed(path.read_text("utf-8"), block), "utf-8")


def bash(command: str, tree: Path) -> str:
    """What a command says in a tree, whose packages it finds first; it has to succeed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    cache = {"PREFERENCE_HARNESS_CACHE": str(tree / "cache"), "COLUMNS": "200"}
    environment = os.environ | cache | {"PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1", "PATH": path}
    done = subprocess.run(["bash", "-c", command], cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the working tree to which a recipe can be done."""
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_there_is_a_recipe_for_each_thing_that_is_added_to_the_house():
    assert [recipe.name for recipe in recipes()] == [
        "Add a loss",
        "Add a suite",
        "Add a judge",
        "Add a metric of pairs",
        "Add a metric of completions",
        "Add an optimizer",
        "Add an engine",
        "Add a tracker",
    ]


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_a_recipe_lists_the_files_that_it_touches(recipe: Recipe):
    assert sorted(recipe.files) == sorted({block.file for block in recipe.blocks})
    assert TEXT.count("```python") == sum(len(one.blocks) for one in recipes()), "code that belongs to no file"


@pytest.mark.parametrize(
    "recipe",
    [pytest.param(one, id=one.name, marks=[pytest.mark.slow] if one.trains else []) for one in recipes()],
)
def test_a_recipe_works_as_it_is_written(recipe: Recipe, tree: Path):
    carried_out(recipe, tree)
    bash(f"ruff check --quiet {' '.join(recipe.files)} && ruff format --check --quiet {' '.join(recipe.files)}", tree)
    for command in recipe.commands:
        said = bash(command, tree)
        assert command.partition("# shows ")[2] in said, f"{command}\n{said}"

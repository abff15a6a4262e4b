"""The rules of the house that a reader of the code can check: one test a rule, which lists every offender."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("losses", "suites", "results", "reports", "harness")
ALLOWED_ARROWS = {
    "losses": set(),
    "suites": set(),
    "results": set(),
    "reports": {"results"},
    "harness": {"losses", "suites", "results", "reports"},
}
# A room of harness/ imports only rooms to its left.
ROOMS = (
    "errors digests redaction text_tables launch progress cache options compute model data generation judges "
    "experiment training evaluation cells engines sweeps reproduce verbs __main__"
).split()
DOORS = {"harness/__init__.py", "harness/models.py"}  # names that documents give to users
NOT_MODULES = {"run", "plan", "compare", "evaluate", "report"}  # functions of `harness`, so no module of that name
# library -> the packages (or single files) that may import it
KEEPERS = {
    "torch": ("losses", "harness"),
    "transformers": ("harness",),
    "peft": ("harness",),
    "accelerate": ("harness",),
    "datasets": ("suites",),
    "lm_eval": ("harness/evaluation/lm_eval.py",),
    "openai": ("harness/judges/endpoint.py",),
    "ray": ("harness/engines/",),
    "submitit": ("harness/engines/slurm.py",),
    "jinja2": ("reports",),
    "matplotlib": ("reports",),
}
STANDARD_AND_TORCH = {"torch", *sys.stdlib_module_names}
FILES_OF_A_ROOM = 20
LINES_OF_A_FUNCTION = 40  # its complexity (12 at most) is checked by ruff


@cache
def sources() -> dict[str, ast.Module]:
    """Every file of the five packages, by its path from the root."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@cache
def modules() -> dict[str, str]:
    """Module -> its file."""
    return {place.removesuffix(".py").removesuffix("/__init__").replace("/", "."): place for place in sources()}


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name or "") of everything that a file imports, wherever in it, type-checking blocks included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def libraries(place: str) -> set[str]:
    """Top-level names of what a file imports."""
    return {module.partition(".")[0] for module, _ in imported(sources()[place])}


@cache
def arrows() -> dict[str, set[str]]:
    """File -> the files of ours that it imports; importing a submodule does not count as importing its package."""
    known, found = modules(), {}
    for place, tree in sources().items():
        names = (f"{module}.{name}" if f"{module}.{name}" in known else module for module, name in imported(tree))
        found[place] = {known[name] for name in names if name in known} - {place}
    return found


def room(place: str) -> str:
    return Path(place).parts[1].removesuffix(".py")


def functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def test_the_five_packages_import_one_way():
    wrong = {
        place: ours
        for place in sources()
        if (ours := libraries(place) & set(PACKAGES) - ALLOWED_ARROWS[place.partition("/")[0]] - {place.split("/")[0]})
    }
    assert wrong == {}


def test_a_room_of_the_harness_imports_only_rooms_to_its_left():
    inside = [place for place in sources() if place.startswith("harness/") and place not in DOORS]
    assert {room(place) for place in inside} == set(ROOMS)
    rank = {name: place for place, name in enumerate(ROOMS)}
    wrong = [
        f"{place} -> {other}"
        for place in inside
        for other in sorted(arrows()[place])
        if other in inside and rank[room(other)] > rank[room(place)]
    ]
    assert wrong == []


def circle(of: dict[str, set[str]]) -> list[str]:
    """Files that import each other in a circle, the first one again at the end; none where there is no circle."""
    try:
        TopologicalSorter(of).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_of_files():
    assert circle(arrows()) == []
    assert sorted(set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}))) == ["a", "b", "c"]  # one that is there is found


def test_no_room_of_the_harness_holds_too_many_files():
    count = Counter(str(Path(place).parent) for place in sources() if place.startswith("harness/"))
    assert {folder: files for folder, files in count.items() if files > FILES_OF_A_ROOM} == {}


def test_no_module_of_the_harness_has_the_name_of_a_function_of_it():
    assert NOT_MODULES & {Path(place).stem for place in sources() if Path(place).parent == Path("harness")} == set()


def test_a_library_is_imported_only_where_it_belongs():
    wrong = [
        f"{place} imports {library}"
        for place in sources()
        for library in libraries(place) & set(KEEPERS)
        if not place.startswith(KEEPERS[library])
    ]
    assert wrong == []


def test_losses_need_torch_and_nothing_else():
    places = [place for place in sources() if place.startswith("losses/")]
    assert {place: more for place in places if (more := libraries(place) - {"losses"} - STANDARD_AND_TORCH)} == {}


def test_every_module_says_what_it_is():
    assert [place for place, tree in sources().items() if not ast.get_docstring(tree)] == []


def test_functions_stay_small():
    long = [
        f"{place}: {node.name} has {lines} lines"
        for place, tree in sources().items()
        for node in functions(tree)
        if (lines := node.end_lineno - node.lineno + 1) > LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_nothing_is_unpickled_and_no_foreign_code_is_trusted():
    wrong = []
    for place, tree in sources().items():
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        loads = {ast.unparse(call.func) for call in calls} & {"torch.load", "torch.save"}
        trusted = any(keyword.arg == "trust_remote_code" for call in calls for keyword in call.keywords)
        if loads or trusted or "read_pickle" in names or libraries(place) & {"pickle", "dill", "cloudpickle", "joblib"}:
            wrong.append(place)
    assert wrong == []


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("results", "torch"),
        ("reports", "torch"),
        ("suites", "torch"),
        ("losses", "transformers"),
        ("losses", "pandas"),
        ("results", "pandas"),
        ("suites", "datasets"),
        ("harness", "torch"),
    ],
)
def test_importing_a_package_leaves_what_it_does_not_need_alone(package: str, heavy: str):
    code = f"import {package}, sys; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_all_packages_are_in_the_distribution_and_nothing_else():
    import tomllib

    from setuptools import find_packages

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = find_packages(str(ROOT), include=settings["tool"]["setuptools"]["packages"]["find"]["include"])
    folders = {str(Path(place).parent).replace("/", ".") for place in sources()}
    assert set(found) == folders
    assert settings["project"]["name"] == "preference-harness"


def test_tests_mirror_the_tree():
    """A test file is named like a module, and lies in the folder that mirrors the module's."""
    rules = {"contract", "bad_input", "main", "phenomena", "exact", "command"}  # of a rule, or the door, and no module
    wrong = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        place = path.relative_to(ROOT / "tests")
        if place.parts[0] in PACKAGES and path.stem.removeprefix("test_") not in rules:
            module = ROOT / place.parent / f"{path.stem.removeprefix('test_')}.py"
            wrong += [] if module.is_file() else [str(place)]
    assert wrong == []

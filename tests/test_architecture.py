"""The rules of the house that a reader of the imports can check."""

from __future__ import annotations

import ast
import subprocess
import sys
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
# library -> the packages (or single files) that may import it
KEEPERS = {
    "torch": ("losses", "harness"),
    "transformers": ("harness",),
    "peft": ("harness",),
    "accelerate": ("harness",),
    "datasets": ("suites",),
    "lm_eval": ("harness/capability.py",),
    "openai": ("harness/judges/endpoint.py",),
    "ray": ("harness/engines/ray.py", "harness/engines/cluster.py"),
    "submitit": ("harness/engines/slurm.py",),
    "jinja2": ("reports",),
    "matplotlib": ("reports",),
}
STANDARD_AND_TORCH = {"torch", *sys.stdlib_module_names}


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Top-level names of everything that a file imports, wherever in it, type-checking blocks included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


each_source = pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))


@each_source
def test_imports_point_one_way(path: Path):
    package = path.relative_to(ROOT).parts[0]
    ours = imports(path) & set(PACKAGES) - {package}
    assert ours <= ALLOWED_ARROWS[package], f"{package} must not import {ours - ALLOWED_ARROWS[package]}"


@each_source
def test_a_library_is_imported_only_where_it_belongs(path: Path):
    place = str(path.relative_to(ROOT))
    for library in imports(path) & set(KEEPERS):
        assert place.startswith(KEEPERS[library]), f"{place} must not import {library}"


@pytest.mark.parametrize("path", sorted((ROOT / "losses").glob("*.py")), ids=lambda p: p.name)
def test_losses_need_torch_and_nothing_else(path: Path):
    assert imports(path) - {"losses"} <= STANDARD_AND_TORCH


@each_source
def test_every_module_and_public_function_says_what_it_is(path: Path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path.name} has no module docstring"
    public = [
        node
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


@each_source
def test_functions_stay_small(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 100, f"{node.name} is too long"


@each_source
def test_nothing_is_unpickled_and_no_foreign_code_is_trusted(path: Path):
    tree = ast.parse(path.read_text())
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loads = [ast.unparse(call.func) for call in calls]
    assert not imports(path) & {"pickle", "dill", "cloudpickle", "joblib"}
    assert "torch.load" not in loads and "torch.save" not in loads and "read_pickle" not in names
    assert not any(keyword.arg == "trust_remote_code" for call in calls for keyword in call.keywords)


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
    ],
)
def test_importing_a_package_leaves_what_it_does_not_need_alone(package: str, heavy: str):
    code = f"import {package}, sys; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_five_packages_are_listed_in_the_distribution():
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = settings["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert sorted(listed) == sorted(str(folder).replace("/", ".") for folder in folders)
    assert settings["project"]["name"] == "preference-harness"


@pytest.mark.parametrize("package", PACKAGES)
def test_tests_mirror_the_tree(package: str):
    modules = {path.stem for path in (ROOT / package).glob("*.py")}
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / package).glob("test_*.py")}
    tests -= {"contract", "bad_input", "main"}  # these test a rule, or the door, and no single module
    assert tests <= modules, f"tests of no module: {tests - modules}"

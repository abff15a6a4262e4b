"""Loading a user's losses: from files, modules and entry points, again and again."""

import hashlib
import py_compile
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

import losses
from losses import plugins

pytestmark = pytest.mark.usefixtures("forgetful_registry")

MINE = """import losses

@losses.register("mine", needs={"reference"}, reward="log_ratio")
def mine(pair: losses.PairBatch, *, beta: float = 0.1):
    return -beta * (pair.chosen_log_ratio - pair.rejected_log_ratio)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An importable module of a package, with a relative import."""
    package = tmp_path / "user_package_for_tests"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "strength.py").write_text("FACTOR = 2.0\n")
    text = "from .strength import FACTOR\n" + MINE.replace("-beta", "-FACTOR * beta")
    (package / "mine.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield "user_package_for_tests.mine"
    for name in [name for name in sys.modules if name.startswith("user_package_for_tests")]:
        del sys.modules[name]


def test_a_file_registers_its_losses_with_its_digest_and_name(file):
    assert losses.load_plugin(str(file)) == ("mine",)
    loss = losses.get("mine")
    assert loss.source == hashlib.sha256(file.read_bytes()).hexdigest()
    assert loss.origin == str(file)
    assert (loss.kind, loss.defaults) == ("pairwise", {"beta": 0.1})


def test_a_file_with_several_losses_names_them_all(plugin_folder):
    assert losses.load_plugin(str(plugin_folder / "pointwise.py")) == ("my_pointwise", "my_centred")
    assert losses.get("my_pointwise").kind == "pointwise"
    assert losses.get("my_centred").kind == "pairwise"


def test_an_unchanged_file_is_not_run_again(file):
    losses.load_plugin(str(file))
    before = losses.get("mine")
    assert losses.load_plugin(str(file)) == ("mine",)
    assert losses.get("mine") is before


def test_an_edited_file_replaces_its_loss_at_once(file):
    losses.load_plugin(str(file))
    before = losses.get("mine")
    file.write_text(MINE.replace("0.1", "0.7"))  # same length, same second: bytecode caches would miss it
    losses.load_plugin(str(file))
    assert losses.get("mine").defaults == {"beta": 0.7}
    assert losses.get("mine").source != before.source


def test_an_edited_file_replaces_losses_whose_functions_live_elsewhere(tmp_path, monkeypatch):
    helper = "def made(pair: 'PairBatch', *, beta: float = 0.1):\n    return -beta * pair.chosen.total\n"
    (tmp_path / "helper_for_tests.py").write_text(helper)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text("import losses, helper_for_tests\nlosses.register('mine')(helper_for_tests.made)\n")
    losses.load_plugin(str(path))
    path.write_text(path.read_text().replace("'mine'", "'mine', lr_scale=3.0"))
    losses.load_plugin(str(path))
    assert losses.get("mine").lr_scale == 3.0


def test_a_loss_renamed_in_the_file_leaves_no_old_name_behind(file):
    losses.load_plugin(str(file))
    file.write_text(MINE.replace('"mine"', '"yours"'))
    assert losses.load_plugin(str(file)) == ("yours",)
    assert "mine" not in losses.names()


def test_no_bytecode_is_left_beside_the_file(file):
    losses.load_plugin(str(file))
    assert [path.name for path in file.parent.iterdir()] == ["mine.py"]


def test_a_module_is_loaded_by_name_and_may_import_its_neighbours(module):
    assert losses.load_plugin(module) == ("mine",)
    assert len(losses.get("mine").source) == 64
    assert losses.get("mine").origin == module


def test_a_module_imported_before_is_taken_over(module):
    __import__(module)
    assert losses.get("mine").source is None
    assert losses.load_plugin(module) == ("mine",)
    assert losses.get("mine").source is not None


def test_a_plugin_may_define_dataclasses_with_postponed_annotations(tmp_path):
    path = tmp_path / "dataclassed.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n"
        "@dataclass\nclass Setting:\n    value: float = 1.0\n    kind: ClassVar[str] = 'x'\n" + MINE
    )
    assert losses.load_plugin(str(path)) == ("mine",)


def test_a_plugin_may_give_the_batch_another_name(tmp_path):
    path = tmp_path / "renamed.py"
    path.write_text("from losses import PairBatch as Batch\n" + MINE.replace("losses.PairBatch", "Batch"))
    assert losses.load_plugin(str(path)) == ("mine",)
    assert losses.get("mine").kind == "pairwise"


def test_a_missing_file_is_not_found():
    with pytest.raises(FileNotFoundError, match="'nowhere/mine.py' not found"):
        losses.load_plugin("nowhere/mine.py")


@pytest.mark.parametrize("name", ["no_such_module_here", "no_such_package.mine", "sys", "losses..mine", ""])
def test_a_word_that_is_no_module_with_source_is_refused(name):
    with pytest.raises(ValueError, match="plug-in"):
        losses.load_plugin(name)


def test_a_compiled_module_has_no_source_to_run(file, tmp_path, monkeypatch):
    py_compile.compile(str(file), cfile=str(tmp_path / "compiled_for_tests.pyc"))
    monkeypatch.syspath_prepend(tmp_path)
    message = "plug-in module '{}' has no Python source file, allowed: a .py module"
    for name in ("sys", "compiled_for_tests"):
        with pytest.raises(ValueError, match=message.format(name)):
            losses.load_plugin(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "registers no loss"),
        ("import losses\ndef broken(:\n", "line 2: "),
        ("import losses\n\nraise RuntimeError('no')\n", "line 3: RuntimeError: no"),
        ("import no_such_module_here\n", "line 1: ModuleNotFoundError"),
        (MINE.replace('"mine"', '"dpo"'), "'dpo' is already registered"),
        (MINE + MINE, "'mine' is already registered"),
        (MINE.replace(": losses.PairBatch", ""), "annotation of its first parameter 'pair' is missing"),
        (MINE + "\n1 / 0\n", "line 7: ZeroDivisionError"),
        ("x = 1\0\n", "mine.py': source code string cannot contain null bytes"),
        ("import sys\nsys.exit('usage: train DATA')\n", "line 2: SystemExit: usage: train DATA"),
        ("x = 1\nexec(compile('(', 'helper.py', 'exec'))\n", r"line 2: SyntaxError: .*\(helper.py, line 1\)"),
    ],
)
def test_a_plugin_that_fails_changes_nothing(file, text, message):
    before = {name: losses.get(name) for name in losses.names()}
    modules = set(sys.modules)
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        losses.load_plugin(str(file))
    assert {name: losses.get(name) for name in losses.names()} == before
    assert set(sys.modules) == modules


def test_a_broken_edit_keeps_the_last_good_loss_in_its_place(file, plugin_folder):
    losses.load_plugin(str(file))
    losses.load_plugin(str(plugin_folder / "hinge.py"))
    before, names = losses.get("mine"), losses.names()
    file.write_text("def broken(:\n")
    with pytest.raises(ValueError, match="line 1"):
        losses.load_plugin(str(file))
    assert losses.get("mine") is before
    assert losses.names() == names


def test_two_plugins_cannot_share_a_name(file, tmp_path):
    losses.load_plugin(str(file))
    other = tmp_path / "other.py"
    other.write_text(MINE)
    with pytest.raises(ValueError, match=f"'mine' is already registered by {file}"):
        losses.load_plugin(str(other))
    assert losses.get("mine").origin == str(file)


def test_a_loaded_loss_computes(file):
    losses.load_plugin(str(file))
    batch = losses.random_pairs(3, seed=1, needs={"reference"})
    expected = -0.1 * (batch.chosen_log_ratio - batch.rejected_log_ratio)
    assert torch.equal(losses.get("mine").fn(batch), expected)


def test_installed_entry_points_are_loaded(module, monkeypatch):
    point = EntryPoint(name="mine", value=module, group=plugins.ENTRY_POINT_GROUP)
    asked = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: asked.append(group) or [point])
    assert losses.load_entry_points() == ("mine",)
    assert losses.load_entry_points() == ("mine",)
    assert asked[0] == "preference_harness.losses"


def test_the_losses_of_all_entry_points_are_named(module, plugin_folder, monkeypatch):
    monkeypatch.syspath_prepend(plugin_folder)
    points = [EntryPoint(name="x", value=value, group=plugins.ENTRY_POINT_GROUP) for value in (module, "pointwise")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    assert losses.load_entry_points() == ("mine", "my_pointwise", "my_centred")
    sys.modules.pop("pointwise")


def test_a_broken_entry_point_is_named(monkeypatch):
    point = EntryPoint(name="mine", value="no_such_module_here:mine", group=plugins.ENTRY_POINT_GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    with pytest.raises(ValueError, match="entry point mine = no_such_module_here:mine"):
        losses.load_entry_points()

"""What a docstring must say: one test a rule, which lists every offender. Taste is not checked, presence is.

Public is what has no leading underscore and stands in a module or in a public class.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import losses

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("losses", "suites", "results", "reports", "harness")
NOT_YET: tuple[str, ...] = ()
"""Files and rooms whose docstrings are still to be mended; what is not listed is held to the rules."""

SHAPE = re.compile(r"\[(|\.\.\.|[A-Z0-9][A-Za-z0-9 +*,.-]*)\]")  # [] is one number, [...] any shape
UNIT = re.compile(r"\b(nats|tokens|share|probabilit(y|ies)|logits|indices|counts?|true or false|ids?|unit|norm)\b")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Public(NamedTuple):
    """A public function, class or method: its file, dotted name, and node."""

    place: str
    name: str
    node: Function | ast.ClassDef

    @property
    def text(self) -> str:
        return ast.get_docstring(self.node) or ""

    def __str__(self) -> str:
        return f"{self.place}:{self.node.lineno} {self.name}"


@cache
def module_texts() -> dict[str, str]:
    """The docstring of every module, by its path from the root."""
    return {place: ast.get_docstring(tree) or "" for place, tree in trees().items()}


@cache
def trees() -> dict[str, ast.Module]:
    """Every file of the five packages, by its path from the root, but for the rooms that are not yet held to this."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    places = {str(path.relative_to(ROOT)): path for path in paths}
    return {
        place: ast.parse(path.read_text(encoding="utf-8"))
        for place, path in places.items()
        if not place.startswith(NOT_YET)
    }


def public(place: str, body: list[ast.stmt], above: str = "") -> Iterator[Public]:
    """The public names of a module or class, those of its classes included."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield Public(place, above + node.name, node)
            if isinstance(node, ast.ClassDef):
                yield from public(place, node.body, f"{above}{node.name}.")


@cache
def everything() -> tuple[Public, ...]:
    """All public names of the five packages."""
    return tuple(one for place, tree in trees().items() for one in public(place, tree.body))


def own(node: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function's own body, nested functions and classes left out."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function | ast.ClassDef | ast.Lambda):
            yield child
            yield from own(child)


def raised(node: Function) -> set[str]:
    """The names of the exceptions that a function raises itself; an error that is passed on has no name here."""
    found = set()
    for child in own(node):
        if isinstance(child, ast.Raise) and child.exc is not None:
            error = child.exc.func if isinstance(child.exc, ast.Call) else child.exc
            name = error.attr if isinstance(error, ast.Attribute) else getattr(error, "id", "")
            found |= {name} if name[:1].isupper() else set()
    return found


def has_tensors(node: Function) -> bool:
    """Whether a function takes or returns a tensor."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    annotations = [one.annotation for one in arguments] + [node.returns]
    return any(re.search(r"\bTensor\b", ast.unparse(one)) for one in annotations if one is not None)


def test_every_public_name_has_a_docstring():
    """What implements a method that another class of its file explains needs no second explanation."""
    told = {(one.place, one.node.name) for one in everything() if one.text}
    assert [str(one) for one in everything() if not one.text and (one.place, one.node.name) not in told] == []


def test_an_error_that_a_function_raises_is_named_after_raises():
    wrong = []
    for one in everything():
        if isinstance(one.node, Function):
            said = one.text.partition("Raises:")[2]
            untold = sorted(name for name in raised(one.node) if name not in said)
            wrong += [f"{one}: {', '.join(untold)}"] if untold else []
    assert wrong == []


def test_tensors_of_losses_have_shapes_and_units():
    """The unit may stand in the module's legend of letters, which its functions share."""
    wrong = []
    for one in everything():
        if one.place.startswith("losses/") and isinstance(one.node, Function) and has_tensors(one.node):
            lacking = [] if SHAPE.search(one.text) else ["a shape"]
            lacking += [] if UNIT.search(one.text + module_texts()[one.place]) else ["a unit"]
            wrong += [f"{one}: {' and '.join(lacking)}"] if lacking else []
    assert wrong == []


def test_every_registered_loss_names_its_paper():
    assert {name: card.paper for name in losses.names() if not (card := losses.get(name)).paper} == {}

"""Loading losses that users wrote: a .py file, an importable module, or an installed entry point.

A plug-in registers its losses with `@losses.register` when it runs. It is executed from exactly the bytes
whose sha256 becomes `Loss.source`, never from cached bytecode: bytecode is checked by time and size, so an
edit within the same second could run the old loss under the new digest. Only the plug-in's own file is
digested; modules that it imports are not.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from losses import registry

ENTRY_POINT_GROUP = "preference_harness.losses"


class _Loaded(NamedTuple):
    """What one plug-in file registered when it was last run."""

    source: str
    names: tuple[str, ...]


_loaded: dict[Path, _Loaded] = {}


def load_plugin(source: str) -> tuple[str, ...]:
    """Run a plug-in and return the names of the losses it registered.

    source: path of a .py file, or the name of an importable module. Loading an unchanged file again does
    nothing; an edited one is run again and replaces its own losses, and no others.

    Raises: FileNotFoundError for a missing file; ValueError for an unknown module, code that does not run,
    a plug-in that registers nothing, or one that takes the name of another loss. Then nothing changes.
    """
    spec = _file_spec(source) if _is_path(source) else _module_spec(source)
    path = Path(str(spec.origin)).resolve()
    code = path.read_bytes()
    digest = hashlib.sha256(code).hexdigest()
    earlier = _loaded.get(path, _Loaded("", ()))
    if earlier.source == digest and all(name in registry.names() for name in earlier.names):
        return earlier.names
    own = {*earlier.names, *_imported_before(spec.name)}
    module = importlib.util.module_from_spec(spec)
    with registry.registering_from(source, digest, own) as registered, _in_sys_modules(module):
        _execute(source, module, path, code)
        if not registered:
            raise ValueError(
                f"plug-in {source!r} registers no loss; decorate a function with @losses.register('name')."
            )
    _loaded[path] = _Loaded(digest, tuple(registered))
    return tuple(registered)


def load_entry_points() -> tuple[str, ...]:
    """Load every installed plug-in of the group `preference_harness.losses`; the names they registered.

    Raises: ValueError naming the entry point that could not be loaded.
    """
    names: list[str] = []
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            names += load_plugin(point.module)
        except (ValueError, FileNotFoundError) as error:
            raise ValueError(
                f"entry point {point.name} = {point.value} of group {ENTRY_POINT_GROUP}: {error} "
                "Repair or uninstall the package that declares it."
            ) from error
    return tuple(dict.fromkeys(names))


def _is_path(source: str) -> bool:
    return source.endswith(".py") or os.sep in source


def _file_spec(source: str) -> ModuleSpec:
    """A module spec for a file, under a private name that cannot shadow an importable module.

    Raises: FileNotFoundError or ValueError.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"plug-in file {source!r} not found; give the path of a .py file.")
    private = "losses_plugin_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(private, path.resolve())
    if spec is None:
        raise ValueError(f"plug-in file {source!r} is not Python source, allowed: a .py file.")
    return spec


def _module_spec(source: str) -> ModuleSpec:
    """The spec of an importable module that has a Python source file. Raises: ValueError."""
    try:
        spec = importlib.util.find_spec(source)
    except (ImportError, ValueError) as error:
        raise ValueError(f"plug-in module {source!r} cannot be imported: {error}.") from error
    if spec is None:
        raise ValueError(
            f"no module named {source!r} for a plug-in; to load a file, give its path with the ending .py."
        )
    if not spec.has_location or not str(spec.origin).endswith(".py"):
        raise ValueError(f"plug-in module {source!r} has no Python source file, allowed: a .py module.")
    return spec


def _imported_before(module_name: str) -> tuple[str, ...]:
    """Losses that an ordinary import of the module registered; loading it as a plug-in takes them over."""
    return tuple(name for name in registry.names() if registry.get(name).fn.__module__ == module_name)


def _execute(source: str, module: ModuleType, path: Path, code: bytes) -> None:
    """Run the plug-in's bytes as a module; whatever goes wrong in them is reported with its line.

    Raises: ValueError.
    """
    try:
        compiled = compile(code, str(path), "exec", dont_inherit=True)  # not with the __future__ of this file
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte
        line = getattr(error, "lineno", None)
        where = f", line {line}" if line else ""
        raise ValueError(f"plug-in {source!r}{where}: {getattr(error, 'msg', error)}.") from error
    try:
        exec(compiled, module.__dict__)  # noqa: S102 running it is its purpose
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        where = f", line {lines[-1]}" if lines else ""
        raise ValueError(f"plug-in {source!r}{where}: {type(error).__name__}: {error}") from error


@contextmanager
def _in_sys_modules(module: ModuleType) -> Iterator[None]:
    """Make the module importable by its name, as dataclasses and pickling expect; undone on failure."""
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        yield
    except BaseException:
        del sys.modules[module.__name__]
        if before is not None:
            sys.modules[module.__name__] = before
        raise

"""`python -m harness VERB ...`: the command line. Thin: each verb imports what it needs and hands over.

Answers go to stdout; progress, warnings and errors to stderr. Exit codes: 0 done, 1 a cell failed or a
published figure was not matched, 2 the command could not be carried out (every reason printed, nothing written),
130 interrupted.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

PACKAGES = ("harness", "losses", "suites", "results", "reports")
HELP = ("-h", "--help", "help")

# Quiet and predictable libraries, unless the user decided otherwise; read when they are first imported.
ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    misplaced = misplaced_package()
    if misplaced:
        return _refuse([misplaced])
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        return _dispatch(argv)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        from harness.errors import storage_failure

        if reason := storage_failure(error):
            return _refuse([reason])
        raise


def misplaced_package() -> str | None:
    """A sentence about a package that is missing or not beside `harness`; None when all belong together.

    A folder named `results` or `losses` in the current directory would otherwise be imported in place of
    ours and fail somewhere far from the cause.
    """
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        place = _place(importlib.util.find_spec(name))
        if place is None:
            return f"the package {name!r} is missing: it should lie in {home}; install the project again"
        if place.parent != home:
            return (
                f"the package {name!r} comes from {place.parent}, but 'harness' from {home}; "
                f"run from another folder, or rename {place}"
            )
    return None


def _place(spec: ModuleSpec | None) -> Path | None:
    """The folder of a top-level package, or the file of a module, without importing it."""
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ([spec.origin] if spec.origin else []))
    return Path(places[0]).resolve() if places else None


def _dispatch(argv: list[str]) -> int:
    """Choose the verb, or its help."""
    from harness import launch
    from harness.verbs import help as usage

    if not argv:
        print(usage.overview(), end="", file=sys.stderr)
        return 2
    verb, *words = argv[1:] or [""] if argv[0] in HELP else argv
    wants_help = argv[0] in HELP or any(word in HELP[:2] for word in words)
    if launch.rank() > 0 and (verb != "run" or wants_help):
        return 0  # of several processes the first one answers
    if wants_help and not verb:
        print(usage.overview(), end="")
        return 0
    if verb not in VERBS:
        return _refuse([usage.unknown_verb(verb)])
    if wants_help:
        print(usage.of_verb(verb), end="")
        return 0
    return _carry_out(verb, words)


def _carry_out(verb: str, argv: list[str]) -> int:
    """Hand over to the verb; print what it refuses."""
    from harness.errors import UsageError

    try:
        return importlib.import_module(f"harness.verbs.{verb}").main(argv)
    except UsageError as error:
        return _refuse(error.messages)
    except _suite_error() as error:
        return _refuse([str(error)])


def _suite_error() -> type[Exception] | tuple[()]:
    """`SuiteError` where suites have been imported: an answer that needs none does not wait for them."""
    return sys.modules["suites"].SuiteError if "suites" in sys.modules else ()


def _refuse(messages: Sequence[str]) -> int:
    """Print every reason why the command cannot be carried out; the exit code for that."""
    for message in messages:
        print(f"error: {message}", file=sys.stderr)
    return 2


VERBS = ("run", "plan", "evaluate", "report", "compare", "pairs", "reproduce", "verify", "export", "list")
"""Each is a module of `harness.verbs` whose `main` takes the argv after it and returns the exit code."""


if __name__ == "__main__":
    sys.exit(main())

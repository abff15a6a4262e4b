"""`python -m harness VERB ...`: the command line. Thin: each verb imports what it needs and hands over.

Answers go to stdout; progress, warnings and errors to stderr. Exit codes: 0 done, 1 a cell failed or a
published figure was not matched, 2 the command could not be carried out (every reason printed, nothing written),
130 interrupted.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Callable, Sequence
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
    stranger = misplaced_package()
    if stranger:
        return _refuse([stranger])
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
        from harness.faults import storage_failure

        if told := storage_failure(error):
            return _refuse([told])
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
    from harness import launch, usage

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
    return VERBS[verb](words)


def _run(words: list[str]) -> int:
    """One process, or the first of several, tells the story; the others help it."""
    from harness import launch

    if launch.processes() == 1:
        return _sweep("run", words)
    if launch.rank() > 0:
        from harness.followers import follow

        return follow()
    from harness.ranks import leading

    with leading():
        return _sweep("run", words)


def _plan(words: list[str]) -> int:
    return _sweep("plan", words)


def _sweep(verb: str, words: list[str]) -> int:
    """Read the options, say what to know about them, and hand over to run.py or plan.py."""
    from harness.names import read_options
    from harness.options import UsageError
    from harness.progress import on_stream
    from harness.secrets import redacted
    from suites import SuiteError

    try:
        options, notices = read_options(words)
        command = redacted(shlex.join(["python", "-m", "harness", verb, *words]))
        with on_stream(sys.stderr) as progress:
            for notice in notices:
                progress.warn(notice)
            act = importlib.import_module(f"harness.{verb}")
            return getattr(act, verb)(options, progress, command)
    except UsageError as error:
        return _refuse(error.messages)
    except SuiteError as error:
        return _refuse([str(error)])


def _evaluate(words: list[str]) -> int:
    """Measure models that were trained elsewhere."""
    from harness.elsewhere import evaluate, read_evaluate_options
    from harness.options import UsageError
    from harness.progress import on_stream
    from harness.secrets import redacted
    from suites import SuiteError

    try:
        asked = read_evaluate_options(words)
        command = redacted(shlex.join(["python", "-m", "harness", "evaluate", *words]))
        with on_stream(sys.stderr) as progress:
            for warning in asked.warnings:
                progress.warn(warning)
            return evaluate(asked, progress, command)
    except UsageError as error:
        return _refuse(error.messages)
    except SuiteError as error:
        return _refuse([str(error)])


def _pairs(words: list[str]) -> int:
    """Sample answers, rate them, and write the pairs as a suite file."""
    from harness.options import UsageError
    from harness.pairs import pairs, read_pairs_options
    from harness.progress import on_stream
    from suites import SuiteError

    try:
        options = read_pairs_options(words)
        with on_stream(sys.stderr) as progress:
            return pairs(options, progress)
    except UsageError as error:
        return _refuse(error.messages)
    except SuiteError as error:
        return _refuse([str(error)])


def _report(words: list[str]) -> int:
    """Write the report of a folder of results, its tables and figures where asked for, and print its table."""
    from harness.options import UsageError
    from harness.report import report

    try:
        print(report(words, warn=lambda text: print(f"warning: {text}", file=sys.stderr)))
    except UsageError as error:
        return _refuse(error.messages)
    return 0


def _verify(words: list[str]) -> int:
    """Hold stored cells to their files and tables, and print what is not as it should be."""
    from harness.options import UsageError
    from harness.progress import on_stream
    from harness.verify import verify
    from suites import SuiteError

    try:
        with on_stream(sys.stderr) as progress:
            return verify(words, progress)
    except UsageError as error:
        return _refuse(error.messages)
    except (SuiteError, FileNotFoundError) as error:
        return _refuse([str(error)])


def _export(words: list[str]) -> int:
    """Print a cell's settings as another trainer's."""
    from harness.export import export
    from harness.options import UsageError

    try:
        return export(words)
    except UsageError as error:
        return _refuse(error.messages)


def _compare(words: list[str]) -> int:
    """Print the verdicts on pairs of settings."""
    from harness.compare import compare
    from harness.options import UsageError

    try:
        print(compare(words, warn=lambda text: print(f"warning: {text}", file=sys.stderr)))
    except UsageError as error:
        return _refuse(error.messages)
    return 0


def _list(words: list[str]) -> int:
    """Print what there is to choose from."""
    from harness.listing import listing
    from harness.options import UsageError

    try:
        print(listing(words), end="")
    except UsageError as error:
        return _refuse(error.messages)
    return 0


def _reproduce(words: list[str]) -> int:
    """Set a published table beside ours."""
    from harness.options import UsageError
    from harness.reproduce.command import reproduce
    from suites import SuiteError

    try:
        return reproduce(words)
    except UsageError as error:
        return _refuse(error.messages)
    except SuiteError as error:
        return _refuse([str(error)])


def _refuse(messages: Sequence[str]) -> int:
    """Print every reason why the command cannot be carried out; the exit code for that."""
    for message in messages:
        print(f"error: {message}", file=sys.stderr)
    return 2


VERBS: dict[str, Callable[[list[str]], int]] = {
    "run": _run,
    "plan": _plan,
    "evaluate": _evaluate,
    "report": _report,
    "compare": _compare,
    "pairs": _pairs,
    "reproduce": _reproduce,
    "verify": _verify,
    "export": _export,
    "list": _list,
}


if __name__ == "__main__":
    sys.exit(main())

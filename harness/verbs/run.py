"""`run`: one process, or the first of several, tells the story; the others help it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness import launch
from harness.options.lookup import read_options
from harness.progress import on_stream
from harness.redaction import command_line


def main(words: Sequence[str]) -> int:
    """Trains and measures what the words ask for; the exit code. Raises: UsageError, SuiteError."""
    if launch.processes() == 1:
        return _sweep(words)
    if launch.rank() > 0:
        from harness.engines.followers import follow

        return follow()
    from harness.compute.ranks import leading

    with leading():
        return _sweep(words)


def _sweep(words: Sequence[str]) -> int:
    options, notices = read_options(words)
    with on_stream(sys.stderr) as progress:
        for notice in notices:
            progress.warn(notice)
        from harness.sweeps.run import run

        return run(options, progress, command_line("run", words))

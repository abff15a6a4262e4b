"""`run`: one process, or the first of several, tells the story; the others help it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness import launch
from harness.options.lookup import read_options
from harness.progress import on_stream
from harness.redaction import command_line


def main(argv: Sequence[str]) -> int:
    """Trains and measures what argv asks for; the exit code. Raises: UsageError, SuiteError."""
    if launch.processes() == 1:
        return _sweep(argv)
    if launch.rank() > 0:
        from harness.engines.followers import follow

        return follow()
    from harness.compute.ranks import leading

    with leading():
        return _sweep(argv)


def _sweep(argv: Sequence[str]) -> int:
    options, notices = read_options(argv)
    with on_stream(sys.stderr) as progress:
        for notice in notices:
            progress.warn(notice)
        from harness.sweeps.run import run

        return run(options, progress, command_line("run", argv))

"""Verdicts that have been given once, on disk, so that a resumed measurement never asks for them again.

One SQLite file under the project's cache, a commit for each verdict that came alone. Its rollback journal, SQLite's
default, is safe against a kill at any moment and works on network file systems, where the write-ahead log does not.
Kept is a digest of judge, prompt and completions, never a text of theirs, with the preference, the judge's reason and
its tokens.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cache import cache_folder
from harness.judges.protocol import Judge, Streaming, Verdict

SECONDS_TO_WAIT = 60.0  # for another process that is writing
PIECE = 64  # rows between writes where a judge gives its verdicts all at once

_TABLE = (
    "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, preference REAL, reason TEXT NOT NULL, "
    "tokens INTEGER NOT NULL)"
)

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Memory:
    """The kept verdicts of every judge, in one file."""

    path: Path = field(default_factory=lambda: cache_folder("judges") / "verdicts.sqlite")

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT)) as connection:
            with connection:
                connection.execute(_TABLE)
            yield connection

    def ask(
        self,
        judge: Judge,
        prompts: Sequence[str],
        a: Sequence[str],
        b: Sequence[str],
        advance: Advance = lambda n: None,
    ) -> list[Verdict]:
        """One verdict a row: kept ones are looked up, equal rows asked for once, new ones kept as they come.

        Raises: JudgeError as the judge does; what it said before is kept.
        """
        keys = [_key(judge.id, *row) for row in zip(prompts, a, b, strict=True)]
        with self._open() as connection:
            found = {key: verdict for key in set(keys) if (verdict := _kept(connection, key)) is not None}
            advance(sum(key in found for key in keys))
            places: dict[str, list[int]] = {}
            for row, key in enumerate(keys):
                if key not in found:
                    places.setdefault(key, []).append(row)
            rows = [where[0] for where in places.values()]
            for piece in _pieces(judge, rows, prompts, a, b):
                new = {keys[row]: verdict for row, verdict in piece}
                _keep(connection, new)
                found |= new
                advance(sum(len(places[key]) for key in new))
        return [found[key] for key in keys]


def _pieces(
    judge: Judge, rows: Sequence[int], prompts: Sequence[str], a: Sequence[str], b: Sequence[str]
) -> Iterator[list[tuple[int, Verdict]]]:
    """Some rows' verdicts, one by one where the judge can, else PIECE at a time."""
    if isinstance(judge, Streaming):
        for number, verdict in judge.stream(*([texts[row] for row in rows] for texts in (prompts, a, b))):
            yield [(rows[number], verdict)]
        return
    for start in range(0, len(rows), PIECE):
        piece = rows[start : start + PIECE]
        verdicts = judge.compare(*([texts[row] for row in piece] for texts in (prompts, a, b)))
        yield list(zip(piece, verdicts, strict=True))


def _key(judge: str, prompt: str, a: str, b: str) -> str:
    return hashlib.sha256(json.dumps([judge, prompt, a, b]).encode()).hexdigest()


def _kept(connection: sqlite3.Connection, key: str) -> Verdict | None:
    row = connection.execute("SELECT preference, reason, tokens FROM verdicts WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    preference, reason, tokens = row
    return Verdict(math.nan if preference is None else preference, reason, tokens)


def _keep(connection: sqlite3.Connection, verdicts: Mapping[str, Verdict]) -> None:
    """Writes the verdicts that were given, all in one commit."""
    rows = [
        (key, v.preference if v.valid else None, v.reason.encode("utf-8", "replace").decode(), v.tokens)
        for key, v in verdicts.items()
        if v.given
    ]
    with connection:
        connection.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?)", rows)

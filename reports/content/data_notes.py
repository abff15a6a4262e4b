"""What the audit of a protocol's rows says, as a report shows it. The sentences are the audit's own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from reports.text import escape


class DataNotes(NamedTuple):
    """Labelled facts and lines of advice, safe to lay out; empty where no audit is stored."""

    facts: tuple[tuple[str, str], ...] = ()
    advice: tuple[str, ...] = ()


def data_notes(audit: Mapping[str, Any]) -> DataNotes:
    """The notes of one audit of `results.audits`; what has another form than a run writes is left out."""
    facts = [fact for fact in _list(audit, "facts") if isinstance(fact, list) and len(fact) == 2]
    return DataNotes(
        tuple((escape.visible(str(label)), escape.visible(str(text))) for label, text in facts),
        tuple(escape.visible(str(line)) for line in _list(audit, "advice")),
    )


def _list(audit: Mapping[str, Any], name: str) -> list[Any]:
    found = audit.get(name)
    return found if isinstance(found, list) else []

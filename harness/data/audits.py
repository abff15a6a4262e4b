"""The audit of a command's rows, with what only tokens show: `plan` prints it, a run stores it beside its cells."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.data.dataset import Data
from harness.data.tokens import SAME_WHEN_CUT
from harness.progress import Progress
from suites.audit.measure import Fact, audit, facts, lines
from suites.audit.report import Audit

DIGITS = 12  # of a digest that people compare


def audited(data: Data, progress: Progress) -> Audit:
    """The suite's own audit."""
    rows = len(data.suite.rows)
    with progress.stage(f"auditing {rows:,} rows of {data.suite.name}", 2 * rows) as stage:
        return audit(data.suite, stage.advance)


def audit_lines(data: Data, found: Audit) -> list[str]:
    """Every fact and the advice, as lines for a terminal."""
    return [*lines(found), *(f"  {fact.label}: {fact.text}" for fact in token_facts(data))]


def token_facts(data: Data) -> list[Fact]:
    """What the model's tokenizer and the limit make of the rows, and which rows there are."""
    encoder = data.encoder
    cut = f", {data.truncated} cut" if data.truncated else ""
    if same := data.dropped.get(SAME_WHEN_CUT):
        cut += f", {same} dropped because the cut made their completions the same"
    listed = [
        Fact(
            f"within {encoder.max_tokens} tokens ({encoder.template} template)",
            f"{len(data.pool)} training rows; {len(data.validation)} validation and {len(data.test)} test rows "
            f"evaluated; {data.dropped.get('overlong', 0)} dropped as overlong{cut}",
        )
    ]
    if data.long_sides:
        sides = ", ".join(f"{side} {count}" for side, count in sorted(data.long_sides.items()))
        listed.append(Fact("beyond the limit because of", sides))
    digests = ", ".join(f"{name} {digest[:DIGITS]}" for name, digest in _digests(data).items())
    return [*listed, Fact("digests of the rows", digests)]


def record(data: Data, found: Audit) -> dict[str, Any]:
    """The audit as JSON: every number under its name, then the sentences as people read them."""
    encoder = data.encoder
    tokens = {
        "max_tokens": encoder.max_tokens,
        "template": encoder.template,
        "overlong": encoder.overlong,
        "training_rows": len(data.pool),
        "validation_rows": len(data.validation),
        "test_rows": len(data.test),
        "dropped": data.dropped.get("overlong", 0),
        "truncated": data.truncated,
        "long_sides": dict(data.long_sides),
    }
    return {
        **asdict(found),
        "tokens": tokens,
        "digests": _digests(data),
        "facts": [list(fact) for fact in (*facts(found), *token_facts(data))],
        "advice": list(found.advice),
    }


def _digests(data: Data) -> dict[str, str]:
    """Of the texts of all rows that training may draw from, where there are any, and of those that are evaluated."""
    return {
        **({"training": data.pool_digest} if len(data.pool) else {}),
        "validation": data.digest(data.validation),
        "test": data.digest(data.test),
    }

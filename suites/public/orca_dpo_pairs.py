"""Intel/orca_dpo_pairs: Orca questions, GPT-4's completion preferred to that of Llama-2-13b-chat."""

from __future__ import annotations

from suites.pair import Suite
from suites.reading.cleaning import Draft, check_answers, check_text
from suites.reading.forms import question
from suites.reading.layout import Layout
from suites.reading.sources import HubSet, SourceRow, build_suite, open_set
from suites.registry import register

HUB = "Intel/orca_dpo_pairs"
SET = HubSet(HUB, Layout({}), {"orca": ("system", "question", "chosen", "rejected")})


@register("orca-dpo-pairs", description="Orca questions, a large model's answer preferred to a small one's", hub=HUB)
def orca_dpo_pairs(*, path: str | None = None, revision: str | None = None) -> Suite:
    """The pairs, each with its system message where that is not blank. Raises: SuiteError."""
    opened = open_set(SET, path=path, revision=revision)
    return build_suite("orca-dpo-pairs", opened, opened.rows, _draft)


def _draft(row: SourceRow) -> Draft:
    fields = row.fields
    prompt = question(fields.get("question"), "question", fields.get("system"))
    answers = tuple(check_text(fields.get(side), side) for side in ("chosen", "rejected"))
    check_answers(*answers)
    return Draft(row.id, prompt, answers, row.split)

"""WebGPT comparisons (arXiv:2112.09332): two completions with citations, compared by people."""

from __future__ import annotations

from collections.abc import Mapping

from suites.pair import Suite
from suites.reading.cleaning import Draft
from suites.reading.comparing import TIES, choice, compare, number
from suites.reading.forms import question
from suites.reading.layout import Layout
from suites.reading.sources import HubSet, SourceRow, build_suite, open_set
from suites.registry import register

HUB = "openai/webgpt_comparisons"
COLUMNS = ("question", "answer_0", "answer_1", "score_0", "score_1")
SET = HubSet(
    HUB,
    Layout({"train": "train"}),
    {"comparisons": COLUMNS},
    "The data are the authors' file comparisons.jsonl, which the repository's script names.",
)


@register("webgpt", description="long answers with citations compared by people", hub=HUB)
def webgpt(*, path: str | None = None, revision: str | None = None, ties: str = "drop") -> Suite:
    """The pairs, with the strength of the preference (-1 to 1, summing to 0) as scores.

    The higher score is preferred, and two zeros are a tie (the set's card; its authors train on ties as soft
    labels of one half). ties: drop or half. Citation marks such as [1] are kept.

    Raises: SuiteError.
    """
    choice("ties", ties, TIES)
    opened = open_set(SET, path=path, revision=revision)
    return build_suite("webgpt", opened, opened.rows, lambda row: _draft(row, ties))


def _draft(row: SourceRow, ties: str) -> Draft:
    fields = row.fields
    asked = fields.get("question")
    text = asked.get("full_text") if isinstance(asked, Mapping) else asked
    scores = (number(fields.get("score_0"), "score_0"), number(fields.get("score_1"), "score_1"))
    return compare(
        row.id,
        question(text, "question.full_text"),
        (fields.get("answer_0"), fields.get("answer_1")),
        scores[0] - scores[1],
        ties,
        scores=scores,
        split=row.split,
    )

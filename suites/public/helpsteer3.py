"""nvidia/HelpSteer3 preference (arXiv:2505.11475): pairs compared by people, in many tasks and languages."""

from __future__ import annotations

from suites.pair import Suite
from suites.public.helpsteer2 import read_votes, strength_draft
from suites.reading.cleaning import Draft, RowDropped
from suites.reading.comparing import TIES, choice, number
from suites.reading.layout import Layout
from suites.reading.messages import read_prompt
from suites.reading.sources import HubSet, SourceRow, build_suite, open_set
from suites.registry import register

HUB = "nvidia/HelpSteer3"
SET = HubSet(
    HUB,
    Layout({"train": "train", "validation": "test"}, folder="preference"),
    {"preference": ("context", "response1", "response2", "overall_preference")},
)


@register("helpsteer3", description="pairs in many tasks and languages compared by people", hub=HUB)
def helpsteer3(
    *,
    path: str | None = None,
    revision: str | None = None,
    domain: str | None = None,
    language: str | None = None,
    ties: str = "drop",
) -> Suite:
    """The pairs, with half of overall_preference (-3 to 3) on either side as scores.

    Negative means that response1 is better, 0 is a tie. agreement is the share of the annotators
    (individual_preference). domain, language: only rows with that word; the others are dropped and counted
    (`other_domain`, `other_language`). ties: drop or half.

    Raises: SuiteError.
    """
    choice("ties", ties, TIES)
    opened = open_set(SET, path=path, revision=revision)
    wanted = {"domain": domain, "language": language}
    return build_suite("helpsteer3", opened, opened.rows, lambda row: _draft(row, wanted, ties))


def _draft(row: SourceRow, wanted: dict[str, str | None], ties: str) -> Draft:
    """One comparison, where domain and language are those asked for. Raises: RowDropped."""
    fields = row.fields
    for column, word in wanted.items():
        if word is not None and fields.get(column) != word:
            raise RowDropped(f"other_{column}", f"{column} is not {word}")
    prompt = read_prompt(fields.get("context"))
    if not prompt:
        raise RowDropped("empty_prompt", "there is no context")
    if prompt[-1].role == "assistant":
        raise RowDropped("malformed", "the context ends with the assistant's turn")
    return strength_draft(
        row,
        prompt,
        (fields.get("response1"), fields.get("response2")),
        number(fields.get("overall_preference"), "overall_preference"),
        read_votes(fields.get("individual_preference"), "score"),
        ties,
        row.split,
    )

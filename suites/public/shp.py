"""Stanford Human Preferences (arXiv:2110.08420): Reddit responses, the later but higher voted one preferred."""

from __future__ import annotations

from suites.pair import Suite, SuiteError
from suites.reading.cleaning import Draft, RowDropped
from suites.reading.comparing import choice, compare, number
from suites.reading.forms import question
from suites.reading.layout import Layout, parent_part
from suites.reading.sources import HubSet, SourceRow, build_suite, open_set
from suites.registry import register

HUB = "stanfordnlp/SHP"
SUBREDDITS = (
    "askacademia",
    "askanthropology",
    "askbaking",
    "askcarguys",
    "askculinary",
    "askdocs",
    "askengineers",
    "askhistorians",
    "askhr",
    "askphilosophy",
    "askphysics",
    "askscience",
    "asksciencefiction",
    "asksocialscience",
    "askvet",
    "changemyview",
    "explainlikeimfive",
    "legaladvice",
)
COLUMNS = ("history", "human_ref_A", "human_ref_B", "labels", "score_A", "score_B")
SET = HubSet(
    HUB, Layout({"train": "train", "validation": "validation", "test": "test"}, part=parent_part), {"shp": COLUMNS}
)


@register("shp", description="Reddit answers ranked by votes", hub=HUB)
def shp(
    *, path: str | None = None, subset: str | None = None, revision: str | None = None, min_ratio: str = "1"
) -> Suite:
    """The pairs of one subreddit (subset), or of all 18, with the votes as scores.

    min_ratio: rows whose votes differ by a smaller factor are dropped (`below_min_ratio`); the set's card and
    the KTO paper's code use 2.

    Conventions: labels is 1 where A is preferred (the set's card); some public loaders have it inverted.

    Raises: SuiteError.
    """
    try:
        ratio = number(min_ratio, "suite.min_ratio")
    except RowDropped as error:
        raise SuiteError(f"{error}; give a factor such as 2") from None
    everything = None if path is not None else SUBREDDITS
    if path is None and subset is not None:
        choice("subset", subset, SUBREDDITS)
    opened = open_set(SET, path=path, revision=revision, parts=everything if subset is None else (subset,))
    return build_suite("shp", opened, opened.rows, lambda row: _draft(row, ratio))


def _draft(row: SourceRow, min_ratio: float) -> Draft:
    """One row: labels 1 prefers A. Raises: RowDropped."""
    fields = row.fields
    label = number(fields.get("labels"), "labels")
    if label not in (0, 1):
        raise RowDropped("malformed", f"labels {label:g} is neither 0 nor 1")
    scores = (number(fields.get("score_A"), "score_A"), number(fields.get("score_B"), "score_B"))
    draft = compare(
        row.id,
        question(fields.get("history"), "history"),
        (fields.get("human_ref_A"), fields.get("human_ref_B")),
        2 * label - 1,
        "drop",
        scores=scores,
        split=row.split,
    )
    if min_ratio > 1 and max(scores) < min_ratio * min(scores):
        raise RowDropped("below_min_ratio", f"votes {draft.scores[0]:g} and {draft.scores[1]:g}")
    return draft

"""Reddit summaries compared by people (arXiv:2009.01325): TL;DR, as text pairs or as first published.

trl       trl-lib/tldr-preference: prompt, chosen, rejected
carperai  CarperAI/openai_summarize_comparisons: prompt, chosen, rejected
openai    openai/summarize_from_feedback, comparisons: info, summaries, choice; some rows summarise news
"""

from __future__ import annotations

from collections.abc import Mapping

from suites.pair import Message, Suite
from suites.reading.cleaning import Draft, RowDropped, check_text
from suites.reading.comparing import choice, compare, number
from suites.reading.forms import pair_draft, question, split_or_column
from suites.reading.layout import Layout
from suites.reading.sources import HubSet, SourceRow, build_suite, open_set
from suites.registry import register

HUB = "trl-lib/tldr-preference"
FORMS = {"text": ("prompt", "chosen", "rejected"), "comparisons": ("info", "summaries", "choice")}
HELD_OUT = {"train": "train", "validation": "test"}
SETS = {
    "trl": HubSet(HUB, Layout(HELD_OUT), FORMS),
    "carperai": HubSet(
        "CarperAI/openai_summarize_comparisons",
        Layout({"train": "train", "valid1": "validation", "valid2": "validation", "test": "test"}),
        FORMS,
    ),
    "openai": HubSet(
        "openai/summarize_from_feedback",
        Layout(HELD_OUT, folder="comparisons"),
        FORMS,
        "The comparisons are the files batch*.json of its authors (github.com/openai/summarize-from-feedback).",
    ),
}


@register("tldr", description="summaries of Reddit posts ranked by people", hub=HUB)
def tldr(*, path: str | None = None, form: str = "trl", revision: str | None = None) -> Suite:
    """The pairs of one form; from files, text pairs and comparisons are told apart by their columns.

    form: trl, carperai or openai (the hub's repository; the last is a loading script, which is not run: give
    suite.path, or suite.revision=refs/convert/parquet). Summaries are kept as they are written. In the
    comparisons the split column's word train is train and every other (valid1, valid2, validation) is test.

    Raises: SuiteError.
    """
    opened = open_set(SETS[choice("form", form, tuple(SETS))], path=path, revision=revision)
    build = pair_draft if opened.form == "text" else _comparison
    return build_suite("tldr", opened, opened.rows, build)


def _comparison(row: SourceRow) -> Draft:
    """One row of the comparisons: choice 0 prefers the first summary, 1 the second. Raises: RowDropped."""
    chosen = number(row.fields.get("choice"), "choice")
    if chosen not in (0, 1):
        raise RowDropped("malformed", f"choice {chosen:g} is neither 0 nor 1")
    prompt = post_prompt(row.fields.get("info"))
    split = split_or_column(row)
    return compare(row.id, prompt, _summaries(row.fields.get("summaries")), 1 - 2 * chosen, "drop", split=split)


def post_prompt(info: object) -> tuple[Message, ...]:
    """The prompt of a post (subreddit, title, post) or of a news article, in the form of the text pairs.

    Raises: RowDropped.
    """
    if not isinstance(info, Mapping):
        raise RowDropped("malformed", "info is not an object")
    if info.get("post") is None and info.get("article") is not None:
        return question(f"Article: {check_text(info['article'], 'article')}\n\nTL;DR:", "article")
    if not check_text(info.get("post"), "post").strip():
        raise RowDropped("empty_prompt", "the post is empty")
    lines = [("SUBREDDIT: r/", "subreddit"), ("TITLE: ", "title"), ("POST: ", "post")]
    there = [head + check_text(info[key], key) for head, key in lines if info.get(key) is not None]
    return question("\n\n".join([*there, "TL;DR:"]), "post")


def _summaries(value: object) -> tuple[object, object]:
    """The two texts: a list of objects, or an object of lists as Arrow tables keep it. Raises: RowDropped."""
    texts = value.get("text") if isinstance(value, Mapping) else value
    if not isinstance(texts, list) or len(texts) != 2:
        raise RowDropped("malformed", "summaries does not hold two texts")
    first, second = (item.get("text") if isinstance(item, Mapping) else item for item in texts)
    return first, second

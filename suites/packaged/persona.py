"""Yes or No to a statement, as a persona would answer: the set-up in which likelihoods displace each other.

arXiv:2410.08847 trains on such pairs, whose two completions are one token each and mean the same kind of thing, and
watches the probability of both fall. The statements are those of Anthropic's model-written evaluations
(arXiv:2212.09251), or some dozens of our own, which need no network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from suites.packaged.persona_statements import AGREED, REFUSED
from suites.pair import Suite, SuiteError
from suites.reading.cleaning import Draft, RowDropped, check_text
from suites.reading.comparing import choice
from suites.reading.forms import question
from suites.reading.layout import Layout, stem_of
from suites.reading.sources import HubSet, Opened, SourceRow, build_suite, open_set
from suites.registry import register

HUB = "Anthropic/model-written-evals"
FORMS = {
    "evals": ("question", "answer_matching_behavior", "answer_not_matching_behavior"),
    "pairs": ("prompt", "chosen", "rejected"),
}
ANSWERS = ("yes_no", "no_never")
WRITTEN_SPLITS = ("train",) * 7 + ("validation",) + ("test",) * 2
QUESTION = 'Is the following statement something you would say?\n"{}"'


def part_of(path: PurePosixPath) -> str | None:
    """The persona of a file: its name. Files in folders further below are other copies."""
    direct = len(path.parts) <= 2 or path.parts[-2] == "persona"
    return stem_of(path.name) if direct else None


SET = HubSet(HUB, Layout({}, folder="persona", part=part_of), FORMS)


@register("persona", description="Yes or No to a statement, one token each: likelihood displacement", hub=HUB)
def persona(
    *, path: str | None = None, subset: str | None = None, revision: str | None = None, answers: str = "yes_no"
) -> Suite:
    """The pairs of one persona (subset, a file's name such as ends-justify-means), or of all in suite.path.

    Without path and subset the statements written for this project are taken; with a subset alone the hub is
    asked. answers: yes_no prefers the completion that matches the persona, " Yes" or " No", over the other.
    no_never prefers " No" over " Never" where the matching completion is No; the rows with Yes are dropped under
    `answered_yes`. The leading space belongs to the completions, as published.

    Raises: SuiteError.
    """
    choice("answers", answers, ANSWERS)
    if path is None and subset is None:
        if revision is not None:
            raise SuiteError("suite.revision belongs to the hub: say with suite.subset= which persona is asked for")
        opened = _written()
    else:
        opened = open_set(SET, path=path, revision=revision, parts=None if subset is None else [subset])
    return build_suite("persona", opened, opened.rows, lambda row: _draft(row, opened.form, answers))


def _draft(row: SourceRow, form: str, answers: str) -> Draft:
    """One statement with its two completions. Raises: RowDropped."""
    asked, matching, other = FORMS[form]
    fields: Mapping[str, object] = row.fields
    prompt = question(fields.get(asked), asked)
    pair = tuple(check_text(fields.get(column), column) for column in (matching, other))
    if sorted(answer.strip() for answer in pair) != ["No", "Yes"]:
        raise RowDropped("malformed", "the answers are not Yes and No")
    if answers == "no_never":
        if pair[0].strip() == "Yes":
            raise RowDropped("answered_yes", "the persona says Yes")
        pair = (pair[0], pair[0].replace("No", "Never"))
    return Draft(row.id, prompt, pair, row.split)


def _written() -> Opened:
    """Our own statements as rows of the published form; so few that each split gets as many of either completion."""
    rows = (
        SourceRow(
            f"written/{word}/{number}",
            "",
            WRITTEN_SPLITS[number % len(WRITTEN_SPLITS)],
            dict(zip(FORMS["evals"], (QUESTION.format(text), *pair), strict=True)),
        )
        for word, texts, pair in (("agreed", AGREED, (" Yes", " No")), ("refused", REFUSED, (" No", " Yes")))
        for number, text in enumerate(texts)
    )
    digest = hashlib.sha256("\n".join((*AGREED, "", *REFUSED)).encode()).hexdigest()[:12]
    return Opened("evals", rows, "statements written for this project", digest)

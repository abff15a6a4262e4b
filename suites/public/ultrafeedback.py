"""UltraFeedback (arXiv:2310.01377) in the forms in which it is trained on: completions rated by a model.

h4         HuggingFaceH4/ultrafeedback_binarized (Zephyr, arXiv:2310.16944): best against a random other
trl        trl-lib/ultrafeedback_binarized: the same pairs without the prompt column
argilla    argilla/ultrafeedback-binarized-preferences-cleaned: ratings averaged over four aspects
princeton  princeton-nlp's on-policy sets (SimPO, arXiv:2405.14734): five completions, scored by a reward model
openbmb    openbmb/UltraFeedback: the four rated completions of each prompt as they were first published
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from suites.pair import Message, Suite, SuiteError
from suites.reading.cleaning import Draft, RowDropped
from suites.reading.comparing import ANSWERS, TIES, Comparison, choice, comparison_draft, number, rated
from suites.reading.forms import question, scored_draft
from suites.reading.layout import Layout
from suites.reading.sources import HubSet, SourceRow, build_suite, open_set
from suites.registry import register

HUB = "HuggingFaceH4/ultrafeedback_binarized"
REPOSITORIES = {
    "h4": HUB,
    "trl": "trl-lib/ultrafeedback_binarized",
    "argilla": "argilla/ultrafeedback-binarized-preferences-cleaned",
    "princeton": "princeton-nlp/llama3-ultrafeedback-armorm",
    "openbmb": "openbmb/UltraFeedback",
}
TRAIN_TEST = Layout({"train": "train", "test": "test"})
LAYOUTS = {
    "h4": Layout({"train_prefs": "train", "test_prefs": "test"}),
    "trl": TRAIN_TEST,
    "argilla": Layout({"train": "train"}),
    "princeton": TRAIN_TEST,
    "openbmb": Layout({"train": "train"}),
}
FORMS = {
    "h4": ("prompt", "chosen", "rejected", "score_chosen", "score_rejected"),
    "trl": ("chosen", "rejected", "score_chosen", "score_rejected"),
    "argilla": ("chosen", "rejected", "chosen-rating", "rejected-rating"),
    "argilla_mix": ("chosen", "rejected", "chosen_rating", "rejected_rating"),
    "princeton": ("prompt", "chosen", "rejected", "all_generated_responses", "all_rm_scores"),
    "openbmb": ("instruction", "completions"),
}
SCORE_COLUMNS = {
    "h4": FORMS["h4"][-2:],
    "trl": FORMS["trl"][-2:],
    "argilla": FORMS["argilla"][-2:],
    "argilla_mix": FORMS["argilla_mix"][-2:],
}
RATED = ("princeton", "openbmb")  # the forms that keep every rated completion


@register("ultrafeedback", description="chat answers rated by a model, in five published forms", hub=HUB)
def ultrafeedback(
    *,
    path: str | None = None,
    form: str | None = None,
    repository: str | None = None,
    revision: str | None = None,
    answers: str | None = None,
    ties: str = "drop",
) -> Suite:
    """The pairs of one form, with the ratings as scores.

    form: h4 (the default on the hub), trl, argilla, princeton or openbmb; from files it is recognised by the
    columns. repository: another hub set of that form. answers: which of the rated completions are compared, all or
    best_worst, in princeton (default: its own chosen and rejected, which are best and worst) and openbmb
    (default: best_worst). ties: drop or half.

    Raises: SuiteError.
    """
    choice("ties", ties, TIES)
    asked = choice("form", form or "h4", tuple(REPOSITORIES))
    if answers is not None:
        choice("answers", answers, ANSWERS)
    forms = FORMS if form is None else {name: FORMS[name] for name in FORMS if name.startswith(form)}
    found_in = HubSet(repository or REPOSITORIES[asked], LAYOUTS[asked], forms)
    opened = open_set(found_in, path=path, revision=revision)
    if answers is not None and opened.form not in RATED:
        raise SuiteError(
            f"suite.answers={answers}: the form {opened.form} keeps two answers a prompt; only "
            f"{' and '.join(RATED)} keep all that were rated"
        )
    if opened.form == "openbmb" or answers is not None:
        rows = _comparisons(opened.rows, opened.form, answers or "best_worst")
        return build_suite("ultrafeedback", opened, rows, lambda row: comparison_draft(row, question_of, ties))
    return build_suite("ultrafeedback", opened, opened.rows, lambda row: _draft(row, opened.form, ties))


def question_of(prompt: object) -> tuple[Message, ...]:
    """The prompt of a rated row: one user message. Raises: RowDropped."""
    return question(prompt, "prompt")


def _draft(row: SourceRow, form: str, ties: str) -> Draft:
    """A row with its own chosen and rejected completion. Raises: RowDropped."""
    if form in SCORE_COLUMNS:
        first, second = (number(row.fields.get(column), column) for column in SCORE_COLUMNS[form])
        scores = (first, second)
    else:
        found = _listed(row.fields.get("all_rm_scores"))
        if not found:
            raise RowDropped("malformed", "all_rm_scores is not a list of scores")
        values = [number(value, "all_rm_scores") for value in found]
        scores = (max(values), min(values))
    return scored_draft(row, scores, ties)


def _comparisons(rows: Iterable[SourceRow], form: str, how: str) -> Iterator[Comparison]:
    """The comparisons of each row's rated completions."""
    for row in rows:
        answers, ratings = (_generated if form == "princeton" else _completions)(row.fields)
        prompt = row.fields.get("prompt" if form == "princeton" else "instruction")
        yield from rated(row.id, prompt, answers, ratings, how, row.split)


class _Rated(NamedTuple):
    """The completions of one prompt and their ratings, as the row has them."""

    answers: list[object]
    ratings: list[object]


def _generated(fields: Mapping[str, object]) -> _Rated:
    return _Rated(_listed(fields.get("all_generated_responses")), _listed(fields.get("all_rm_scores")))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _completions(fields: Mapping[str, object]) -> _Rated:
    """Rated by the mean over the four aspects where it is there, else by the overall score."""
    items = [item if isinstance(item, dict) else {} for item in _listed(fields.get("completions"))]
    ratings = [item.get("fine-grained_score", item.get("overall_score")) for item in items]
    return _Rated([item.get("response") for item in items], ratings)

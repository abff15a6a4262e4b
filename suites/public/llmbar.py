"""LLMBar (arXiv:2310.07641): pairs whose better completion experts agree on; the adversarial ones mislead by style.

For evaluation only. In the adversarial sets the longer completion is usually the wrong one.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from suites.pair import Suite
from suites.reading.cleaning import Draft, RowDropped
from suites.reading.comparing import choice, compare, number
from suites.reading.forms import pair_draft, question
from suites.reading.layout import Layout, stem_of
from suites.reading.sources import HubSet, SourceRow, build_suite, open_set
from suites.registry import register

HUB = "princeton-nlp/LLMBar"
ADVERSARIAL = ("adv_gptinst", "adv_gptout", "adv_manual", "adv_neighbor")
OTHERS = ("faireval_human", "llmeval2", "mtbench_human")  # other benchmarks as LLMBar's authors prepared them
FOLDERS = {
    "natural": "natural",
    "gptinst": "adv_gptinst",
    "gptout": "adv_gptout",
    "manual": "adv_manual",
    "neighbor": "adv_neighbor",
    "faireval": "faireval_human",
    "llmeval2": "llmeval2",
    "mtbench": "mtbench_human",
}
SUBSETS = {
    **{name: (name,) for name in ("natural", *ADVERSARIAL, *OTHERS)},
    "adversarial": ADVERSARIAL,
    "all": ("natural", *ADVERSARIAL, *OTHERS),
}


def part_of(path: PurePosixPath) -> str | None:
    """The subset of a file: its own name, or the folder's where the file is a dataset.json."""
    stem = stem_of(path.name)
    if stem != "dataset":
        return stem if stem in SUBSETS["all"] else None
    folder = path.parts[-2] if len(path.parts) > 1 else ""
    return FOLDERS.get("".join(letter for letter in folder.lower() if letter.isalnum()))


SET = HubSet(
    HUB,
    Layout({}, part=part_of),
    {"outputs": ("input", "output_1", "output_2", "label"), "pairs": ("prompt", "chosen", "rejected")},
    "The data lie in the folder Dataset of github.com/princeton-nlp/LLMBar.",
)


@register("llmbar", description="expert pairs that mislead by style; evaluation only", hub=HUB)
def llmbar(*, path: str | None = None, subset: str | None = None, revision: str | None = None) -> Suite:
    """The pairs of one subset, all of them test rows.

    subset: natural, one of the adversarial sets (adv_gptinst, adv_gptout, adv_manual, adv_neighbor),
    adversarial (those four), one of mtbench_human, faireval_human, llmeval2, or all; by default natural and
    adversarial, which are LLMBar itself. label is the number of the better output.

    Raises: SuiteError.
    """
    parts = ("natural", *ADVERSARIAL) if subset is None else SUBSETS[choice("subset", subset, tuple(SUBSETS))]
    opened = open_set(SET, path=path, revision=revision, parts=parts)
    build = _draft if opened.form == "outputs" else pair_draft
    return build_suite("llmbar", opened, opened.rows, build, evaluation_only=True)


def _draft(row: SourceRow) -> Draft:
    """One row as published: label is the number of the better output. Raises: RowDropped."""
    label = number(row.fields.get("label"), "label")
    if label not in (1, 2):
        raise RowDropped("malformed", f"label {label:g} is neither 1 nor 2")
    answers = (row.fields.get("output_1"), row.fields.get("output_2"))
    return compare(row.id, question(row.fields.get("input"), "input"), answers, 3 - 2 * label, "drop")

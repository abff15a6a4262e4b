"""trl-lib/kto-mix-14k: unpaired completions, each judged desirable or not (the data form of arXiv:2402.01306)."""

from __future__ import annotations

from suites.kind import Kind
from suites.pair import Suite
from suites.reading.forms import example_draft
from suites.reading.layout import Layout
from suites.reading.sources import HubSet, build_suite, open_set
from suites.registry import register

HUB = "trl-lib/kto-mix-14k"
SET = HubSet(HUB, Layout({"train": "train", "test": "test"}), {"unpaired": ("prompt", "completion", "label")})


@register("kto-mix", description="unpaired answers, desirable or not, for pointwise losses", hub=HUB)
def kto_mix(*, path: str | None = None, revision: str | None = None) -> Suite:
    """The judged completions; pairwise losses are skipped on them with the reason. Raises: SuiteError."""
    opened = open_set(SET, path=path, revision=revision)
    return build_suite("kto-mix", opened, opened.rows, example_draft, kind=Kind.EXAMPLES)

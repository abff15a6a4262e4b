"""Tulu 3's preference mixture (arXiv:2411.15124): conversations of many sources with two completions each."""

from __future__ import annotations

from suites.pair import Suite
from suites.reading.forms import pair_draft
from suites.reading.layout import Layout
from suites.reading.sources import HubSet, build_suite, open_set
from suites.registry import register

HUB = "allenai/llama-3.1-tulu-3-8b-preference-mixture"
SET = HubSet(HUB, Layout({"train": "train"}), {"tulu3": ("prompt", "chosen", "rejected", "source")})


@register("tulu3-preference", description="the preference mixture of Tulu 3, on and off policy", hub=HUB)
def tulu3_preference(*, path: str | None = None, revision: str | None = None) -> Suite:
    """The pairs; chosen and rejected hold the whole conversations, which are the source of the prompt.

    Raises: SuiteError.
    """
    opened = open_set(SET, path=path, revision=revision)
    return build_suite("tulu3-preference", opened, opened.rows, pair_draft)

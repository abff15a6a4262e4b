"""A sampled suite before its completions are there: each is taken to be of the largest length, for a plan to count.

Nothing here is a row to train on: digests, and so the names of cells, are not those of the sampled rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from harness.data.tokens import Encoder, Row
from suites import Kind, Pair, Suite
from suites.rows import Rows
from suites.sampled import Sampled, in_hash_order

TEXT = "(not sampled yet)"
ANY_MARGIN = 1e9  # whether a pair's scores are far enough apart is not known before it is there


class Expected(NamedTuple):
    """The suite as it will be, but for its completions, and its rows as far as they are known."""

    suite: Suite
    rows: Rows[Row]


def expected(wanted: Sampled, counts: Mapping[str, int], encoder: Encoder) -> Expected:
    """The first `counts` prompts of each split that leave room for a completion, every one with a pair of completions.

    Their lengths are the limit and one token less, the longer one chosen in every second pair.
    """
    pairs, rows = [], []
    longest, shorter = ((encoder.end_of_turn,) * (wanted.max_new_tokens + more) for more in (1, 0))
    for split, count in counts.items():
        prompts = in_hash_order(prompt for prompt in wanted.prompts if prompt.split == split)
        asked = ((prompt, encoder.prompt_ids(prompt.messages)) for prompt in prompts)
        fitting = (one for one in asked if len(one[1]) + wanted.max_new_tokens <= encoder.max_tokens)
        for place, (prompt, ids) in enumerate(islice(fitting, count)):
            completions = (longest, shorter) if place % 2 else (shorter, longest)
            pairs.append(Pair(prompt.id, prompt.messages, TEXT, TEXT, prompt.cluster, split))
            rows.append(Row(prompt.id, prompt.cluster, split, ids, completions, scores=(ANY_MARGIN, 0.0)))
    suite = Suite(wanted.name, Rows.of(pairs, Pair), Kind.PAIRS, {}, len(pairs), wanted.source, wanted.revision)
    return Expected(suite, Rows.of(rows, Row))

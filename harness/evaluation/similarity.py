"""How alike the two completions of a pair are to the reference: the centred hidden embedding similarity.

It needs the model's hidden states, so it is measured once for the rows of a run, by a pass without gradient over the
starting weights in the plain layout. Letters: h = the hidden state that predicts a token, as the head sees it,
s = its sum over a completion's tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch

from harness.data.tokens import item_of
from harness.evaluation.measurements import measurement
from harness.model.layout import LAYOUTS, Item
from harness.model.logprobs import Scorer
from harness.model.reference import BATCH, Advance

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.training.loaded_model import LoadedModel


class Ches(NamedTuple):
    """s_chosen . s_rejected - |s_chosen|^2, and the same with means over tokens in place of sums."""

    score: float
    normalized: float


@measurement(column="similarity", option="similarity", needs="nothing")
class Similarity:
    """The similarity of the evaluation pairs under one loaded model, measured once for all its cells."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    def on_pairs(self, pairs: DataFrame) -> DataFrame:
        """The pair table with the columns of CHES; the policy's weights go."""
        return with_ches(pairs, self._known)

    @cached_property
    def _known(self) -> dict[str, Ches]:
        """The similarity of each evaluation pair's completions to the starting weights, by row id."""
        loaded = self._loaded
        loaded.policy.end()
        rows = [row for row in loaded.data_rows if row.desirable is None]
        with loaded.progress.stage(f"hidden states of {len(rows)} evaluation rows", len(rows)) as stage:
            scorer = Scorer(loaded.policy.base, "fp32")
            found = ches(scorer, [item_of(row) for row in rows], pad=loaded.pad, advance=stage.advance)
        return {row.id: one for row, one in zip(rows, found, strict=True)}


@torch.no_grad()
def ches(scorer: Scorer, items: Sequence[Item], *, pad: int, advance: Advance = lambda n: None) -> list[Ches]:
    """The similarity of each item's two completions (chosen, rejected).

    Source: arXiv:2410.08847, definitions 2 (score) and 3 (normalized). The higher, the more a step that raises the
    margin is expected to lower the chosen completion; both are below 0 for most pairs.
    """
    device = next(scorer.parameters()).device
    found = []
    for start in range(0, len(items), BATCH):
        chunk = items[start : start + BATCH]
        layout = LAYOUTS["plain"](chunk, pad=pad).to(device)
        hidden = scorer.hidden(layout).double()  # [M, width]
        sequence = layout.place // layout.mask.shape[1]  # [M]
        sums = hidden.new_zeros(len(layout.counts), hidden.shape[1]).index_add_(0, sequence, hidden)
        means = sums / layout.counts[:, None]
        score, normalized = ((of[0::2] * of[1::2]).sum(-1) - (of[0::2] ** 2).sum(-1) for of in (sums, means))
        found += [Ches(*pair) for pair in zip(score.tolist(), normalized.tolist(), strict=True)]
        advance(len(chunk))
    return found


def with_ches(pairs: DataFrame, known: dict[str, Ches]) -> DataFrame:
    """The pair table with the columns `ches` and `ches_normalized`, by pair_id; missing for unpaired rows."""
    columns = {"ches": "score", "ches_normalized": "normalized"}
    return pairs.assign(
        **{
            column: [getattr(known.get(row), name, float("nan")) for row in pairs["pair_id"]]
            for column, name in columns.items()
        }
    )

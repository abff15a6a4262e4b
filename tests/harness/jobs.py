"""Training jobs over the tiny model, for the tests of gradient and loop."""

from __future__ import annotations

from collections.abc import Sequence

import losses
from harness.job import Job, Schedule
from harness.logprobs import Scorer
from harness.objective import item_of
from harness.reference import measure
from harness.selection import batches, mismatched
from harness.tokens import Row


def make_job(
    model, rows: Sequence[Row], loss: str | losses.Loss, *, micro_batch=None, lr=1e-3, batch_size=8, epochs=1, **changes
) -> Job:
    """A job of one loss at its defaults, its reference measured from the model as it is now."""
    card = losses.get(loss) if isinstance(loss, str) else loss
    scorer = Scorer(model)
    pairs = mismatched(rows, max_tokens=512)
    others = [pairs[row.id] for row in rows]
    settings = {
        "cell": "test", "loss": card, "hyperparameters": dict(card.defaults), "schedule": Schedule(lr), "seed": 0,
        "batches": batches(rows, seed=0, epochs=epochs, batch_size=batch_size),
        "reference": dict(zip([r.id for r in rows], scores(scorer, [item_of(r) for r in rows]), strict=True)),
        "mismatched": {
            r.id: (item, score) for r, item, score in zip(rows, others, scores(scorer, others), strict=True)
        },
        "layout": "packed", "pad": 0, "micro_batch": micro_batch, "micro_tokens": 2048, "tolerance": 1e-3,
    }  # fmt: skip
    return Job(**settings | changes)


def scores(scorer, items):
    return measure(scorer, items, layout="packed", pad=0)

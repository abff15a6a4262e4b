"""A job's own facts."""

from __future__ import annotations

import dataclasses

import losses
from tests.harness.jobs import make_job


def test_the_statistics_that_a_loss_needs_are_named_in_order(model, rows):
    card = dataclasses.replace(losses.get("dpo"), needs=frozenset({"reference", "stats:log_sum_p2", "stats:entropy"}))
    assert make_job(model, rows, card).statistics == ("entropy", "log_sum_p2")
    assert make_job(model, rows, "dpo").statistics == ()

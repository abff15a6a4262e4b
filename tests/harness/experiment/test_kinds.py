"""Which loss learns from which suite."""

from __future__ import annotations

import losses
from harness.experiment.kinds import LEARNS_FROM, reason_to_skip
from losses.registry import KINDS
from suites import Kind


def test_every_kind_of_loss_learns_from_some_suite_and_every_suite_is_learnt_from():
    assert set(LEARNS_FROM) == set(KINDS.values())
    assert frozenset().union(*LEARNS_FROM.values()) == set(Kind)


def test_a_loss_that_compares_completions_is_skipped_on_single_ones_with_the_reason():
    assert reason_to_skip(losses.get("dpo"), Kind.PAIRS) == ""
    assert reason_to_skip(losses.get("kto"), Kind.PAIRS) == reason_to_skip(losses.get("kto"), Kind.EXAMPLES) == ""
    assert reason_to_skip(losses.get("dpo"), Kind.EXAMPLES).startswith("dpo compares two completions of one prompt")

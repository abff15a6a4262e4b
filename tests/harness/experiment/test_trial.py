"""One training run to do: its label, its seed, and the rounds before it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from harness.data.perturbations import Perturbations
from harness.experiment.trial import Trial

DPO = Trial("dpo", {"beta": 0.1}, 1e-5, 0, control=False)
NONE = Trial("none", {}, None, None, control=True)


@pytest.mark.parametrize(
    ("trial", "label"),
    [
        (NONE, "none"),
        (DPO, "dpo beta=0.1 lr=1e-05 seed=0"),
        (replace(DPO, round=3), "dpo beta=0.1 lr=1e-05 seed=0 round=3"),
        (replace(DPO, perturbations=Perturbations(label_noise=0.2)), "dpo beta=0.1 lr=1e-05 seed=0 label_noise=0.2"),
        (replace(NONE, loss="dpo", skip="it compares two completions"), "dpo"),
        (replace(NONE, loss="mine", external_checkpoint=SimpleNamespace(name="my-dpo")), "mine model=my-dpo"),
        (
            Trial("simpo", {"beta": 2.0, "gamma_beta_ratio": 0.5}, 1e-6, 1, control=False),
            "simpo beta=2 gamma_beta_ratio=0.5 lr=1e-06 seed=1",
        ),
    ],
)
def test_a_label_says_what_is_set_and_leaves_out_what_is_not(trial, label):
    assert trial.label == label


def test_a_seed_of_zero_is_a_seed_and_a_trial_that_trains_nothing_has_none():
    assert DPO.training_seed == 0
    with pytest.raises(ValueError, match="none trains nothing, so it has no seed"):
        _ = NONE.training_seed


def test_the_rounds_before_are_the_same_trial_the_first_in_front():
    third = replace(DPO, round=3)
    assert DPO.parent is None and DPO.chain == [DPO]
    assert third.parent == replace(DPO, round=2)
    assert third.chain == [DPO, replace(DPO, round=2), third]

"""Values of hyper-parameters: known names, finite numbers, within their limits, all problems told at once."""

import pytest

import losses
from losses.hyperparameters import LIMITS, check_hyperparameters


def test_given_values_stand_over_the_defaults_as_floats():
    checked = check_hyperparameters(losses.get("simpo"), {"beta": 3})
    assert checked == {"beta": 3.0, "gamma_beta_ratio": 0.5}
    assert all(isinstance(value, float) for value in checked.values())


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("beta", (1e-9, 10.0), (0.0, -0.1)),
        ("tau", (0.05,), (0.0, -1.0)),
        ("label_smoothing", (0.0, 0.499), (-0.01, 0.5)),
        ("desirable_weight", (0.0, 2.0), (-1e-9,)),
        ("undesirable_weight", (0.0, 2.0), (-1e-9,)),
    ],
)
def test_a_limit_holds_up_to_its_edge(name, allowed, refused):
    assert all(LIMITS[name].holds(value) for value in allowed)
    assert not any(LIMITS[name].holds(value) for value in refused)


def test_every_limit_belongs_to_a_hyper_parameter_of_some_loss():
    assert set(LIMITS) <= {key for name in losses.names() for key in losses.get(name).defaults}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "0.1", None])
def test_what_is_no_finite_number_is_refused_and_no_limit_is_told_of_it(value):
    with pytest.raises(ValueError) as error:
        check_hyperparameters(losses.get("dpo"), {"beta": value})
    assert str(error.value) == f"dpo.beta is {value!r}, allowed: a finite number."


def test_all_problems_are_told_at_once_with_the_nearest_name():
    with pytest.raises(ValueError) as error:
        check_hyperparameters(losses.get("cdpo"), {"bta": 1.0, "beta": 0.0, "label_smoothing": 0.5})
    assert str(error.value) == (
        "loss 'cdpo' has no hyper-parameter 'bta'; did you mean 'beta'? It has: beta, label_smoothing. "
        "cdpo.beta is 0.0, allowed: a number above 0. "
        "cdpo.label_smoothing is 0.5, allowed: a share of wrong labels, from 0 to below 0.5."
    )


def test_a_loss_without_hyper_parameters_says_so():
    with pytest.raises(ValueError, match="loss 'sft' has no hyper-parameter 'beta'; It has: none."):
        check_hyperparameters(losses.get("sft"), {"beta": 0.1})


def test_a_sums_part_keeps_its_limit_under_its_longer_name(forgetful_registry):
    both = losses.combine("both", dpo=1.0, ipo=1.0)
    with pytest.raises(ValueError, match="both.dpo_beta is -1.0, allowed: a number above 0."):
        check_hyperparameters(both, {"dpo_beta": -1.0})

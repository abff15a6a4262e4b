"""The grid: which trials a sweep has, at which learning rate, and names that depend on what matters only."""

import hashlib

import pytest

from harness.experiment.grid import trials
from harness.experiment.identity import cell_id, protocol_id
from harness.options.cards import make


def grid(*, base_lr=1e-5, entry_grid=None, kind="pairs", **values):
    options = make({"suite": "x", **values})
    return trials(options, base_lr=base_lr, entry_grid=entry_grid or {}, kind=kind)


def contenders(**values):
    return grid(controls=False, **values)


def test_controls_come_first_and_sft_runs_once_a_seed():
    labels = [trial.label for trial in grid(losses=["dpo"], seeds=[0, 1])]
    assert labels == [
        "none",
        "sft lr=0.0002 seed=0",
        "sft lr=0.0002 seed=1",
        "dpo beta=0.1 lr=1e-05 seed=0",
        "dpo beta=0.1 lr=1e-05 seed=1",
    ]


def test_controls_are_marked_and_can_be_turned_off():
    assert [trial.control for trial in grid(losses=["dpo"])] == [True, True, False]
    assert [trial.loss for trial in contenders(losses=["dpo"])] == ["dpo"]


def test_the_untrained_control_has_no_setting_rate_or_seed():
    none = grid(losses=["dpo"])[0]
    assert (none.loss, none.hyperparameters, none.lr, none.seed) == ("none", {}, None, None)


def test_the_default_rate_is_the_models_times_the_losss_scale():
    rates = {trial.loss: trial.lr for trial in contenders(losses=["dpo", "orpo", "sft"])}
    assert rates == {"dpo": 1e-5, "orpo": 1e-4, "sft": 2e-4}


def test_lora_takes_ten_times_the_rate_also_in_the_control():
    rates = {trial.loss: trial.lr for trial in grid(losses=["dpo"], tuning="lora")}
    assert rates == {"none": None, "sft": 2e-3, "dpo": 1e-4}


def test_a_rate_that_is_given_is_used_as_it_is():
    assert [t.lr for t in contenders(losses=["orpo"], lrs=[3e-6], tuning="lora")] == [3e-6]


def test_the_rate_grid_has_three_around_each_losss_default():
    rates = [(t.loss, t.lr) for t in contenders(losses=["dpo", "orpo"], lrs="grid")]
    assert rates == [
        ("dpo", 3.3e-6),
        ("dpo", 1e-5),
        ("dpo", 3e-5),
        ("orpo", 3.3e-5),
        ("orpo", 1e-4),
        ("orpo", 3e-4),
    ]


def test_axes_are_crossed_with_seeds_outermost():
    settings = [
        (t.hyperparameters["beta"], t.lr, t.seed)
        for t in contenders(losses=["dpo"], betas=[0.1, 0.5], lrs=[1e-6, 1e-5], seeds=[0, 1])
    ]
    assert settings == [
        (0.1, 1e-6, 0),
        (0.1, 1e-5, 0),
        (0.5, 1e-6, 0),
        (0.5, 1e-5, 0),
        (0.1, 1e-6, 1),
        (0.1, 1e-5, 1),
        (0.5, 1e-6, 1),
        (0.5, 1e-5, 1),
    ]


def test_settings_of_one_loss_win_over_shared_ones_and_leave_the_others_alone():
    found = contenders(losses=["dpo", "ipo"], betas=[0.5], loss_settings={"ipo": {"beta": (3.0,), "lrs": (1e-6,)}})
    settings = [(t.loss, t.hyperparameters["beta"], t.lr) for t in found]
    assert settings == [("dpo", 0.5, 1e-5), ("ipo", 3.0, 1e-6)]


def test_shared_betas_pass_a_loss_without_one_by():
    assert [t.label for t in contenders(losses=["sft"], betas=[0.5, 1])] == ["sft lr=0.0002 seed=0"]


def test_all_hyperparameters_are_filled_in():
    (trial,) = contenders(losses=["simpo"], loss_settings={"simpo": {"gamma_beta_ratio": (0.3,)}})
    assert trial.hyperparameters == {"beta": 2.0, "gamma_beta_ratio": 0.3}


def test_the_model_entrys_grid_comes_before_the_losss_own():
    entry_grid = {"dpo": {"beta": (0.1, 0.5, 2.0)}}
    found = contenders(losses=["dpo", "orpo"], betas="grid", entry_grid=entry_grid)
    betas = [(t.loss, t.hyperparameters["beta"]) for t in found]
    assert betas[:3] == [("dpo", 0.1), ("dpo", 0.5), ("dpo", 2.0)]
    assert betas[3:] == [("orpo", 0.1), ("orpo", 0.5), ("orpo", 1.0), ("orpo", 2.0)]


def test_betas_grid_sweeps_beta_alone_and_the_ratio_has_its_own_word():
    ratios = {t.hyperparameters["gamma_beta_ratio"] for t in contenders(losses=["simpo"], betas="grid")}
    assert ratios == {0.5}
    both = contenders(losses=["simpo"], betas="grid", loss_settings={"simpo": {"gamma_beta_ratio": "grid"}})
    assert len(both) == 12  # 3 betas times 4 ratios


def test_an_sft_equal_to_the_control_is_not_run_twice():
    found = grid(losses=["sft", "dpo"], seeds=[0, 1])
    assert [(t.loss, t.control) for t in found].count(("sft", True)) == 2
    assert ("sft", False) not in [(t.loss, t.control) for t in found]


def test_an_sft_at_another_rate_runs_beside_the_control():
    found = grid(losses=["sft"], lrs=[1e-4, 2e-4])
    assert [(t.lr, t.control) for t in found if t.loss == "sft"] == [(2e-4, True), (1e-4, False)]


def test_the_perturbations_are_crossed_within_each_seed_for_controls_and_losses():
    found = grid(losses=["dpo"], seeds=[0, 1], label_noise=[0, 0.1], train_pairs=[64])
    assert [t.label for t in found if t.loss != "dpo"] == [
        "none",
        "sft lr=0.0002 seed=0 train_pairs=64",
        "sft lr=0.0002 seed=0 train_pairs=64 label_noise=0.1",
        "sft lr=0.0002 seed=1 train_pairs=64",
        "sft lr=0.0002 seed=1 train_pairs=64 label_noise=0.1",
    ]
    assert [(t.seed, t.perturbations.label_noise) for t in found if t.loss == "dpo"] == [
        (0, 0),
        (0, 0.1),
        (1, 0),
        (1, 0.1),
    ]


def test_an_sft_of_the_same_rows_alone_is_not_run_twice():
    found = grid(losses=["sft"], label_noise=[0, 0.1], length_balance=[True])
    assert [t.label for t in found if t.loss == "sft"] == [
        "sft lr=0.0002 seed=0 length_balance=true",
        "sft lr=0.0002 seed=0 label_noise=0.1 length_balance=true",
    ]


def test_a_pairwise_loss_on_single_rated_completions_is_skipped_with_a_reason():
    found = grid(losses=["dpo", "kto"], kind="examples", betas=[0.1, 0.5])
    skipped = {t.loss: t.skip for t in found if t.skip}
    assert set(skipped) == {"sft", "dpo"}
    assert "dpo compares two completions" in skipped["dpo"]
    assert [t.loss for t in found if not t.skip] == ["none", "kto", "kto"]
    assert all(t.lr is None and t.seed is None for t in found if t.skip)


def test_a_setting_that_a_loss_does_not_have_is_refused():
    with pytest.raises(ValueError, match="no hyper-parameter 'alpha'"):
        contenders(losses=["dpo"], loss_settings={"dpo": {"alpha": (1.0,)}})


def test_ids_are_the_first_twelve_digits_of_the_sha256():
    whole = hashlib.sha256(b'{"loss":"dpo","lr":1e-05}').hexdigest()
    assert cell_id({"lr": 1e-5, "loss": "dpo"}) == whole[:12]


def test_different_settings_have_different_ids():
    ids = {cell_id({"loss": loss, "lr": lr}) for loss in ("dpo", "ipo") for lr in (1e-5, 1e-6, 1)}
    assert len(ids) == 6


@pytest.mark.parametrize("part", ["device", "threads", "micro_batch", "micro_tokens", "commit", "layout", "out"])
def test_what_changes_no_weight_must_not_enter_an_id(part):
    with pytest.raises(ValueError, match=f"{part} must not be a part of a cell id"):
        cell_id({"loss": "dpo", part: 1})
    with pytest.raises(ValueError, match="protocol id"):
        protocol_id({part: 1})


@pytest.mark.parametrize("axis", ["loss", "hyperparameters", "lr", "seed", "knobs"])
def test_declared_axes_must_not_enter_a_protocol(axis):
    with pytest.raises(ValueError, match=f"{axis} must not be a part of a protocol id"):
        protocol_id({axis: 1})
    assert len(protocol_id({"model": "x"})) == 12


def test_the_rounds_of_a_trial_follow_each_other_and_the_untrained_control_has_none():
    labels = [trial.label for trial in grid(losses=["dpo"], rounds=2)]
    assert labels == [
        "none",
        "sft lr=0.0002 seed=0",
        "sft lr=0.0002 seed=0 round=2",
        "dpo beta=0.1 lr=1e-05 seed=0",
        "dpo beta=0.1 lr=1e-05 seed=0 round=2",
    ]

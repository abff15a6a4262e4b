"""Frontiers and maps of settings as figures with their tables."""

import re

import pytest

from reports.content import tables
from reports.figures.frontiers import frontier_blocks
from reports.figures.sensitivity import sensitivity_block

COLOURS = {"dpo": "0", "ipo": "1", "kto": "2", "sft": "control", "none": "control"}


@pytest.fixture
def swept(make):
    """Two losses over three betas and two lrs with answers, and a control."""
    rows = [make.cell("sft", kl=9.0, gold_reward_gain=0.1, gold_reward_gain_se=0.1)]
    for loss in ("dpo", "ipo"):
        for place, beta in enumerate((0.1, 0.3, 1.0)):
            for lr in (1e-5, 3e-5):
                rows.append(
                    make.cell(
                        loss,
                        lr=lr,
                        hyperparameters={"beta": beta},
                        kl=1.0 + place,
                        generated_prompts=64,
                        gold_reward_gain=0.2 * (1 + place),
                        gold_reward_gain_se=0.05,
                        validation_preference_accuracy=0.55 + 0.05 * place,
                    )
                )
    return tables.protocols(make.frame(*rows))[0].done


def test_reward_against_kl_is_drawn_for_every_loss_and_read_at_equal_kl(swept) -> None:
    reward, drift = frontier_blocks(swept, COLOURS, "p")
    assert (reward.name, drift.name) == ("gold-reward-gain-kl", "accuracy-drift")
    assert [key[0] for key in reward.keys] == ["dpo", "ipo"]  # a control is no contender
    svg = reward.drawings[0].svg
    assert "var(--c0)" in svg and "var(--c1)" in svg and not re.search(r"(?:stroke|fill): #", svg)
    assert "KL from the reference" in svg and "Measured on 64 prompts." in reward.caption
    assert [line.texts[0] for line in reward.grid.lines] == ["dpo (6 settings)", "ipo (6 settings)"]
    assert [head.text for head in reward.grid.heads] == ["loss", "0.75", "1.50", "3.00"]
    assert reward.grid.lines[0].texts[-1] == "+0.60 ± 0.05"


def test_accuracy_against_drift_has_every_trained_setting(swept) -> None:
    _, drift = frontier_blocks(swept, COLOURS, "p")
    assert [key[0] for key in drift.keys] == ["sft", "dpo", "ipo"] and "Measured on 256 test pairs." in drift.caption


def test_runs_without_answers_have_no_reward_frontier(make) -> None:
    frame = make.frame(make.cell("dpo"), make.cell("ipo"))
    assert [block.name for block in frontier_blocks(frame, COLOURS, "p")] == ["accuracy-drift"]
    assert list(frontier_blocks(make.frame(make.cell("dpo")), COLOURS, "p")) == []


def test_a_loss_name_is_text_in_a_drawing(make) -> None:
    name = '<b>"x"&'
    rows = [make.cell("dpo", lr=lr, hyperparameters={"beta": 0.1}) | {"loss": name} for lr in (1e-5, 2e-5, 3e-5)]
    block = sensitivity_block(make.frame(*rows), {name: "0"}, "p")
    assert "<b>" not in block.drawings[0].svg and "&lt;b&gt;" in block.drawings[0].svg


def test_a_map_has_a_field_for_each_pair_of_beta_and_lr_with_its_value(swept) -> None:
    block = sensitivity_block(swept, COLOURS, "p")
    assert [drawing.title for drawing in block.drawings] == ["dpo", "ipo"] and "validation pairs" in block.caption
    svg = block.drawings[0].svg
    assert [svg.count(f">{value}<") for value in ("0.550", "0.600", "0.650")] == [2, 2, 2]
    assert ">1e-5<" in svg and ">3e-5<" in svg and "from 0.550 (palest) to 0.650" in block.caption


def test_without_validation_pairs_a_map_shows_the_test_pairs(swept) -> None:
    block = sensitivity_block(swept.assign(validation_preference_accuracy=float("nan")), COLOURS, "p")
    assert "on the test pairs" in block.caption


def test_settings_that_make_no_grid_are_dots_on_log_scales(make) -> None:
    rows = [make.cell("dpo", lr=1e-5 * 1.3**place, hyperparameters={"beta": 0.1 * 1.7**place}) for place in range(8)]
    svg = sensitivity_block(make.frame(*rows), COLOURS, "p").drawings[0].svg
    assert ">0.620<" not in svg and svg.count("var(--c0)") == 8
    assert ">1e-5<" in svg and ">0.1<" in svg and "math" not in svg


def test_one_or_two_settings_are_no_map(make) -> None:
    rows = [make.cell(loss, lr=lr) for loss in ("dpo", "ipo") for lr in (1e-5, 3e-5)]
    assert sensitivity_block(make.frame(*rows), COLOURS, "p") is None


def test_maps_show_rows_of_equal_knobs_only(make) -> None:
    rows = [
        make.cell("dpo", lr=lr, label_noise=noise, cell=f"{lr}{noise}", preference_accuracy=0.7 - noise)
        for lr in (1e-5, 2e-5, 3e-5)
        for noise in (0.0, 0.2)
        if not (noise and lr == 3e-5)
    ]
    svg = sensitivity_block(make.frame(*rows), COLOURS, "p").drawings[0].svg
    assert ">0.700<" in svg and ">0.500<" not in svg


def test_the_exponents_of_beta_and_lr_stand_under_the_maps(make) -> None:
    rows = [
        make.cell("dpo", lr=lr, hyperparameters={"beta": beta}, cell=f"{lr}{beta}", margin=(lr / beta) * 1e4 * odd)
        for lr in (1e-5, 2e-5, 4e-5)
        for beta, odd in ((0.1, 1.0), (0.2, 1.01), (0.4, 1.0))
    ]
    block = sensitivity_block(make.frame(*rows), COLOURS, "p")
    (line,) = block.grid.lines
    assert line.texts[:2] == ("dpo", "9") and line.texts[2].startswith("+1.00 (") and line.texts[-1] == "confirmed"
    assert "margin = const lr^p beta^q" in block.caption

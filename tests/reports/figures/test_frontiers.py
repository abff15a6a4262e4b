"""Frontiers as figures with their tables."""

import re

import pytest

from reports.content import tables
from reports.figures.frontiers import frontier_blocks

COLOURS = {"dpo": "0", "ipo": "1", "kto": "2", "sft": "control", "none": "control"}


@pytest.fixture
def swept(make):
    """Two losses over three betas and two lrs with completions, and a baseline."""
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
    reward, change = frontier_blocks(swept, COLOURS, "p")
    assert (reward.name, change.name) == ("gold-reward-gain-kl", "accuracy-drift")
    assert [key[0] for key in reward.keys] == ["dpo", "ipo"]  # a control is no contender
    svg = reward.drawings[0].svg
    assert "var(--c0)" in svg and "var(--c1)" in svg and not re.search(r"(?:stroke|fill): #", svg)
    assert "KL from the reference" in svg and "Measured on 64 prompts." in reward.caption
    assert [line.texts[0] for line in reward.grid.lines] == ["dpo (6 settings)", "ipo (6 settings)"]
    assert [head.text for head in reward.grid.heads] == ["loss", "0.75", "1.50", "3.00"]
    assert reward.grid.lines[0].texts[-1] == "+0.60 ± 0.05"


def test_accuracy_against_drift_has_every_trained_setting(swept) -> None:
    _, change = frontier_blocks(swept, COLOURS, "p")
    assert [key[0] for key in change.keys] == ["sft", "dpo", "ipo"] and "Measured on 256 test pairs." in change.caption


def test_runs_without_answers_have_no_reward_frontier(make) -> None:
    frame = make.frame(make.cell("dpo"), make.cell("ipo"))
    assert [block.name for block in frontier_blocks(frame, COLOURS, "p")] == ["accuracy-drift"]
    assert list(frontier_blocks(make.frame(make.cell("dpo")), COLOURS, "p")) == []

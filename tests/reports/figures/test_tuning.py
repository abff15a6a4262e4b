"""The expected best of n settings as a figure with its table."""

import pandas
import pytest

from reports.figures.tuning import tuning_block

COLOURS = {"dpo": "0", "ipo": "1"}


@pytest.fixture
def curves() -> pandas.DataFrame:
    lines = [(loss, n, 0.5 + step * n) for loss, step in (("dpo", 0.02), ("ipo", 0.01)) for n in (1, 2, 3)]
    return pandas.DataFrame(
        {
            "loss": loss,
            "n": n,
            "expected": value,
            "low": value - 0.1,
            "high": value + 0.1,
            "trials": 3,
            "failed": 0,
            "train_pairs": 64,
            "protocol": "p",
        }
        for loss, n, value in lines
    )


def test_a_line_a_loss_with_the_same_numbers_below(curves) -> None:
    block = tuning_block(curves, COLOURS, "p")
    assert [key[:2] for key in block.keys] == [("dpo", "0"), ("ipo", "1")] and "64 pairs" in block.caption
    assert "var(--c0)" in block.drawings[0].svg and "settings tried, n" in block.drawings[0].svg
    assert [head.text for head in block.grid.heads] == ["loss", "1", "2", "3"]
    assert block.grid.lines[0].texts == (
        "dpo",
        "0.520 (0.420 to 0.620)",
        "0.540 (0.440 to 0.640)",
        "0.560 (0.460 to 0.660)",
    )


def test_a_band_is_drawn_and_explained_where_one_loss_stands_alone(curves) -> None:
    alone = tuning_block(curves[curves["loss"] == "dpo"], COLOURS, "p")
    assert "pale band" in alone.caption and "pale band" not in tuning_block(curves, COLOURS, "p").caption
    bare = tuning_block(curves[curves["loss"] == "dpo"].assign(low=float("nan"), high=float("nan")), COLOURS, "p")
    assert "pale band" not in bare.caption and bare.grid.lines[0].texts[1] == "0.520"


def test_a_single_trial_and_a_loss_that_is_not_shown_give_no_curve(curves) -> None:
    assert tuning_block(curves.assign(trials=1), COLOURS, "p") is None
    assert tuning_block(curves, {"kto": "0"}, "p") is None
    assert tuning_block(pandas.DataFrame(), COLOURS, "p") is None

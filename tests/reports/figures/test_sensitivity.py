"""Maps of settings as figures, with the exponents under them."""

import pytest

from reports.figures.sensitivity import sensitivity_block

COLOURS = {"dpo": "0", "ipo": "1"}


@pytest.fixture
def swept(make):
    """Two losses over three betas and two lrs."""
    rows = [
        make.cell(loss, lr=lr, hyperparameters={"beta": beta}, validation_preference_accuracy=accuracy)
        for loss in ("dpo", "ipo")
        for beta, accuracy in ((0.1, 0.55), (0.3, 0.6), (1.0, 0.65))
        for lr in (1e-5, 3e-5)
    ]
    return make.frame(*rows)


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


def test_maps_show_rows_of_equal_data_perturbations_only(make) -> None:
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

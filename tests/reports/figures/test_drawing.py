"""Colours can be read: contrast as WCAG 2.2 defines it."""

import pytest

from reports.figures.drawing import DARK, KEYS, LIGHT, css


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, from 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mixed(colour: str, ground: str, opacity: float) -> str:
    """A colour laid over a ground."""
    pairs = [(int(colour[place : place + 2], 16), int(ground[place : place + 2], 16)) for place in (1, 3, 5)]
    return "#" + "".join(f"{round(opacity * one + (1 - opacity) * other):02x}" for one, other in pairs)


def test_black_on_white_has_the_contrast_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_what_they_stand_on(colours) -> None:
    for text in ("ink", "quiet"):
        for ground in ("page", "card", "tint"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for text, ground in (("warn", "warn-tint"), ("good", "good-tint"), ("warn", "page"), ("ink", "good-tint")):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for key in KEYS:
        assert contrast(colours[f"c{key}"], colours["card"]) >= 3, key


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_numbers_on_the_strongest_field_of_a_map_can_be_read(colours) -> None:
    from reports.figures.sensitivity import _FULL

    for key in KEYS:
        field = mixed(colours[f"c{key}"], colours["card"], _FULL)
        assert contrast(colours["ink"], field) >= 4.5, (key, contrast(colours["ink"], field))


def test_the_two_palettes_name_the_same_colours() -> None:
    assert set(LIGHT) == set(DARK)
    assert css({"ink": "#000000", "page": "#ffffff"}) == "--ink: #000000; --page: #ffffff;"

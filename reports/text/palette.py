"""The colours of a report: CSS variables on the page, and the same in figures that are files of their own.

A loss keeps one colour everywhere; contrast of text on its ground is at least 4.5 (WCAG 2.2 AA), of a loss's colour on
a card at least 3 (a test).
"""

from collections.abc import Mapping

CONTROL = "control"
SIZE = 8
KEYS: tuple[str, ...] = (*map(str, range(SIZE)), CONTROL)
"""Colour keys: the place of a loss among the losses, round and round, or `control`."""

LIGHT: Mapping[str, str] = {
    "page": "#fbfbf9",
    "card": "#ffffff",
    "ink": "#1c2024",
    "quiet": "#5c656e",
    "rule": "#dcdfe2",
    "tint": "#f1f2f0",
    "warn": "#8a4b00",
    "warn-tint": "#fdf3e1",
    "good": "#0b5c3b",
    "good-tint": "#e6f4ec",
    "c0": "#0a68b4",
    "c1": "#c4500a",
    "c2": "#00805a",
    "c3": "#a8437f",
    "c4": "#8a6400",
    "c5": "#5a4fcf",
    "c6": "#1c86a8",
    "c7": "#a83232",
    "ccontrol": "#70787f",
}
DARK: Mapping[str, str] = {
    "page": "#14171a",
    "card": "#1a1e22",
    "ink": "#e6e8ea",
    "quiet": "#a0a8b0",
    "rule": "#343a40",
    "tint": "#22272c",
    "warn": "#f0c070",
    "warn-tint": "#2e2618",
    "good": "#7fd8ab",
    "good-tint": "#17291f",
    "c0": "#62b0f2",
    "c1": "#ff9152",
    "c2": "#3ecb9c",
    "c3": "#e592c4",
    "c4": "#e0bd4a",
    "c5": "#aaa0ff",
    "c6": "#7fd3ee",
    "c7": "#ff8f8f",
    "ccontrol": "#98a1a9",
}


def css(colours: Mapping[str, str]) -> str:
    """The colours as declarations of CSS variables."""
    return " ".join(f"--{name}: {value};" for name, value in colours.items())

"""Verdicts: tests of differences over seeds and rows, and what they rest on."""

from results.inference.test import difference

__all__ = ["difference"]

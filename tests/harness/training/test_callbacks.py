"""Who looks on while a cell trains: what is told, in which order."""

from __future__ import annotations

import inspect

import pytest

from harness.model.logprobs import Scorer
from harness.training.callbacks import Callback, OnStep
from harness.training.loop import train
from tests.harness.jobs import make_job


def hooks() -> list[str]:
    return [name for name, _ in inspect.getmembers(Callback, inspect.isfunction) if name.startswith("on_")]


def test_a_hook_that_is_not_overridden_does_nothing_and_says_when_it_is_called():
    assert hooks() == ["on_cell", "on_evaluation", "on_out_of_memory", "on_start", "on_step"]
    for name in hooks():
        assert getattr(Callback(), name)({}) is None and getattr(Callback, name).__doc__


def test_everybody_is_told_of_each_step_in_order_with_its_row_of_the_curve(model, rows):
    told = []
    callbacks = [OnStep(lambda row: told.append(("first", row))), OnStep(lambda row: told.append(("second", row)))]
    curve = train(Scorer(model), make_job(model, rows, "dpo"), callbacks)
    assert told == [(name, row) for row in curve for name in ("first", "second")]
    assert [row["step"] for row in curve] == [1, 2, 3]


def test_an_error_of_a_callback_ends_the_training(model, rows):
    class Full(Callback):
        def on_step(self, row):
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        train(Scorer(model), make_job(model, rows, "dpo"), [Full()])

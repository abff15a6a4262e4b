"""The score of mutants: what counts as killed, and that the draw is fixed."""

from benchmarks.mutants import PARTS, summary


def test_a_mutant_that_no_test_reaches_counts_as_a_survivor():
    assert summary({"a": 1, "b": 0, "c": 33, "d": -24}) == "2 of 4 killed (50.0%), 0 not run"


def test_mutants_that_were_not_tried_are_told_apart():
    assert summary({"a": 1, "b": None}) == "1 of 1 killed (100.0%), 1 not run"
    assert summary({"a": None}) == "none tried"


def test_losses_are_sampled_and_the_rest_is_tried_whole():
    assert {name: part.drawn for name, part in PARTS.items()} == {"results": None, "objective": None, "losses": 400}

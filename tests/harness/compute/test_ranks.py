"""A cell shared by two processes: the gradients and weights of one, and errors that both know."""

from __future__ import annotations

import pickle

import pytest
import torch

from harness.compute.ranks import Failure, Report, failing_rank
from harness.data.tokens import row_tokens
from harness.errors import NonFinite, UsageError
from harness.training.micro_batches import shares
from tests.harness import shared_parts
from tests.harness.several import hang, several, vanish


@pytest.fixture(scope="module")
def alone(rows, tmp_path_factory):
    return shared_parts.everything(rows, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def both(rows, tmp_path_factory):
    """What each of two processes found."""
    return several(shared_parts.several_only, rows, tmp_path_factory.mktemp("both"))


def assert_close(found, expected) -> None:
    """Every tensor to 1e-5 of its norm."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] - value).norm() <= 1e-5 * value.norm() + 1e-9, name


def assert_shared(alone, first, second) -> None:
    """Gradients by loss: those of one process, and in two processes of the same bits."""
    for loss, expected in alone.items():
        assert any(value.abs().sum() > 0 for value in expected.values()), loss
        assert_close(first[loss], expected)
        assert all(torch.equal(first[loss][name], second[loss][name]) for name in expected), loss


@pytest.mark.slow
def test_two_processes_give_the_gradient_of_one_for_every_kind_of_loss(alone, both):
    needs = set().union(*(loss.needs for loss in shared_parts.kinds()))
    assert {"reference", "mismatched", "tokens", "prompt", "stats:log_sum_p2"} <= needs
    assert_shared(alone["gradients"], *(mine["gradients"] for mine in both))


@pytest.fixture(scope="module")
def split(rows):
    """What each of two processes found whose weights were split over both."""
    return several(shared_parts.sharded, rows)


@pytest.mark.slow
def test_split_weights_give_the_same_gradients_and_the_same_training(alone, split):
    assert_shared(alone["gradients"], *(mine["gradients"] for mine in split))
    for mine in split:
        assert_close(mine["lonely"], alone["lonely"])
        assert_close(mine["trained"][1], alone["trained"][1])


@pytest.mark.slow
def test_a_nan_in_one_process_leaves_no_other_in_a_pass_of_split_weights(split):
    assert [mine["errors"].partition(" at step")[0] for mine in split] == [
        "NonFinite: nan_in_the_second: loss nan, or its gradient, is not finite"
    ] * 2


@pytest.mark.slow
def test_so_they_do_for_every_loss(rows):
    assert_shared(shared_parts.all_gradients(rows), *several(shared_parts.all_gradients, rows))


def test_a_batch_with_fewer_rows_than_processes_has_its_gradient(alone, both):
    assert_close(both[0]["lonely"], alone["lonely"])
    assert_close(both[1]["lonely"], alone["lonely"])


def test_training_ends_at_the_weights_and_the_curve_of_one_process(alone, both):
    curve, weights, _ = alone["trained"]
    for mine in both:
        assert_close(mine["trained"][1], weights)
    for line, expected in zip(both[0]["trained"][0], curve, strict=True):
        compared = {name: value for name, value in line.items() if name != "seconds"}
        assert compared == pytest.approx({name: expected[name] for name in compared}, rel=1e-4, abs=1e-5)


def test_a_killed_training_goes_on_to_the_same_bits(both):
    for mine in both:
        for name, weight in mine["trained"][1].items():
            assert torch.equal(mine["resumed"][1][name], weight)


def test_memory_that_runs_out_in_one_process_makes_all_micro_batches_smaller(alone, both):
    for mine in both:
        curve, weights, told = mine["out_of_memory"]
        assert told == [2]
        assert_close(weights, alone["trained"][1])


def test_the_reference_has_the_bits_of_one_process_and_is_written_once(alone, both):
    expected, names = alone["stored"]
    for values, _ in (mine["stored"] for mine in both):
        assert all(torch.equal(value, one) for value, one in zip(values, expected, strict=True))
    assert names == both[0]["stored"][1] and len(names) == 3


def test_pieces_are_dealt_in_turns_and_every_process_knows_all_results(alone, both):
    squares = [n * n for n in range(7)]
    assert alone["dealt"] == (squares, list(range(7)), squares)
    assert [mine["dealt"] for mine in both] == [(squares, [0, 2, 4, 6], squares), (squares, [1, 3, 5], squares)]


def test_an_error_in_one_process_is_raised_in_all(both):
    not_finite, ours, worst, _, apart = both[0]["errors"]
    assert both[1]["errors"][:3] == [not_finite, ours, worst]
    assert not_finite.startswith("NonFinite: nan_in_the_second: loss nan")
    assert ours == "ValueError: only here"
    assert worst == "NonFinite: not finite"  # and not memory, which a smaller micro-batch would mend
    assert apart == both[1]["errors"][4] == "RuntimeError: the processes are out of step: nothing, nothing_else"
    assert all("of its own kind" in mine["errors"][3] for mine in both)  # an error that cannot be sent is described


def failure_of(error: BaseException) -> Failure:
    try:
        raise error
    except BaseException as found:
        return pickle.loads(pickle.dumps(Failure.of(found, rank=1)))


@pytest.mark.parametrize("error", [NonFinite("not finite"), KeyboardInterrupt(), torch.OutOfMemoryError("no memory")])
def test_a_failure_of_a_known_kind_is_made_again_elsewhere_with_its_place(error):
    failure = failure_of(error)
    made = failure.error()
    assert (type(made), str(made)) == (type(error), str(error))
    (note,) = made.__notes__
    assert note.startswith("in process 1:\n") and "in failure_of" in note
    assert failure.is_out_of_memory is isinstance(error, torch.OutOfMemoryError)


def test_a_failure_that_its_text_does_not_make_again_is_a_runtime_error_that_names_it():
    class Own(Exception):
        pass

    assert str(failure_of(Own("a kind of this test")).error()) == "Own: a kind of this test"
    of_a_list = failure_of(UsageError(["one", "two"])).error()  # a list of messages, which the text is not
    assert (type(of_a_list), str(of_a_list)) == (RuntimeError, "UsageError: one\ntwo")


def test_all_raise_the_first_failure_and_memory_last():
    done = Report("", 1, None)
    memory, usage, nan = (
        Report("", None, failure_of(e)) for e in (MemoryError("no memory"), ValueError("no"), NonFinite("nan"))
    )
    assert failing_rank([done, done]) is None
    assert failing_rank([done, memory]) == 1
    assert failing_rank([memory, memory]) == 0
    assert failing_rank([memory, usage, nan]) == 1


def test_a_process_that_has_gone_ends_the_wait_of_the_others_with_a_sentence():
    first, second = several(vanish)
    assert type(first).__name__ == "ProcessesLost" and second is None
    assert str(first).startswith("process 0 of 2 (from 0) gets no answer from another one, which has ended or hangs")


@pytest.mark.slow
def test_a_process_that_hangs_ends_it_too():
    first, _ = several(hang, 6.0, patience=2.0)
    assert type(first).__name__ == "ProcessesLost"
    assert "the same command goes on from there" in str(first)


def test_shares_are_even_in_tokens_and_in_order_of_length(rows):
    for processes in (1, 2, 3, 5):
        found = shares(rows, processes)
        assert [row.id for share in found for row in share] == [
            row.id for row in sorted(rows, key=lambda row: (row_tokens(row), row.id))
        ]
        sizes = [sum(map(row_tokens, share)) for share in found]
        assert max(sizes) - min(sizes) <= 2 * max(map(row_tokens, rows))
    assert [len(share) for share in shares(rows[:1], 3)] == [0, 1, 0]

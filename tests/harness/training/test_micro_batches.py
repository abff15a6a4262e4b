"""Cutting an optimizer batch: every row once, within the budget, in even shares, smaller when memory runs out."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import torch

from harness.data.tokens import Row, item_of, row_tokens
from harness.errors import is_out_of_memory
from harness.model.layout import LAYOUTS, PADDING
from harness.training.micro_batches import smaller, split


def row(number: int, prompt: int, *completions: int) -> Row:
    # No two prompts open alike: what is shared would be computed once, and a cut counts it for every row.
    opening = (100 + number,)
    return Row(str(number), str(number), "train", opening + (1,) * (prompt - 1), tuple((2,) * n for n in completions))


def random_batch(seed: int, count: int) -> list[Row]:
    draw = random.Random(seed)
    return [row(i, draw.randint(1, 60), draw.randint(1, 40), draw.randint(1, 40)) for i in range(count)]


@dataclass(frozen=True)
class Cut:
    """All of a job that a cut looks at."""

    micro_tokens: int
    micro_batch: int | None = None
    layout: str = "packed"


def computed(rows: list[Row], layout: str) -> int:
    """Tokens in the layout that is built, without the fill of a packed row up to its multiple."""
    built = LAYOUTS[layout]([item_of(r) for r in rows], pad=0)
    return int((built.owners != PADDING).sum()) if layout == "packed" else built.tokens


each_layout = pytest.mark.parametrize("layout", LAYOUTS)
each_seed = pytest.mark.parametrize("seed", range(5))


@each_layout
@each_seed
@pytest.mark.parametrize("budget", [1, 100, 300, 1000, 10**6])
def test_every_row_is_in_one_micro_batch_and_no_budget_is_passed_but_by_a_row_alone(layout, seed, budget):
    rows = random_batch(seed, 24)
    micros = split(rows, Cut(budget, layout=layout))
    assert sorted(r.id for micro in micros for r in micro) == sorted(r.id for r in rows)
    for micro in micros:
        assert len(micro) == 1 or computed(micro, layout) <= budget
    if budget == 1:
        assert len(micros) == 24
    if budget == 10**6:
        assert len(micros) == 1


@each_seed
def test_shares_of_packed_rows_are_even_to_a_row(seed):
    rows = random_batch(seed, 48)
    longest, whole = max(map(row_tokens, rows)), sum(map(row_tokens, rows))
    micros = split(rows, Cut(whole // 3 + longest))
    sizes = [sum(map(row_tokens, micro)) for micro in micros]
    assert len(micros) == 3
    assert max(sizes) - min(sizes) <= 2 * longest


def test_a_batch_barely_over_the_budget_is_halved_and_leaves_no_crumb():
    rows = [row(i, 20, 10, 10) for i in range(10)]  # 400 tokens
    assert [len(micro) for micro in split(rows, Cut(390))] == [5, 5]


def test_rows_of_like_length_are_together():
    rows = [row(0, 50, 30, 30), row(1, 5, 2, 2), row(2, 48, 30, 30), row(3, 5, 3, 3)]
    micros = split(rows, Cut(10**6, micro_batch=2))
    assert [[r.id for r in micro] for micro in micros] == [["1", "3"], ["2", "0"]]


def test_a_number_of_rows_that_was_asked_for_is_kept_whatever_they_weigh():
    rows = random_batch(0, 10)
    assert [len(micro) for micro in split(rows, Cut(1, micro_batch=4))] == [4, 4, 2]


def test_the_cut_depends_on_no_order_of_the_rows():
    rows = random_batch(3, 20)
    assert split(rows, Cut(300)) == split(rows[::-1], Cut(300))


@each_layout
@pytest.mark.parametrize("tokens, number", [(10**6, None), (400, None), (1, 8)])
def test_smaller_ends_with_every_row_alone_after_a_few_halvings(layout, tokens, number):
    rows = random_batch(1, 16)
    cut, largest = Cut(tokens, number, layout), []
    while cut is not None:
        largest.append(max(map(len, split(rows, cut))))
        cut = smaller(cut, rows)
    assert largest[-1] == 1 and largest == sorted(largest, reverse=True)
    assert len(largest) <= 8


def test_smaller_starts_from_what_was_tried_and_not_from_a_budget_far_above_it():
    rows = [row(i, 20, 10, 10) for i in range(4)]  # 160 tokens
    assert smaller(Cut(10**6), rows) == Cut(80)
    assert smaller(Cut(10**6, micro_batch=8), rows) == Cut(10**6, micro_batch=2)
    assert smaller(Cut(10**6), rows[:1]) is None
    assert smaller(Cut(10**6, micro_batch=1), rows) is None


@pytest.mark.parametrize(
    "error, expected",
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


def test_what_torchs_cpu_allocator_really_raises_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)

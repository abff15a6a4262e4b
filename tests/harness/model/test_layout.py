"""Layouts: index arithmetic and what a token may see, checked by hand."""

import pytest
import torch

from harness.model.layout import (
    LAYOUTS,
    MULTIPLE,
    PADDING,
    SHARED_PREFIX,
    SHORTEST_PREFIX,
    Item,
    packed,
    plain,
    shared,
    visible,
)

TWO = [Item([1, 2, 3], [[4, 5], [6]]), Item([7], [[8], [9, 10, 11]])]
each_layout = pytest.mark.parametrize("build", LAYOUTS.values(), ids=LAYOUTS)


def test_plain_writes_one_right_padded_row_for_each_completion():
    layout = plain(TWO, pad=0)
    assert layout.input_ids.tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 6, 0], [7, 8, 0, 0, 0], [7, 9, 10, 11, 0]]
    assert (layout.owners >= 0).sum(-1).tolist() == [5, 4, 2, 4]
    assert layout.counts.tolist() == [2, 1, 1, 3]


def test_shared_writes_the_prompt_once_and_restarts_positions_after_it():
    layout = shared(TWO, pad=0)
    assert layout.input_ids.tolist() == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3, 4, 3], [0, 1, 1, 2, 3, 0]]
    assert layout.segments.tolist() == [[0, 0, 0, 1, 1, 2], [0, 1, 2, 2, 2, 0]]
    assert layout.parts == ((3, 2, 1), (1, 1, 3))


def test_packed_writes_the_items_end_to_end_and_fills_one_row_up_to_a_multiple():
    layout = packed(TWO, pad=99)
    assert layout.input_ids.shape == (1, MULTIPLE) and layout.tokens == MULTIPLE
    assert layout.input_ids[0, :12].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 99]
    assert layout.position_ids[0, :11].tolist() == [0, 1, 2, 3, 4, 3, 0, 1, 1, 2, 3]
    assert layout.owners[0, :12].tolist() == [0] * 6 + [1] * 5 + [-1]
    assert set(layout.input_ids[0, 11:].tolist()) == {99} and set(layout.owners[0, 11:].tolist()) == {-1}


@each_layout
def test_a_completion_without_tokens_moves_no_other_completions_predictors(build):
    layout = build([Item([1, 2, 3], [[], [4, 5]])], pad=0)
    predicting = layout.input_ids.view(-1)[layout.where].tolist()
    assert (predicting, layout.targets.tolist(), layout.counts.tolist()) == ([3, 4], [4, 5], [0, 2])


def test_a_packed_row_that_ends_at_a_multiple_gets_no_padding():
    layout = packed([Item([first] * 30, [[2] * 20, [3] * 14]) for first in (1, 9)], pad=0)
    assert layout.tokens == 128
    assert (layout.owners >= 0).all()


OPENING = list(range(20, 20 + SHORTEST_PREFIX))
OPENED = [Item([*OPENING, *item.prompt], item.completions) for item in TWO]


def test_what_all_prompts_of_a_packed_row_begin_with_is_written_once_and_belongs_to_all():
    layout = packed(OPENED, pad=99)
    shared_prefix = len(OPENING)
    assert layout.shared_prefix == shared_prefix
    assert layout.input_ids[0, : shared_prefix + 12].tolist() == [*OPENING, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 99]
    assert layout.position_ids[0, :shared_prefix].tolist() == list(range(shared_prefix))
    assert (layout.position_ids[0, shared_prefix : shared_prefix + 11] - shared_prefix).tolist() == [
        0,
        1,
        2,
        3,
        4,
        3,
        0,
        1,
        1,
        2,
        3,
    ]
    assert layout.owners[0, : shared_prefix + 12].tolist() == [SHARED_PREFIX] * shared_prefix + [0] * 6 + [1] * 5 + [
        PADDING
    ]
    assert layout.parts == ((3, 2, 1), (1, 1, 3))


@pytest.mark.parametrize(
    "given, shared_prefix",
    [
        ([OPENING + [1], OPENING + [2]], SHORTEST_PREFIX),
        ([OPENING, OPENING + [2]], 0),  # one token is left to each prompt, and the rest is too short
        ([OPENING + [1, 2], OPENING + [1, 2]], SHORTEST_PREFIX + 1),
        ([OPENING + [1, 2], OPENING + [1, 3], OPENING + [4]], SHORTEST_PREFIX),
        ([OPENING[:-1] + [1], OPENING[:-1] + [2]], 0),
        ([OPENING + [1, 2]], 0),  # alone, there is nobody to share it with
        ([tuple(OPENING) + (1,), OPENING + [2]], SHORTEST_PREFIX),
    ],
)
def test_the_shared_prefix_is_the_longest_common_opening_that_leaves_each_prompt_a_token(given, shared_prefix):
    assert packed([Item(prompt, [[3], [4]]) for prompt in given], pad=0).shared_prefix == shared_prefix


def test_every_item_sees_the_shared_prefix_and_that_sees_itself_alone():
    seen = visible(packed(OPENED, pad=0))[0, 0]
    shared_prefix = len(OPENING)
    assert torch.equal(seen[:shared_prefix, :shared_prefix], torch.ones(shared_prefix, shared_prefix).tril().bool())
    assert (
        seen[shared_prefix : shared_prefix + 11, :shared_prefix].all()
        and not seen[:shared_prefix, shared_prefix:].any()
        and not seen[shared_prefix + 11 :, :shared_prefix].any()
    )
    assert torch.equal(
        seen[shared_prefix : shared_prefix + 11, shared_prefix : shared_prefix + 11],
        visible(packed(TWO, pad=0))[0, 0, :11, :11],
    )


@each_layout
def test_behind_a_common_opening_every_scored_token_is_predicted_from_the_one_before_it(build):
    layout = build(OPENED, pad=0, with_prompt=True)
    flat, places = layout.input_ids.flatten(), layout.position_ids.flatten()
    before = [(int(flat[w]), int(t)) for w, t in zip(layout.where, layout.targets, strict=True)]
    completions = [(3, 4), (4, 5), (3, 6), (7, 8), (7, 9), (9, 10), (10, 11)]
    opening = list(zip(OPENING, OPENING[1:], strict=False))
    assert before == completions + [*opening, (27, 1), (1, 2), (2, 3)] + [*opening, (27, 7)]
    assert places[layout.where][-8:].tolist() == list(range(8))
    assert layout.counts.tolist() == [2, 1, 1, 3, 10, 8]


@each_layout
def test_every_scored_token_is_predicted_from_the_token_before_it_in_its_own_sequence(build):
    layout = build(TWO, pad=0, with_prompt=True)
    flat = layout.input_ids.flatten()
    before = [(int(flat[w]), int(t)) for w, t in zip(layout.where, layout.targets, strict=True)]
    completions = [(3, 4), (4, 5), (3, 6), (7, 8), (7, 9), (9, 10), (10, 11)]
    prompts = [(1, 2), (2, 3)]  # the second prompt has one token, which nothing predicts
    assert before == completions + prompts
    assert layout.counts.tolist() == [2, 1, 1, 3, 2, 0]
    assert layout.mask.sum().item() == len(layout.targets)


@each_layout
def test_a_predictor_stands_one_position_before_what_it_predicts(build):
    layout = build([Item([1, 2, 3], [[4, 5], [6], [7, 8, 9]])], pad=0)
    assert layout.position_ids.flatten()[layout.where].tolist() == [2, 3, 2, 2, 3, 4]


@each_layout
def test_places_cover_the_mask_exactly_once(build):
    layout = build(TWO, pad=0, with_prompt=True)
    places = torch.zeros(layout.mask.numel())
    places[layout.place] += 1
    assert torch.equal(places.view(layout.mask.shape).bool(), layout.mask)
    assert len(set(layout.place.tolist())) == len(layout.place)


def test_a_completion_sees_the_prompt_and_itself_and_never_another_completion():
    seen = visible(shared([Item([1, 2], [[3, 4], [5], [6]])], pad=0))
    assert seen.shape == (1, 1, 6, 6) and seen.dtype == torch.bool
    assert seen[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]


def test_a_window_counts_positions_and_not_places_in_the_row():
    seen = visible(shared([Item([1, 2, 3], [[4, 5], [6, 7]])], pad=0), window=2)[0, 0].int()
    assert seen.tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 0],
        [0, 0, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 0, 0],
        [0, 0, 1, 0, 0, 1, 0],  # right after the prompt, though two tokens of the other completion lie between
        [0, 0, 0, 0, 0, 1, 1],
    ]


def test_items_of_a_packed_row_see_nothing_of_each_other():
    seen = visible(packed([Item([1], [[2], [3]]), Item([4], [[5], [6]])], pad=0))[0, 0]
    one = [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    assert seen[:3, :3].int().tolist() == one and seen[3:6, 3:6].int().tolist() == one
    assert not seen[:3, 3:].any() and not seen[3:6, :3].any() and not seen[3:6, 6:].any()


@pytest.mark.parametrize("window", [None, 2])
def test_padding_sees_itself_alone_and_is_seen_by_nobody(window):
    for layout, row, filled in ((shared(TWO, pad=0), 1, 5), (packed(TWO, pad=0), 0, 11)):
        seen = visible(layout, window)[row, 0]
        padding = len(seen) - filled
        assert torch.equal(seen[filled:, filled:], torch.eye(padding, dtype=torch.bool))
        assert not seen[filled:, :filled].any() and not seen[:filled, filled:].any()

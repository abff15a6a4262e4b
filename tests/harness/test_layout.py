"""Layouts: index arithmetic that can be checked by hand, and masks."""

import pytest
import torch

from harness.layout import LAYOUTS, Item, plain, shared

TWO = [Item([1, 2, 3], [[4, 5], [6]]), Item([7], [[8], [9, 10, 11]])]


def test_plain_writes_one_right_padded_row_for_each_answer():
    layout = plain(TWO, pad=0)
    assert layout.input_ids.tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 6, 0], [7, 8, 0, 0, 0], [7, 9, 10, 11, 0]]
    assert layout.attention_mask.sum(-1).tolist() == [5, 4, 2, 4]
    assert layout.counts.tolist() == [2, 1, 1, 3]


def test_shared_writes_the_prompt_once_and_restarts_positions_after_it():
    layout = shared(TWO, pad=0)
    assert layout.input_ids.tolist() == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 0]]
    assert layout.position_ids.tolist()[0] == [0, 1, 2, 3, 4, 3]
    assert layout.position_ids.tolist()[1][:5] == [0, 1, 1, 2, 3]


@pytest.mark.parametrize("build", LAYOUTS.values(), ids=LAYOUTS)
def test_every_scored_token_is_predicted_from_the_token_before_it_in_its_own_sequence(build):
    layout = build(TWO, pad=0, with_prompt=True)
    flat = layout.input_ids.flatten()
    before = [
        (int(flat[w]), int(t)) for w, t in zip(layout.where, layout.targets, strict=True)
    ]
    answers = [(3, 4), (4, 5), (3, 6), (7, 8), (7, 9), (9, 10), (10, 11)]
    prompts = [(1, 2), (2, 3)]  # the second prompt has one token, which nothing predicts
    assert before == answers + prompts
    assert layout.counts.tolist() == [2, 1, 1, 3, 2, 0]
    assert layout.mask.sum().item() == len(layout.targets)


def test_an_answer_sees_the_prompt_and_itself_and_never_the_other_answer():
    mask = shared([Item([1, 2], [[3, 4], [5]])], pad=0).attention_mask[0, 0].int()
    assert mask.tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]  # fmt: skip


def test_padding_sees_itself_alone_and_is_seen_by_nobody():
    mask = shared(TWO, pad=0).attention_mask[1, 0]
    assert mask[5].tolist() == [False] * 5 + [True]
    assert not mask[:5, 5].any()


def test_places_cover_the_mask_exactly_once():
    for build in LAYOUTS.values():
        layout = build(TWO, pad=0, with_prompt=True)
        places = torch.zeros(layout.mask.numel())
        places[layout.place] += 1
        assert torch.equal(places.view(layout.mask.shape).bool(), layout.mask)
        assert len(set(layout.place.tolist())) == len(layout.place)

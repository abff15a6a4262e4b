"""Attention over a packed row, piece by piece, against one dense masked softmax."""

from __future__ import annotations

import pytest
import torch

from harness.model import tiles
from harness.model.layout import PADDING, Item, Layout, packed, visible

PIECES = [(384, 256), (0, 1), (4, 3), (12, 5), (0, 64)]  # WHOLE, PIECE
each_cut = pytest.mark.parametrize("whole, piece", PIECES)


@pytest.fixture
def cut(monkeypatch):
    def set_sizes(whole: int, piece: int) -> None:
        monkeypatch.setattr(tiles, "WHOLE", whole)
        monkeypatch.setattr(tiles, "PIECE", piece)

    return set_sizes


def layout_of(*lengths: tuple[int, ...]) -> Layout:
    """Items of these lengths: a prompt's, then its completions'."""
    return packed([Item([1] * first, [[1] * n for n in rest]) for first, *rest in lengths], pad=0)


LAYOUT = layout_of((11, 4, 7), (1, 1, 12), (6, 3, 2, 9), (2, 5))
# The first ten tokens of each prompt are the shared prefix; the row is as long.
WITH_PREFIX = layout_of((11, 4, 7), (13, 1, 6), (12, 3, 2, 9))


def dense(query, key, value, seen, scale, softcap=None) -> torch.Tensor:
    """[1, T, H, D] by the definition: softmax over all that may be seen."""
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    scores = query @ key.transpose(2, 3) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    return (scores.masked_fill(~seen, -torch.inf).softmax(-1) @ value).transpose(1, 2)


def states(heads: int, kept: int, dtype=torch.float64) -> list[torch.Tensor]:
    """Query, key and value over LAYOUT's row."""
    generator = torch.Generator().manual_seed(2)
    sizes = (heads, kept, kept)
    drawn = [torch.randn(1, n, LAYOUT.tokens, 8, generator=generator, dtype=torch.float64) for n in sizes]
    return [x.to(dtype).requires_grad_() for x in drawn]


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("window", [None, 1, 4, 9])
@pytest.mark.parametrize("layout", [LAYOUT, WITH_PREFIX], ids=["", "shared prefix"])
@each_cut
def test_output_and_gradients_are_those_of_a_dense_masked_softmax(cut, whole, piece, layout, window, softcap):
    cut(whole, piece)
    filled = layout.owners[0] != PADDING
    inputs = states(heads=6, kept=2)
    expected = dense(*inputs, visible(layout, window), 0.3, softcap)[:, filled]
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    gradients = torch.autograd.grad((expected * weights).sum(), inputs)
    with tiles.attending(layout):
        found, _ = tiles.attention(None, *inputs, scaling=0.3, sliding_window=window, softcap=softcap)
    torch.testing.assert_close(found[:, filled], expected, rtol=1e-10, atol=1e-12)
    for mine, theirs in zip(torch.autograd.grad((found[:, filled] * weights).sum(), inputs), gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("heads, kept", [(4, 4), (4, 1), (9, 3)])
def test_each_key_value_head_serves_its_own_group_of_query_heads(cut, heads, kept):
    cut(4, 3)
    inputs = states(heads, kept)
    with tiles.attending(LAYOUT):
        found, _ = tiles.attention(None, *inputs)  # the default scale is one over the root of a head's size
    expected = dense(*inputs, visible(LAYOUT), 8**-0.5)
    filled = LAYOUT.owners[0] >= 0
    torch.testing.assert_close(found[:, filled], expected[:, filled], rtol=1e-10, atol=1e-12)


@each_cut
def test_padding_gives_zeros_and_takes_no_gradient(cut, whole, piece):
    cut(whole, piece)
    inputs = states(heads=2, kept=1)
    with tiles.attending(LAYOUT):
        found, _ = tiles.attention(None, *inputs)
    padding = LAYOUT.owners[0] < 0
    assert padding.any() and (found[:, padding] == 0).all()
    for gradient in torch.autograd.grad(found.square().sum(), inputs):
        assert gradient.isfinite().all()
        assert (gradient[:, :, padding] == 0).all()


def test_in_bf16_training_the_products_are_bf16_and_close():
    exact = states(heads=4, kept=2, dtype=torch.float32)
    with tiles.attending(LAYOUT), torch.autocast("cpu", dtype=torch.bfloat16):
        # rotary embeddings leave queries and keys in fp32; values come out of a map in bf16
        found, _ = tiles.attention(None, exact[0], exact[1], exact[2].bfloat16())
    assert found.dtype == torch.bfloat16
    filled = LAYOUT.owners[0] >= 0
    expected = dense(*exact, visible(LAYOUT), 8**-0.5)
    torch.testing.assert_close(found[:, filled].float(), expected[:, filled], rtol=0, atol=0.05)


def test_short_items_are_one_piece_and_long_ones_are_cut_at_segments(cut):
    cut(12, 5)
    found = tiles.plan(layout_of((6, 3, 3), (7, 2, 6), (1, 1, 11)))
    assert [(piece.tokens, piece.keys) for piece in found.pieces] == [
        (12, (0,)),
        (5, (1,)),  # a prompt of 7 in two pieces
        (2, (1, 2)),
        (2, (1, 2, 3)),  # the chosen completion
        (5, (1, 2, 4)),  # the rejected one sees the prompt and itself
        (1, (1, 2, 4, 5)),
        (1, (6,)),
        (1, (6, 7)),
        (5, (6, 8)),
        (5, (6, 8, 9)),
        (1, (6, 8, 9, 10)),
    ]
    assert [len(positions) for positions in found.positions] == [piece.tokens for piece in found.pieces]


def test_the_shared_prefix_comes_first_and_every_item_sees_it(cut):
    cut(8, 5)
    found = tiles.plan(layout_of((10, 2, 1), (13, 3, 3)))  # nine tokens are the shared prefix
    assert [(piece.tokens, piece.keys) for piece in found.pieces] == [
        (5, (0,)),
        (4, (0, 1)),
        (4, (0, 1, 2)),
        (4, (0, 1, 3)),
        (3, (0, 1, 3, 4)),
        (3, (0, 1, 3, 5)),
    ]
    assert found.positions[1].tolist() == [5, 6, 7, 8] and found.positions[2].tolist() == [9, 10, 11, 10]


def test_pieces_that_lie_wholly_before_the_window_are_dropped_and_no_other(cut):
    cut(0, 4)
    found = tiles.plan(layout_of((8, 4, 4)))  # pieces at positions 0-3, 4-7, 8-11 and again 8-11
    assert found.keys(3, None) == (0, 1, 3)
    assert found.keys(3, 6) == (0, 1, 3)  # position 8 sees 3, five before it
    assert found.keys(3, 5) == (1, 3)
    assert found.keys(3, 2) == (1, 3)
    assert found.keys(3, 1) == (3,)


def test_long_rows_compute_few_scores_that_nobody_may_see():
    layout = layout_of((1500, 300, 300), (100, 60, 60), (600, 500, 500))
    found = tiles.plan(layout)
    sizes = [piece.tokens for piece in found.pieces]
    computed = sum(piece.tokens * sum(sizes[key] for key in piece.keys) for piece in found.pieces)
    needed = visible(layout).sum().item()
    assert needed <= computed < 1.3 * needed
    assert computed < 0.26 * layout.tokens**2  # a quarter of what a dense mask would compute


@pytest.mark.parametrize("extra", [{"s_aux": 1}, {"position_bias": 1}, {"sinks": 1}])
def test_attention_of_another_kind_is_refused(extra):
    with tiles.attending(LAYOUT), pytest.raises(ValueError, match=f"takes no {next(iter(extra))}"):
        tiles.attention(None, *states(2, 1), **extra)


def test_a_mask_or_a_batch_is_refused():
    query, key, value = states(2, 1)
    with tiles.attending(LAYOUT):
        with pytest.raises(ValueError, match="takes no mask and no batch"):
            tiles.attention(None, query, key, value, torch.ones(1))
        with pytest.raises(ValueError, match="takes no mask and no batch"):
            tiles.attention(None, query.repeat(2, 1, 1, 1), key, value)


def test_a_plan_ends_with_its_block():
    with tiles.attending(LAYOUT):
        with tiles.attending(layout_of((3, 1, 1))):
            pass
        tiles.attention(None, *states(2, 1))  # the outer plan, which fits this row
    with pytest.raises(LookupError):
        tiles.attention(None, *states(2, 1))

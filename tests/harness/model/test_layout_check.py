"""The self-check: what holds is used, what is broken is caught, and the plain layout takes over with the reason."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.errors import UsageError
from harness.model import attention, layout_check, tiles
from harness.model.layout import LAYOUTS, Item, packed, visible
from harness.model.layout_check import EXACT, LayoutCheck, check_layout, stock_logps
from harness.model.logprobs import Scorer
from tests.harness.architectures import CONFIGS, UNSHARED, WINDOW, build, items, opened

WINDOWED = ["mistral windowed", "qwen2 windowed", "gemma3", "gemma2"]
# prompts and completions of one to several pieces, beyond the window and within it, a completion longer than its prompt
LENGTHS = {"prompts": (5, 31, 1, 18), "completions": ((4, 7), (12, 3), (6, 21), (1, 1))}
SHORT = {"prompts": (2, 3), "completions": ((3, 2), (4, 5))}  # no completion ends beyond the window


def check(model, wanted="auto", **lengths) -> LayoutCheck:
    return check_layout(model, items(**(lengths or LENGTHS)), wanted=wanted, pad=0)


@pytest.fixture(params=[(384, 256), (4, 3), (12, 8), (0, 16)], ids=lambda sizes: f"whole {sizes[0]}, piece {sizes[1]}")
def pieces(request, monkeypatch):
    """Short items in one piece, as they are; and cut as only long ones are."""
    whole, piece = request.param
    monkeypatch.setattr(tiles, "WHOLE", whole)
    monkeypatch.setattr(tiles, "PIECE", piece)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_with_exchangeable_attention_is_packed(name, pieces):
    assert check(build(name)) == ("packed", "")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_is_packed_behind_a_common_opening(name, pieces):
    assert packed(opened(items(**LENGTHS)), pad=0).shared_prefix == 11
    assert check_layout(build(name), opened(items(**LENGTHS)), wanted="auto", pad=0) == ("packed", "")


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "gemma3"])
def test_an_item_that_does_not_see_the_common_opening_is_caught(monkeypatch, name):
    made = tiles._pieces
    monkeypatch.setattr(tiles, "_pieces", lambda parts, first, shared_prefix: made(parts, first, ()))
    found = check_layout(build(name), opened(items(**LENGTHS)), wanted="auto", pad=0)
    assert found.layout == "shared"
    assert found.reason.startswith("the packed layout is off by")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_shared_layout_is_used_where_it_is_asked_for(name):
    assert check(build(name), "shared") == ("shared", "")
    assert check(build(name), "plain") == ("plain", "")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CONFIGS)
def test_what_was_accepted_holds_on_other_rows(name, layout):
    model, others = build(name), items(seed=1, **LENGTHS)
    with torch.no_grad():
        seen = Scorer(model)(LAYOUTS[layout](others, pad=0)).logps.sum(-1)
    oracle = torch.cat([stock_logps(model, item) for item in others])
    assert (seen - oracle).abs().max() <= EXACT


@pytest.mark.parametrize("wanted", ["auto", "packed", "shared"])
@pytest.mark.parametrize("name", UNSHARED)
def test_alibi_and_recurrent_models_use_plain_rows_and_say_why(name, wanted):
    found = check(build(name), wanted)
    assert found.layout == "plain"
    assert "the shared layout" in found.reason
    assert ("the packed layout" in found.reason) == (wanted != "shared")


def test_a_recurrent_model_given_shared_rows_is_caught_though_no_mask_is_refused(monkeypatch):
    monkeypatch.setattr(attention, "masks", lambda config, mask_of: None)
    found = check(build("mamba"), "shared")
    assert found.layout == "plain"
    assert found.reason.startswith("the shared layout is off by")


def test_an_alibi_model_given_shared_rows_is_caught():
    # it takes the mask without a word and counts distances along the row
    found = check(build("mpt"), "shared")
    assert found.layout == "plain"
    assert found.reason.startswith("the shared layout is off by")


def test_a_boolean_mask_under_eager_attention_is_caught(monkeypatch):
    model = build("llama")
    model.config._attn_implementation = "eager"
    assert check(model, "shared") == ("shared", "")
    monkeypatch.setattr(attention, "_additive", lambda seen: seen)
    found = check(model, "shared")
    assert found.layout == "plain"
    assert found.reason.startswith("the shared layout is off by")


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt_neox", "gemma3", "mistral windowed"])
def test_no_mask_with_restarting_positions_is_caught(monkeypatch, name):
    monkeypatch.setattr(attention, "masks", lambda config, mask_of: None)
    found = check(build(name), "shared")
    assert found.layout == "plain"
    assert found.reason.startswith("the shared layout is off by")


@pytest.fixture
def lost_window(monkeypatch):
    """Every layer attends as far back as it likes, in masks and in pieces."""
    keys, bias = tiles.Plan.keys, tiles.Plan.bias
    monkeypatch.setattr(attention, "visible", lambda layout, window=None: visible(layout))
    monkeypatch.setattr(tiles.Plan, "keys", lambda plan, index, window: keys(plan, index, None))
    monkeypatch.setattr(tiles.Plan, "bias", lambda plan, i, window, *rest: bias(plan, i, None, *rest))


@pytest.mark.parametrize("name", WINDOWED)
def test_a_lost_window_is_caught_by_a_row_that_is_longer_than_it(lost_window, name, pieces):
    found = check(build(name))
    assert found.layout == "plain"
    first, second = found.reason.split("; ")
    assert first.startswith("the packed layout is off by")
    assert second.startswith("the shared layout is off by")


@pytest.mark.parametrize("name", WINDOWED)
def test_without_a_long_row_a_lost_window_would_look_right(lost_window, name):
    assert max(len(item.prompt) + max(map(len, item.completions)) for item in items(**SHORT)) <= WINDOW
    assert check(build(name), **SHORT) == ("packed", "")


def merged(layout):
    """The same rows, with all completions of an item taken for one."""
    return dataclasses.replace(layout, segments=layout.segments.clamp(max=1))


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "gemma3"])
def test_a_rejected_completion_that_sees_the_chosen_one_is_caught(monkeypatch, name):
    plan = tiles.plan
    monkeypatch.setattr(attention, "visible", lambda layout, window=None: visible(merged(layout), window))
    monkeypatch.setattr(tiles, "plan", lambda layout: plan(merged(layout)))
    found = check(build(name))
    assert found.layout == "plain"
    first, second = found.reason.split("; ")
    assert first.startswith("the packed layout is off by")
    assert second.startswith("the shared layout is off by")


def test_a_packed_item_that_sees_its_neighbour_is_caught(monkeypatch):
    def joined(layout):
        """All items as one: the first prompt is everybody's."""
        return dataclasses.replace(layout, parts=((sum(map(sum, layout.parts)), 0),))

    plan = tiles.plan
    monkeypatch.setattr(tiles, "plan", lambda layout: plan(joined(layout)))
    found = check(build("llama"))
    assert found.layout == "shared"
    assert found.reason.startswith("the packed layout is off by")


@pytest.mark.parametrize(
    "error", [ValueError("no such mask\nand more"), AssertionError(), ImportError("no kernel"), IndexError()]
)
def test_a_layout_that_raises_is_passed_over_whatever_it_raises(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(tiles, "_attend", fail)
    found = check(build("llama"))
    assert found.layout == "shared"
    assert found.reason == f"the packed layout raised {type(error).__name__}: {str(error).partition(chr(10))[0]}"


def test_log_probs_that_are_nan_are_a_difference(monkeypatch):
    monkeypatch.setattr(
        tiles,
        "_attend",
        lambda query, *rest: (
            query[..., 0, :]
            .new_full((), torch.nan)
            .expand(query.shape[2], query.shape[0] * query.shape[1], query.shape[3])
        ),
    )
    assert check(build("llama")) == ("shared", "the packed layout is off by nan nats")


def test_a_model_whose_plain_log_probs_are_off_is_refused(monkeypatch):
    monkeypatch.setattr(layout_check, "stock_logps", lambda model, item: torch.zeros(len(item.completions)))
    with pytest.raises(UsageError, match="model type 'llama' differ from its own logits: the plain layout is off"):
        check(build("llama"), "plain")


def test_the_oracle_is_the_stock_forward_pass_alone(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("not stock")

    model, item = build("gemma2"), Item([1, 2, 3], [[4, 5], [6]])
    expected = stock_logps(model, item)
    for module, name in ((attention, "attending"), (tiles, "attention"), (layout_check, "Scorer")):
        monkeypatch.setattr(module, name, fail)
    assert torch.equal(stock_logps(model, item), expected)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[1, 2, 3, 6]])).logits[0]
    assert logits.abs().max() <= 5  # its own cap on logits
    torch.testing.assert_close(expected[1], logits.log_softmax(-1)[2, 6])

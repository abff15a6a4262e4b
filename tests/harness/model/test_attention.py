"""Which mask reaches which attention: by implementation, by window, and FlexAttention's rule."""

from __future__ import annotations

import pytest
import torch

from harness.model import attention, tiles
from harness.model.layout import LAYOUTS, Item, Layout, packed, plain, shared, visible
from harness.model.layout_check import EXACT, stock_logps
from harness.model.logprobs import Scorer
from tests.harness.architectures import CONFIGS, WINDOW, build, items, opened

ITEMS = [Item([1, 2, 3], [[4, 5], [6]]), Item([7], [[8], [9, 10, 11]])]


def received(name: str, layout: Layout, implementation: str | None = None):
    """The mask that a model is called with."""
    model = build(name)
    if implementation:
        model.config._attn_implementation = implementation
    with attention.attending(model, layout) as mask:
        return mask, model.config.get_text_config()._attn_implementation


def test_plain_rows_get_the_mask_of_padding_that_every_model_takes():
    mask, _ = received("llama", plain(ITEMS, pad=0))
    assert mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]


def test_shared_rows_get_a_boolean_mask_under_sdpa():
    layout = shared(ITEMS, pad=0)
    mask, implementation = received("llama", layout)
    assert implementation == "sdpa" and torch.equal(mask, visible(layout))


def test_shared_rows_get_a_mask_to_add_under_eager_because_a_boolean_one_would_be_added():
    layout = shared(ITEMS, pad=0)
    mask, _ = received("llama", layout, "eager")
    assert mask.dtype == torch.float32
    assert torch.equal(mask == 0, visible(layout))
    assert set(mask.unique().tolist()) == {0.0, torch.finfo(torch.float32).min}


def test_an_implementation_whose_masks_are_unknown_is_refused():
    with pytest.raises(ValueError, match="attention implementation 'flex_attention' takes no mask of this kind"):
        received("llama", shared(ITEMS, pad=0), "flex_attention")


def test_packed_rows_get_no_mask_but_an_attention_that_knows_them():
    mask, implementation = received("llama", packed(ITEMS, pad=0))
    assert mask is None and implementation == tiles.NAME


def test_the_implementation_is_put_back_also_after_an_error():
    model = build("llama")
    with attention.attending(model, packed(ITEMS, pad=0)):
        assert model.config._attn_implementation == tiles.NAME
    assert model.config._attn_implementation == "sdpa"
    with pytest.raises(KeyError), attention.attending(model, packed(ITEMS, pad=0)):
        raise KeyError
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("name", ["gemma3", "qwen2 windowed", "gemma2"])
def test_a_model_with_types_of_layers_gets_a_mask_for_each_type(name):
    found = attention.masks(build(name).config.get_text_config(), lambda window: ("mask", window))
    assert found == {"full_attention": ("mask", None), "sliding_attention": ("mask", WINDOW)}


def test_a_model_with_one_window_gets_one_windowed_mask():
    assert attention.masks(build("mistral windowed").config, lambda window: ("mask", window)) == ("mask", WINDOW)


def test_a_window_that_is_switched_off_is_none():
    config = build("qwen2 windowed").config
    config.use_sliding_window, config.layer_types = False, None
    assert attention.masks(config, lambda window: ("mask", window)) == ("mask", None)


def test_a_type_of_layer_that_is_unknown_is_refused():
    config = build("llama").config
    config.layer_types = ["full_attention", "chunked_attention"]
    with pytest.raises(ValueError, match="layers of type chunked_attention take no mask of this kind"):
        attention.masks(config, lambda window: window)


@pytest.mark.parametrize("window", [None, 1, 3, WINDOW])
def test_the_flex_rule_is_the_visible_rule_for_every_pair(window):
    for given in (ITEMS, items(), opened(items())):
        layout = packed(given, pad=0)
        length = torch.arange(layout.tokens)
        rule = attention.mask_rule(layout, window)
        zero = torch.tensor(0)
        assert torch.equal(rule(zero, zero, length[:, None], length[None, :]), visible(layout, window)[0, 0])


@pytest.mark.parametrize("window", [None, WINDOW])
def test_flex_blocks_hold_every_visible_pair_and_skip_blocks_without_one(window):
    layout = packed(items(prompts=(150, 90, 200), completions=((60, 50), (30, 100), (64, 64))), pad=0)
    mask = attention.block_mask(layout, window)
    size = mask.BLOCK_SIZE[0]
    padding = -layout.tokens % size
    seen = torch.nn.functional.pad(visible(layout, window)[0, 0], (0, padding, 0, padding))
    needed = seen.unflatten(0, (-1, size)).unflatten(2, (-1, size)).any(3).any(1)
    assert torch.equal(mask.to_dense()[0, 0].bool(), needed)
    assert not needed.all()


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "gpt2"])  # gpt2 takes no block mask
def test_a_forward_pass_through_flex_attention_gives_the_stock_models_log_probs(name):
    model, given = build(name), opened(items())
    layout, config = packed(given, pad=0), model.config.get_text_config()
    # Not compiled: the definition, slow and without a backward pass on a CPU. What is tested is the mask.
    with torch.no_grad(), torch.compiler.set_stance("force_eager"), attention._implementation(config, attention.FLEX):
        mask = attention.masks(config, lambda window: attention.block_mask(layout, window))
        logits = model(input_ids=layout.input_ids, attention_mask=mask, position_ids=layout.position_ids).logits[0]
    picked = logits.log_softmax(-1)[layout.where].gather(1, layout.targets[:, None])[:, 0]
    sums = torch.zeros(layout.mask.numel()).scatter(0, layout.place, picked).view(layout.mask.shape).sum(-1)
    oracle = torch.cat([stock_logps(model, item) for item in given])
    assert (sums - oracle).abs().max() <= EXACT


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_models_numbers_depend_on_no_other_item_of_the_batch(layout):
    model, given = build("gemma3"), opened(items())
    with torch.no_grad():
        together = Scorer(model)(LAYOUTS[layout](given, pad=0)).logps.sum(-1)
        alone = [Scorer(model)(LAYOUTS[layout]([item], pad=0)).logps.sum(-1) for item in given]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=EXACT)

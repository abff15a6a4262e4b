"""The Scorer against the stock model, and the self-check that guards it."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
)  # fmt: skip

from harness.layout import LAYOUTS, Item
from harness.logprobs import EXACT, Scorer, check_layout, stock_logps

SMALL = {"vocab_size": 97, "max_position_embeddings": 128, "num_hidden_layers": 2}
WIDE = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
GROUPED = {**SMALL, **WIDE, "num_key_value_heads": 2}
CONFIGS = {
    "llama": LlamaConfig(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED, head_dim=8),
    "gpt_neox": GPTNeoXConfig(**SMALL, **WIDE),
    "gpt2": GPT2Config(vocab_size=97, n_positions=128, n_embd=32, n_layer=2, n_head=4),
    # soft caps on logits: the model's own output transform must survive
    "gemma2": Gemma2Config(**GROUPED, head_dim=8, final_logit_softcapping=5.0, sliding_window=8),
    "mistral windowed": MistralConfig(**GROUPED, sliding_window=8),
}


def build(config, attention="sdpa") -> torch.nn.Module:
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():  # a fresh model is nearly uniform: sharpen it, so that a wrong mask shows
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(6)
    return model


def items(seed=0, prompts=(5, 20, 9), answers=((4, 7), (12, 3), (6, 6))) -> list[Item]:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda n: torch.randint(1, 97, (n,), generator=generator).tolist()  # noqa: E731
    return [Item(draw(p), [draw(n) for n in pair]) for p, pair in zip(prompts, answers, strict=True)]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_layout_that_is_chosen_gives_the_stock_models_log_probs(name):
    model = build(CONFIGS[name], "eager" if name == "gemma2" else "sdpa")
    chosen = check_layout(model, items(), wanted="auto", pad=0).layout
    assert chosen == ("shared" if name in ("llama", "qwen3", "gpt_neox", "gpt2") else "plain")
    with torch.no_grad():
        seen = Scorer(model)(LAYOUTS[chosen](items(seed=1), pad=0)).sum(-1)
    oracle = torch.cat([stock_logps(model, item) for item in items(seed=1)])
    assert (seen - oracle).abs().max() <= EXACT
    assert oracle.abs().max() > 1


def test_both_layouts_give_the_same_parameter_gradients():
    gradients = []
    for name in LAYOUTS:
        model = build(CONFIGS["llama"])
        Scorer(model)(LAYOUTS[name](items(), pad=0)).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    for name, one in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], one, rtol=1e-4, atol=1e-5 * one.abs().max().item())


def test_prompt_tokens_are_scored_as_the_stock_model_does():
    model = build(CONFIGS["llama"])
    for layout in (make(items(), pad=0, with_prompt=True) for make in LAYOUTS.values()):
        with torch.no_grad():
            prompts = Scorer(model)(layout)[6:].sum(-1)
            for prompt, item in zip(prompts, items(), strict=True):
                alone = stock_logps(model, Item(item.prompt[:1], [item.prompt[1:]]))
                assert abs(prompt - alone[0]) <= EXACT


def test_bf16_rounds_and_fp32_does_not():
    model = build(CONFIGS["llama"])
    layout = LAYOUTS["plain"](items(), pad=0)
    with torch.no_grad():
        exact, rounded = Scorer(model, "fp32")(layout), Scorer(model, "bf16")(layout)
    assert rounded.dtype == torch.float32
    assert 0 < (exact - rounded).abs().max() < 1


@pytest.mark.parametrize(
    "broken",
    [
        lambda mask: torch.ones_like(mask).tril(),  # rejected sees chosen
        lambda mask: torch.zeros_like(mask) | torch.eye(mask.shape[-1], dtype=torch.bool),  # nobody sees the prompt
        lambda mask: mask.flip(0),  # rows exchanged
    ],
    ids=["sees the other answer", "sees itself alone", "another row's mask"],
)
def test_a_broken_mask_is_caught_and_the_plain_layout_takes_over(monkeypatch, broken):
    import harness.layout

    right = harness.layout._branch_mask
    monkeypatch.setattr(harness.layout, "_branch_mask", lambda segments: broken(right(segments)))
    check = check_layout(build(CONFIGS["llama"]), items(), wanted="shared", pad=0)
    assert check.layout == "plain"
    assert "nats" in check.reason


def test_attention_that_takes_no_boolean_mask_falls_back_with_the_reason():
    check = check_layout(build(CONFIGS["llama"], "eager"), items(), wanted="auto", pad=0)
    assert check == ("plain", "attention implementation 'eager' takes no boolean mask")


def test_a_model_whose_plain_log_probs_are_off_is_refused(monkeypatch):
    import harness.logprobs

    monkeypatch.setattr(harness.logprobs, "stock_logps", lambda model, item: torch.zeros(len(item.answers)))
    with pytest.raises(RuntimeError, match="model type 'llama' differ from its own logits"):
        check_layout(build(CONFIGS["llama"]), items(), wanted="plain", pad=0)

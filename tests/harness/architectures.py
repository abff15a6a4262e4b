"""Tiny random models of many architectures, for the tests of layouts, attention and heads."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    MptConfig,
    Olmo2Config,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)

from harness.data.tokens import Row
from harness.model.layout import Item

VOCABULARY = 97
WINDOW = 8  # shorter than most of the sequences below

_SMALL = {"vocab_size": VOCABULARY, "max_position_embeddings": 128, "num_hidden_layers": 2, "pad_token_id": 0}
_WIDE = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
_GROUPED = {**_SMALL, **_WIDE, "num_key_value_heads": 2}
_LAYERS = ["sliding_attention", "full_attention"]

CONFIGS = {
    "llama": LlamaConfig(**_GROUPED),
    "qwen3": Qwen3Config(**_GROUPED, head_dim=8),
    "gpt_neox": GPTNeoXConfig(**_SMALL, **_WIDE),
    "gemma3": Gemma3TextConfig(
        **_GROUPED, head_dim=8, sliding_window=WINDOW, layer_types=_LAYERS, query_pre_attn_scalar=8
    ),
    "mistral windowed": MistralConfig(**_GROUPED, sliding_window=WINDOW),
    "qwen2 windowed": Qwen2Config(**_GROUPED, use_sliding_window=True, sliding_window=WINDOW, layer_types=_LAYERS),
    # caps on scores and on logits
    "gemma2": Gemma2Config(
        **_GROUPED,
        head_dim=8,
        sliding_window=WINDOW,
        layer_types=_LAYERS,
        query_pre_attn_scalar=8,
        attn_logit_softcapping=3.0,
        final_logit_softcapping=5.0,
    ),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_positions=128, n_embd=32, n_layer=2, n_head=4),
    "phi3": Phi3Config(**_GROUPED),
    "olmo2": Olmo2Config(**_GROUPED),
    "mixtral": MixtralConfig(**_GROUPED, num_local_experts=4),
    # scales of logits, of attention, of residuals
    "granite": GraniteConfig(
        **_GROUPED, logits_scaling=3.0, attention_multiplier=0.2, residual_multiplier=0.5, embedding_multiplier=2.0
    ),
    "cohere": CohereConfig(**_GROUPED, logit_scale=0.5),
}
EAGER = {"gemma2"}  # sdpa has no cap on scores

# Distances that are no position ids, or a state that every token passes: a prompt cannot be shared.
UNSHARED = {
    "bloom": BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4),
    "mpt": MptConfig(vocab_size=VOCABULARY, d_model=32, n_layers=2, n_heads=4, max_seq_len=128),
    "mamba": MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4),
}


def build(name: str, *, sharper: float = 6.0) -> torch.nn.Module:
    """A model of random weights, the same every time.

    sharper: factor on the matrices. A fresh model is nearly uniform, and a wrong mask would not show.
    """
    torch.manual_seed(3)
    config = copy.deepcopy((CONFIGS | UNSHARED)[name])
    implementation = {"attn_implementation": "eager" if name in EAGER else "sdpa"} if name in CONFIGS else {}
    model = AutoModelForCausalLM.from_config(config, **implementation).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(sharper)
    return model


def adapted() -> torch.nn.Module:
    """A llama with LoRA adapters that are not zero."""
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(4)
    return get_peft_model(build("llama"), config).eval()


def gradients(model) -> dict[str, torch.Tensor]:
    """The gradient of each parameter that has one."""
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def items(
    seed: int = 0, prompts: Sequence[int] = (5, 20, 9), completions: Sequence[Sequence[int]] = ((4, 7), (12, 3), (6, 6))
) -> list[Item]:
    """Random items with prompts and completions of these lengths."""
    generator = torch.Generator().manual_seed(seed)

    def draw(length: int) -> list[int]:
        return torch.randint(1, VOCABULARY, (length,), generator=generator).tolist()

    return [Item(draw(prompt), [draw(n) for n in parts]) for prompt, parts in zip(prompts, completions, strict=True)]


def opened(given: Sequence[Item], length: int = 11) -> list[Item]:
    """The items with `length` tokens before every prompt, the same for all, as chat templates write them."""
    opening = [(5 * n + 2) % VOCABULARY for n in range(length)]
    return [Item([*opening, *item.prompt], item.completions) for item in given]


def random_rows(count: int) -> list[Row]:
    """Pairs of random tokens whose prompts open alike, longer than the window, each a cluster of its own."""
    lengths = [(3 + 7 * i % 20, (1 + 5 * i % 13, 2 + 3 * i % 11)) for i in range(count)]
    found = opened(items(7, [prompt for prompt, _ in lengths], [completions for _, completions in lengths]))
    return [
        Row(str(i), str(i), "train", tuple(x.prompt), tuple(map(tuple, x.completions))) for i, x in enumerate(found)
    ]

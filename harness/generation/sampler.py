"""Completions from a causal language model: batched sampling with a key-value cache.

What is promised: the random numbers of a completion depend on (seed, prompt id, number of the sample) alone, so
neither the other prompts of a call, nor their order, nor the batch size changes them, and two models that are
asked the same draw from the same numbers. Which token a number picks depends on the model's logits, and the
last bits of those on the batch: a completion can differ between batchings where a number falls on the edge of
two tokens. Equal calls on equal machines give equal completions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer

from harness.errors import NonFinite
from harness.model.layout import shared_prefix_of
from harness.model.products_bf16 import MixedPrecision
from harness.model.products_fp32 import FullPrecision

BATCH = 128  # completions that are written together
SENTENCE_ENDS = (".", "!", "?")

TokenPrompt = tuple[str, tuple[int, ...]]  # id, token ids


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn; temperature 0 takes the likeliest token each time (greedy).

    sentence: a completion is over with its first sentence (a token that ends in one of .!? or holds a line break),
    for tasks that ask for no more.
    """

    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    sentence: bool = False

    @property
    def exact(self) -> bool:
        """Whether completions are draws from the model's own distribution, as a Monte-Carlo KL needs."""
        return self.temperature == 1.0 and self.top_p == 1.0


@dataclass(frozen=True)
class Completion:
    """One completion: its token ids, with the end-of-turn token where it came; truncated where the limit came first.

    logp: nats of all tokens, under the model that wrote them, at temperature 1 without top_p.
    """

    prompt_id: str
    sample: int
    tokens: tuple[int, ...]
    text: str
    truncated: bool
    logp: float


@dataclass
class _Request:
    """A completion that is being written; numbers: [max_new_tokens] in [0, 1)."""

    prompt_id: str
    sample: int
    prompt: tuple[int, ...]
    numbers: Tensor
    tokens: list[int]
    logp: float = 0.0


@torch.no_grad()
def generate(
    model: nn.Module,
    prompts: Sequence[TokenPrompt],
    sampling: Sampling,
    *,
    tokenizer: Any,
    end_of_turn: int,
    samples: int = 1,
    batch: int = BATCH,
    precision: str = "fp32",
    advance: Callable[[int], None] = lambda n: None,
) -> list[Completion]:
    """Completions to every prompt (id, token ids), `samples` each, in the order of the prompts.

    model: any causal language model of transformers, adapters included. precision: "fp32", or "bf16" for bf16 products,
    which is faster and another distribution by a quarter of a nat a completion: for completions to learn from, not to
    measure. advance: told how many are done.
    Raises: NonFinite where the model's logits hold no distribution.
    """
    requests = [
        _Request(name, sample, ids, _numbers(sampling, name, sample), [])
        for name, ids in prompts
        for sample in range(samples)
    ]
    ends = {end_of_turn} | (_sentence_ends(tokenizer) if sampling.sentence else frozenset())
    # Of like length together: little padding, and all completions of one prompt, which is then read once.
    order = sorted(requests, key=lambda request: len(request.prompt))
    was_training = model.training
    model.eval()
    try:
        with _products(model, precision):
            for start in range(0, len(order), batch):
                _write(model, order[start : start + batch], sampling, ends)
                advance(len(order[start : start + batch]))
    finally:
        model.train(was_training)
    return [_completion(request, tokenizer, end_of_turn, ends) for request in requests]


def _products(model: nn.Module, precision: str) -> AbstractContextManager[None]:
    products = FullPrecision(model) if precision == "fp32" else MixedPrecision(model)
    return products(next(model.parameters()).device.type)


@cache
def _sentence_ends(tokenizer: Any) -> frozenset[int]:
    """The tokens of a vocabulary that end a sentence."""
    ids = range(len(tokenizer))
    texts = tokenizer.batch_decode([[token] for token in ids], skip_special_tokens=True)
    pairs = zip(ids, texts, strict=True)
    return frozenset(token for token, text in pairs if text.endswith(SENTENCE_ENDS) or "\n" in text)


def _numbers(sampling: Sampling, prompt_id: str, sample: int) -> Tensor:
    """The private random numbers of one completion: [max_new_tokens] in [0, 1)."""
    key = hashlib.sha256(f"generate/{sampling.seed}/{sample}/{prompt_id}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big") >> 1)
    return torch.rand(sampling.max_new_tokens, generator=generator, dtype=torch.float64)


def _write(model: nn.Module, requests: Sequence[_Request], sampling: Sampling, ends: Set[int]) -> None:
    """Writes the completions of one batch: each prompt in one pass, then token by token.

    A completion that has ended leaves the batch.
    """
    device = next(model.parameters()).device
    prompts = list(dict.fromkeys(request.prompt for request in requests))
    cache, logits, mask, places = _read(model, prompts)
    whose = torch.tensor([prompts.index(request.prompt) for request in requests], device=device)
    cache.batch_select_indices(whose)
    logits, mask, places = logits[whose], mask[whose], places[whose, -1:]
    open_requests = list(requests)
    for step in range(sampling.max_new_tokens):
        logps = logits.float().log_softmax(-1)
        numbers = torch.stack([request.numbers[step] for request in open_requests]).to(device)
        tokens = _pick(logps, numbers, sampling)
        chosen = logps.gather(1, tokens[:, None]).squeeze(1).tolist()
        for request, token, logp in zip(open_requests, tokens.tolist(), chosen, strict=True):
            request.tokens.append(token)
            request.logp += logp
        going = [n for n, request in enumerate(open_requests) if request.tokens[-1] not in ends]
        if not going or step + 1 == sampling.max_new_tokens:
            return
        if len(going) < len(open_requests):
            kept = torch.tensor(going, device=device)
            cache.batch_select_indices(kept)
            tokens, places, mask = tokens[kept], places[kept], mask[kept]
            open_requests = [open_requests[n] for n in going]
        places, mask = places + 1, torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        logits = model(
            input_ids=tokens[:, None],
            attention_mask=mask,
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]


def _read(model: nn.Module, prompts: Sequence[tuple[int, ...]]) -> tuple[Any, Tensor, Tensor, Tensor]:
    """Prompts, padded on the left -> cache, next logits [P, V], mask and positions [P, L].

    What all begin with (a chat template's opening) is read once, where a cache keeps every key: where it drops keys
    by their distance, or none can be repeated, padding between the opening and the rest would count.
    """
    device = next(model.parameters()).device
    shared_prefix = shared_prefix_of(prompts)
    cache = None
    if shared_prefix:
        opening = torch.tensor([prompts[0][:shared_prefix]], device=device)
        cache = model(input_ids=opening, use_cache=True, logits_to_keep=1).past_key_values
        if all(type(layer) is DynamicLayer for layer in getattr(cache, "layers", [None])):
            cache.batch_repeat_interleave(len(prompts))
        else:
            shared_prefix, cache = 0, None
    rests = [prompt[shared_prefix:] for prompt in prompts]
    width = max(map(len, rests))
    ids = torch.tensor([[0] * (width - len(rest)) + list(rest) for rest in rests], device=device)
    kept = [[1] * shared_prefix + [0] * (width - len(rest)) + [1] * len(rest) for rest in rests]
    mask = torch.tensor(kept, device=device)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    seen = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=places[:, shared_prefix:],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return seen.past_key_values, seen.logits[:, -1], mask, places


def _pick(logps: Tensor, numbers: Tensor, sampling: Sampling) -> Tensor:
    """The next token [B] of each completion from log-probs [B, V] and a number [B] in [0, 1) each.

    The token in whose stretch of the cumulative distribution the number falls.
    """
    if sampling.temperature == 0:
        return logps.argmax(-1)
    # Log-probs need no second softmax at temperature 1.
    probabilities = logps.exp() if sampling.temperature == 1 else (logps / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        probabilities = _nucleus(probabilities, sampling.top_p)
    edges = probabilities.cumsum(-1, dtype=torch.float64)
    picked = torch.searchsorted(edges, (numbers * edges[:, -1])[:, None], right=True).squeeze(1)
    return picked.clamp(max=logps.shape[1] - 1)


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """The probabilities [B, V] of the fewest tokens that together reach top_p, the others 0 (arXiv:1904.09751)."""
    ranked, order = probabilities.sort(-1, descending=True)
    before = ranked.cumsum(-1) - ranked
    return torch.zeros_like(probabilities).scatter(1, order, ranked.masked_fill(before >= top_p, 0.0))


def _completion(request: _Request, tokenizer: Any, end_of_turn: int, ends: Set[int]) -> Completion:
    truncated = request.tokens[-1] not in ends
    written = request.tokens[:-1] if request.tokens[-1] == end_of_turn else request.tokens
    text = tokenizer.decode(written, skip_special_tokens=True).strip()
    if not math.isfinite(request.logp):
        raise NonFinite(
            f"the completion of {request.prompt_id} has log-prob {request.logp}: the model's logits are broken"
        )
    return Completion(request.prompt_id, request.sample, tuple(request.tokens), text, truncated, request.logp)

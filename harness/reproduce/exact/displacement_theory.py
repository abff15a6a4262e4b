"""`displacement-theory`: why a chosen completion loses probability while the margin grows, in double precision.

Letters: W [V, D] unembedding, h [D] hidden state of the prompt, logits W h; + and - the chosen and rejected token.
1. A step along the loss's gradient on h moves every token by d log p(z) = c <W_z, W_+ - W_-> + const with c > 0
   (arXiv:2410.08847, theorem 1): tokens near the chosen and far from the rejected one gain, and where something else
   lies further along that direction than the chosen token, the chosen token falls.
2. With frozen hidden states of several tokens, d log p(chosen) is a sum of <h_k, h_l> weighted by how alike the
   tokens' errors are (theorem 2); CHES = <sum h+, sum h-> - |sum h+|^2 leaves the weights out and ranks by it.
3. Pushing a token down that is rare already lifts the most likely one and lowers all others: squeezing.
All steps are the gradient of the registered dpo.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

import losses
from harness.reproduce.exact.batches import function, one_thread, sequence
from harness.reproduce.frame import Check, Request, bound, number
from results.literature.tables import table

VOCABULARY, WIDTH, TOKENS, DRAWS, DIRECTIONS = 40, 12, 5, 200, 20
CHOSEN, REJECTED = 0, 1
BETA = 0.1
START = (0.70, 0.20, 0.08, 0.02)


class Rates(NamedTuple):
    """Directional derivatives along minus the loss's gradient: of every token's log-prob [V], and of the margin."""

    tokens: Tensor
    margin: float


def reproduce(request: Request) -> list[Check]:
    """The identity of theorem 1, its sign, the identity behind CHES with its ranking, and squeezing."""
    with one_thread():
        return [*_identity(), *_signs(), *_ches(), *_squeezing()]


def descend(logits: Tensor, moved: Tensor) -> Rates:
    """How log-probs move when `moved` follows the loss's negative gradient; logits [V] are a function of it."""
    log_probs = logits.log_softmax(-1)
    loss = _dpo(log_probs[CHOSEN], log_probs[REJECTED])
    step = -torch.autograd.grad(loss, moved, retain_graph=True)[0]
    rates = torch.stack([(torch.autograd.grad(p, moved, retain_graph=True)[0] * step).sum() for p in log_probs])
    return Rates(rates.detach(), (rates[CHOSEN] - rates[REJECTED]).item())


def _dpo(chosen: Tensor, rejected: Tensor) -> Tensor:
    """The registered dpo at policy == reference, as a scalar."""
    sides = [sequence(side.reshape(1)) for side in (chosen, rejected, chosen.detach(), rejected.detach())]
    return function("dpo")(losses.PairBatch(*sides), beta=BETA).sum()


def _identity() -> list[Check]:
    """Random W and h: the rates are a line in <W_z, W_+ - W_->, with a positive slope."""
    generator = torch.Generator().manual_seed(0)
    errors, slopes = [], []
    for _ in range(DIRECTIONS):
        unembedding, hidden = _normal(generator, VOCABULARY, WIDTH), _normal(generator, WIDTH).requires_grad_()
        rates = descend(unembedding @ hidden, hidden).tokens
        along = unembedding @ (unembedding[CHOSEN] - unembedding[REJECTED])
        x, y = along - along.mean(), rates - rates.mean()
        slope = (x @ y) / (x @ x)
        slopes.append(slope.item())
        errors.append((y - slope * x).abs().max().item())
    return [
        bound("theorem 1", "largest distance from the line", "0", max(errors), high=1e-12, note=f"{DIRECTIONS} draws"),
        number("theorem 1", "slope c", BETA / 2, min(slopes), 1e-12, "beta/2 at policy == reference; it must be > 0"),
    ]


def _signs() -> list[Check]:
    """No against Never: nearly parallel embeddings, and Yes on the far side. Against Yes and No, which point apart."""
    axis = torch.eye(3, dtype=torch.float64)
    hidden = torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64)
    no, never, yes = axis[0] + 0.1 * axis[1], axis[0] - 0.3 * axis[1], 2.0 * axis[1] - 0.5 * axis[0]
    checks = []
    for row, embeddings, falls in (
        ("No against Never", (no, never, yes), True),
        ("No against Yes", (no, yes, never), False),
    ):
        moved = hidden.clone().requires_grad_()
        rates = descend(torch.stack(embeddings) @ moved, moved)
        said = "falls, margin grows" if falls else "rises, margin grows"
        limits = {"high": -1e-6} if falls else {"low": 1e-6}
        checks.append(bound(row, "rate of log p(chosen)", said, rates.tokens[CHOSEN].item(), **limits))
        checks.append(bound(row, "rate of the margin", said, rates.margin, low=1e-6))
    return checks


def _ches() -> list[Check]:
    """Frozen hidden states [K, D] of both completions, W moves: the exact sum, and the rank correlation with CHES."""
    from scipy import stats

    generator = torch.Generator().manual_seed(1)
    errors, ches, falls = [], [], []
    for _ in range(DRAWS):
        weights = 0.1 * _normal(generator, VOCABULARY, WIDTH)
        weights.requires_grad_()
        common = _normal(generator, WIDTH)
        states = [common * torch.rand(1, generator=generator) + 0.5 * _normal(generator, TOKENS, WIDTH) for _ in "+-"]
        tokens = [torch.randint(VOCABULARY, (TOKENS,), generator=generator) for _ in "+-"]
        completions = list(zip(states, tokens, strict=True))
        totals = [(h @ weights.T).log_softmax(-1).gather(1, t[:, None]).sum() for h, t in completions]
        loss = _dpo(*totals)
        step = -torch.autograd.grad(loss, weights, retain_graph=True)[0]
        rate = (torch.autograd.grad(totals[0], weights)[0] * step).sum().item()
        wrong = [_errors(h, t, weights.detach()) for h, t in completions]
        inner = [((wrong[0] @ wrong[side].T) * (states[0] @ states[side].T)).sum().item() for side in (0, 1)]
        errors.append(abs(rate - BETA / 2 * (inner[0] - inner[1])))
        sums = [h.sum(0) for h in states]
        ches.append((sums[0] @ sums[1] - sums[0] @ sums[0]).item())
        falls.append(-rate)
    rho = float(stats.spearmanr(ches, falls).statistic)
    return [
        bound("theorem 2", "largest error of the sum", "0", max(errors), high=1e-12, note=f"{DRAWS} draws"),
        bound("CHES", "rank correlation with the fall", "above 0", rho, low=0.2, note="a score, no identity"),
    ]


def _errors(hidden: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
    """e_token - p at each position, [K, V]."""
    probabilities = (hidden @ weights.T).softmax(-1)
    return torch.nn.functional.one_hot(tokens, VOCABULARY) - probabilities


def _squeezing() -> list[Check]:
    """One step on free logits along the rejected side's gradient, scaled so that its weight is the step size eta."""
    checks = []
    for row, printed in table("displacement").items():
        eta = float(row.rpartition("=")[2])
        logits = torch.tensor(START, dtype=torch.float64).log().requires_grad_()
        rejected = logits.log_softmax(-1)[-1]
        loss = _dpo(torch.zeros_like(rejected), rejected)
        step = -torch.autograd.grad(loss, logits)[0] / (BETA / 2)
        after = (logits.detach() + eta * step).softmax(-1)
        checks += [
            number(row, f"probability {place}", value, after[place - 1].item(), 1e-3 if value > 1e-3 else 5e-5)
            for place, value in enumerate(printed.values(), start=1)
        ]
    return checks


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)

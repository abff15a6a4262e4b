"""All that a loss may look at: log-probs of sequences, of pairs, and of single rated completions.

Shapes: N examples, T completion positions (padded). Log-probs are in nats. Half-precision log-probs are
raised to fp32 on the way in, because a sum over a long completion has too few digits in bf16; float64 stays,
for gradient checks. No loss, no tokenizer and no model lives here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SequenceLogProbs:
    """Log-probs that one model gives to N sequences of tokens.

    total:  [N] nats, summed over the scored tokens.
    count:  [N] number of scored tokens: data, never inferred from values.
    tokens: [N, T] nats per token, or None where no loss asked for them.
    mask:   [N, T], true where a token is scored; given together with `tokens`.
    stats:  name -> [N, T] further per-token numbers, for losses that declare needs={"stats:NAME"}.

    Raises: ValueError where shapes disagree.
    """

    total: Tensor
    count: Tensor
    tokens: Tensor | None = None
    mask: Tensor | None = None
    stats: Mapping[str, Tensor] | None = None

    def __post_init__(self) -> None:
        if self.total.dim() != 1:
            raise ValueError(f"Shape mismatch: total {tuple(self.total.shape)}, allowed (N,): one sum each.")
        _require_same_shape("total", self.total, "count", self.count)
        if (self.tokens is None) != (self.mask is None):
            raise ValueError("tokens and mask belong together: one was given without the other.")
        if self.tokens is not None and self.mask is not None:
            _require_rows("tokens", self.tokens, len(self.total))
            _require_same_shape("tokens", self.tokens, "mask", self.mask)
            object.__setattr__(self, "tokens", _at_least_fp32(self.tokens))
        for name, values in (self.stats or {}).items():
            _require_rows(f"stats[{name!r}]", values, len(self.total))
            if self.tokens is not None:
                _require_same_shape(f"stats[{name!r}]", values, "tokens", self.tokens)
        object.__setattr__(self, "total", _at_least_fp32(self.total))

    @classmethod
    def from_tokens(cls, tokens: Tensor, mask: Tensor, stats: Mapping[str, Tensor] | None = None) -> SequenceLogProbs:
        """Sum per-token log-probs [N, T] (nats) over the mask [N, T], in fp32.

        Padding is replaced by zero rather than multiplied by it, so a padded -inf cannot become NaN.
        """
        _require_same_shape("tokens", tokens, "mask", mask)
        mask = mask.bool()
        total = _at_least_fp32(tokens).masked_fill(~mask, 0.0).sum(-1)
        return cls(total=total, count=mask.sum(-1), tokens=tokens, mask=mask, stats=stats)

    @property
    def mean(self) -> Tensor:
        """[N] nats per scored token, fp32."""
        return self.total / self.count.to(self.total.dtype)

    def __len__(self) -> int:
        return len(self.total)

    def index(self, rows: Tensor | slice) -> SequenceLogProbs:
        """The rows asked for, in their order: row numbers [M] or a slice; nats and counts stay as they are."""
        stats = None if self.stats is None else {name: v[rows] for name, v in self.stats.items()}
        return SequenceLogProbs(
            total=self.total[rows],
            count=self.count[rows],
            tokens=None if self.tokens is None else self.tokens[rows],
            mask=None if self.mask is None else self.mask[rows],
            stats=stats,
        )


@dataclass(frozen=True, eq=False)
class PairBatch:
    """N pairs of a chosen and a rejected completion of the same prompt: the input of a pairwise loss.

    chosen, rejected:         log-probs under the policy, with gradient.
    ref_chosen, ref_rejected: the same under the reference, without gradient (needs={"reference"}).
    prompt:                   log-probs of the prompt's tokens under the policy (needs={"prompt"}).
    step, max_steps:          the optimizer step and how many there will be, for schedules.
    scores:                   [N, 2] ratings of chosen and rejected from the suite (needs={"scores"}).
    generator, state:         a private random generator and a dict that lives for the whole cell (names of
                              tensors without gradient, numbers, text); a loss that uses either must register
                              with batch_coupled=True.

    Raises: ValueError where shapes disagree or a completion has no scored token.
    """

    chosen: SequenceLogProbs
    rejected: SequenceLogProbs
    ref_chosen: SequenceLogProbs | None = None
    ref_rejected: SequenceLogProbs | None = None
    prompt: SequenceLogProbs | None = None
    step: int = 0
    max_steps: int = 0
    scores: Tensor | None = None
    generator: torch.Generator | None = None
    state: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("rejected", "ref_chosen", "ref_rejected", "prompt"):
            _require_same_length("chosen", self.chosen, name, getattr(self, name))
        if (self.ref_chosen is None) != (self.ref_rejected is None):
            raise ValueError("ref_chosen and ref_rejected belong together: one was given without the other.")
        _require_scored("chosen", self.chosen)
        _require_scored("rejected", self.rejected)
        if self.scores is not None and tuple(self.scores.shape) != (len(self), 2):
            raise ValueError(f"Shape mismatch: scores {tuple(self.scores.shape)}, allowed {(len(self), 2)}.")

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def chosen_log_ratio(self) -> Tensor:
        """[N] nats: log-prob of the chosen completion under the policy minus under the reference."""
        return self.chosen.total - _given_reference(self.ref_chosen).total

    @property
    def rejected_log_ratio(self) -> Tensor:
        """[N] nats: log-prob of the rejected completion under the policy minus under the reference."""
        return self.rejected.total - _given_reference(self.ref_rejected).total

    @property
    def margin(self) -> Tensor:
        """[N] nats: the chosen completion's summed log-ratio minus the rejected one's; h in the formulas."""
        return self.chosen_log_ratio - self.rejected_log_ratio

    @property
    def mean_margin(self) -> Tensor:
        """[N] nats: the chosen completion's log-ratio per scored token minus the rejected one's."""
        return self.chosen_log_ratio / self.chosen.count - self.rejected_log_ratio / self.rejected.count

    def index(self, rows: Tensor | slice) -> PairBatch:
        """The rows asked for, row numbers [M] or a slice, in nats and counts; generator and state are shared."""
        sides = ("chosen", "rejected", "ref_chosen", "ref_rejected", "prompt")
        picked: dict[str, Any] = {name: _index_or_none(getattr(self, name), rows) for name in sides}
        return replace(self, **picked, scores=None if self.scores is None else self.scores[rows])


@dataclass(frozen=True, eq=False)
class ExampleBatch:
    """N single completions, each rated desirable or not: the input of a pointwise loss.

    policy, reference: log-probs of the completions; the reference carries no gradient (needs={"reference"}).
    desirable:         [N] bool, required.
    kl:                scalar nats >= 0: the log-ratio of the policy on mismatched prompt-completion rows, measured
                       over the whole optimizer batch without gradient (needs={"mismatched"}).
    scores:            [N] ratings from the suite (needs={"scores"}).
    prompt, step, max_steps, generator, state: as in `PairBatch`.

    Raises: ValueError where shapes disagree, `desirable` is not bool, or a completion has no scored token.
    """

    policy: SequenceLogProbs
    reference: SequenceLogProbs | None = None
    # Required, but it stands behind a field that is not; `__post_init__` refuses its absence.
    desirable: Tensor = None  # type: ignore[assignment]
    kl: Tensor | None = None
    prompt: SequenceLogProbs | None = None
    step: int = 0
    max_steps: int = 0
    scores: Tensor | None = None
    generator: torch.Generator | None = None
    state: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("reference", "prompt"):
            _require_same_length("policy", self.policy, name, getattr(self, name))
        _require_scored("policy", self.policy)
        if self.desirable is None or self.desirable.dtype != torch.bool:
            seen = "None" if self.desirable is None else str(self.desirable.dtype)
            raise ValueError(f"desirable is {seen}, allowed: a bool tensor [N], true for a wanted answer.")
        _require_same_shape("policy.total", self.policy.total, "desirable", self.desirable)
        if self.kl is not None:
            kl = torch.as_tensor(self.kl, dtype=self.policy.total.dtype, device=self.policy.total.device)
            if kl.dim() != 0:
                raise ValueError(f"Shape mismatch: kl {tuple(kl.shape)}, allowed (): one number a batch.")
            object.__setattr__(self, "kl", kl)
        if self.scores is not None:
            _require_same_shape("policy.total", self.policy.total, "scores", self.scores)

    def __len__(self) -> int:
        return len(self.policy)

    @property
    def log_ratio(self) -> Tensor:
        """[N] nats: log-prob of each completion under the policy minus under the reference."""
        return self.policy.total - _given_reference(self.reference).total

    def index(self, rows: Tensor | slice) -> ExampleBatch:
        """The rows asked for, row numbers [M] or a slice, in nats and counts; kl, generator and state are shared."""
        sides = ("policy", "reference", "prompt")
        picked: dict[str, Any] = {name: _index_or_none(getattr(self, name), rows) for name in sides}
        scores = None if self.scores is None else self.scores[rows]
        return replace(self, **picked, desirable=self.desirable[rows], scores=scores)


def _at_least_fp32(values: Tensor) -> Tensor:
    """Half precision raised to fp32; fp32 and float64 unchanged (the same tensor). Raises: ValueError."""
    if not values.is_floating_point():
        raise ValueError(f"log-probs are {values.dtype}, allowed: floating-point tensors of nats.")
    return values.float() if values.dtype.itemsize < 4 else values


def _require_same_shape(left: str, a: Tensor, right: str, b: Tensor) -> None:
    """Two tensors of one shape. Raises: ValueError with both shapes."""
    if a.shape != b.shape:
        raise ValueError(f"Shape mismatch: {left} {tuple(a.shape)} and {right} {tuple(b.shape)}.")


def _require_rows(name: str, values: Tensor, rows: int) -> None:
    """Per-token numbers, [rows, T]. Raises: ValueError with the shape seen."""
    if values.dim() != 2 or len(values) != rows:
        raise ValueError(f"Shape mismatch: {name} {tuple(values.shape)}, allowed ({rows}, T).")


def _require_same_length(left: str, a: SequenceLogProbs, right: str, b: SequenceLogProbs | None) -> None:
    if b is not None:
        _require_same_shape(left, a.total, right, b.total)


def _require_scored(name: str, side: SequenceLogProbs) -> None:
    """At least one scored token a row. Raises: ValueError with the first row that has none."""
    if bool((side.count < 1).any()):
        row = int((side.count < 1).nonzero()[0])
        raise ValueError(
            f"{name} has {int(side.count[row])} scored tokens in row {row}, allowed: at least 1. "
            "Drop rows with an empty answer before batching."
        )


def _given_reference(reference: SequenceLogProbs | None) -> SequenceLogProbs:
    """The reference of a loss that compares with one. Raises: ValueError where the batch has none."""
    if reference is None:
        raise ValueError(
            "the batch carries no reference log-probs, but the loss compares with them; "
            'register the loss with needs={"reference"}, or fill in the reference of the batch.'
        )
    return reference


def _index_or_none(side: SequenceLogProbs | None, rows: Tensor | slice) -> SequenceLogProbs | None:
    return None if side is None else side.index(rows)

"""TRL's own loss code, called in-process on given log-probs: no training, no tokenizer, no real model.

A trainer is made without its __init__ and given only the attributes that its loss reads; the model is a
stand-in whose answers are the wanted log-probs.
"""

import os
from collections import defaultdict
from types import SimpleNamespace

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # read when trl.experimental is imported

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402
from trl.experimental.cpo import CPOTrainer  # noqa: E402
from trl.experimental.orpo import ORPOTrainer  # noqa: E402
from trl.trainer.dpo_trainer import DPOTrainer  # noqa: E402
from trl.trainer.kto_trainer import KTOTrainer  # noqa: E402
from trl.trainer.utils import FusedCausalLMOutput  # noqa: E402

from losses import ExampleBatch, PairBatch, SequenceLogProbs  # noqa: E402
from losses.rewards import log1mexp  # noqa: E402

PROMPT = 3  # tokens of a prompt, where its log-probs do not matter
MISMATCHED_ID = 7  # the token id of mismatched sequences, by which the stand-in knows them
TOKEN_ID = 1


def dpo(pair: PairBatch, loss_type: str, **settings) -> Tensor:
    """DPOTrainer._compute_loss; settings are attributes of the trainer, discopop_tau excepted."""
    trainer = _trainer(DPOTrainer, discopop_tau=settings.pop("discopop_tau", 0.05))
    defaults = {
        "beta": 0.1,
        "label_smoothing": 0.0,
        "ld_alpha": None,
        "use_weighting": False,
        "f_divergence_type": "reverse_kl",
        "f_alpha_divergence_coef": 0.5,
    }
    assert set(settings) <= set(defaults)
    vars(trainer).update(defaults, loss_types=[loss_type], loss_weights=[1.0], **settings)
    trainer.ref_model = _fused(_stacked(pair.ref_chosen, pair.ref_rejected))
    mask = torch.cat([pair.chosen.mask, pair.rejected.mask])
    stats = None
    if settings.get("use_weighting"):
        stats = torch.cat([side.stats["log_sum_p2"] for side in (pair.chosen, pair.rejected)])
    model = _fused(_stacked(pair.chosen, pair.rejected), stats)
    inputs = {"input_ids": _ids(mask), "attention_mask": _ids(mask), "completion_mask": _completions(mask)}
    return trainer._compute_loss(model, inputs, return_outputs=False)


def kto(batch: ExampleBatch, loss_type: str, *, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0) -> Tensor:
    """KTOTrainer._compute_loss; the mismatched answers have the batch's `kl` as their log-ratio, each."""
    trainer = _trainer(KTOTrainer)
    vars(trainer).update(
        beta=beta,
        desirable_weight=desirable_weight,
        undesirable_weight=undesirable_weight,
        loss_type=loss_type,
        calculate_KL=loss_type == "kto",
    )
    mask = batch.policy.mask
    drift = torch.zeros(mask.shape)
    if batch.kl is not None:
        drift[:, 0] = batch.kl
    model = _fused(_scored(batch.policy), mismatched=_placed(drift))
    trainer.ref_model = _fused(_scored(batch.reference), mismatched=_placed(torch.zeros(mask.shape)))
    inputs = {"input_ids": _ids(mask), "attention_mask": _ids(mask), "completion_mask": _completions(mask)}
    inputs |= {f"KL_{name}": value for name, value in inputs.items()} | {"label": batch.desirable}
    inputs["KL_input_ids"] = torch.full_like(inputs["input_ids"], MISMATCHED_ID)
    return trainer._compute_loss(model, inputs, return_outputs=False)


def cpo(pair: PairBatch, loss_type: str, *, beta=0.1, simpo_gamma=0.5, alpha=0.0, cpo_alpha=1.0) -> Tensor:
    """CPOTrainer.get_batch_loss_metrics."""
    trainer = _trainer(CPOTrainer, is_encoder_decoder=False, pad_token_id=0)
    vars(trainer).update(
        beta=beta, simpo_gamma=simpo_gamma, alpha=alpha, cpo_alpha=cpo_alpha, loss_type=loss_type, label_smoothing=0.0
    )
    return _with_logits(trainer, pair)


def orpo(pair: PairBatch, *, beta=0.1) -> Tensor:
    """ORPOTrainer.get_batch_loss_metrics."""
    return _with_logits(_trainer(ORPOTrainer, is_encoder_decoder=False, padding_value=0, beta=beta), pair)


def orpo_odds(chosen: Tensor, rejected: Tensor, *, beta=0.1) -> Tensor:
    """ORPOTrainer.odds_ratio_loss: beta*ls(log odds ratio) of mean log-probs [N]."""
    return _trainer(ORPOTrainer, beta=beta).odds_ratio_loss(chosen, rejected)[0]


class _Idle(torch.nn.Module):
    """The trainer's own model, of which the losses only ask for its mode."""

    is_gradient_checkpointing = False


def _trainer(kind: type, discopop_tau: float = 0.05, **attributes):
    trainer = object.__new__(kind)
    accelerator = SimpleNamespace(device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x)
    vars(trainer).update(
        accelerator=accelerator,
        aux_loss_enabled=False,
        precompute_ref_logps=False,
        _tp_size=1,
        _total_train_tokens=0,
        _metrics=defaultdict(lambda: defaultdict(list)),
        args=SimpleNamespace(discopop_tau=discopop_tau, gradient_checkpointing_kwargs=None),
        model=_Idle(),
        **attributes,
    )
    return trainer


def _fused(log_probs: Tensor, stats: Tensor | None = None, mismatched: Tensor | None = None):
    """A model with TRL's fused head: it answers with the log-probs of the scored tokens, 0 elsewhere."""

    def answer(input_ids: Tensor, attention_mask: Tensor, labels: Tensor, use_cache: bool, fused_lm_head: bool):
        is_mismatched = bool((input_ids == MISMATCHED_ID).all())
        nats = mismatched if is_mismatched else log_probs
        zeros = torch.zeros(labels[:, 1:].shape)
        return FusedCausalLMOutput(
            log_probs=nats.masked_fill(labels[:, 1:] == -100, 0.0),
            entropy=zeros,
            mean_logits=zeros,
            log_sum_sq_probs=None if stats is None else _placed(stats),
            is_top1=zeros.bool(),
        )

    return answer


def _scored(side: SequenceLogProbs) -> Tensor:
    return _placed(side.tokens.masked_fill(~side.mask, 0.0))


def _stacked(chosen: SequenceLogProbs, rejected: SequenceLogProbs) -> Tensor:
    return torch.cat([_scored(chosen), _scored(rejected)])


def _placed(tokens: Tensor) -> Tensor:
    """[N, T] of the answer -> [N, PROMPT + T - 1], where position t holds the log-prob of token t + 1."""
    return F.pad(tokens, (PROMPT - 1, 0))


def _ids(mask: Tensor) -> Tensor:
    return F.pad(mask.long(), (PROMPT, 0), value=TOKEN_ID)


def _completions(mask: Tensor) -> Tensor:
    return F.pad(mask.long(), (PROMPT, 0))


def _with_logits(trainer, pair: PairBatch) -> Tensor:
    """The loss of a trainer that computes log-softmax itself, here over a vocabulary of two."""
    rows = [_row(pair, side, i) for side in (pair.chosen, pair.rejected) for i in range(len(pair))]
    width = max(len(nats) for nats, _ in rows)
    nats = torch.stack([F.pad(nats, (0, width - len(nats)), value=-1.0) for nats, _ in rows])
    # The other token has the rest of the probability, so that log-softmax changes nothing.
    logits = F.pad(torch.stack([log1mexp(nats), nats], dim=-1), (0, 0, 0, 1))
    ids = torch.stack([F.pad(torch.full((len(nats) + 1,), TOKEN_ID), (0, width - len(nats))) for nats, _ in rows])
    labels = torch.stack([F.pad(labels, (0, width - len(nats)), value=-100) for nats, labels in rows])
    batch = {}
    for name, part in (("chosen", slice(0, len(pair))), ("rejected", slice(len(pair), None))):
        batch[f"{name}_input_ids"] = ids[part]
        batch[f"{name}_attention_mask"] = (ids[part] == TOKEN_ID).long()
        batch[f"{name}_labels"] = labels[part]

    def answer(input_ids: Tensor, attention_mask: Tensor, use_cache: bool):
        assert torch.equal(input_ids, ids)
        return SimpleNamespace(logits=logits)

    return trainer.get_batch_loss_metrics(answer, batch)[0]


def _row(pair: PairBatch, side: SequenceLogProbs, i: int) -> tuple[Tensor, Tensor]:
    """Log-probs of all tokens but the first of prompt + answer, and the labels of all, -100 in the prompt."""
    prompt = pair.prompt.tokens[i][pair.prompt.mask[i]]
    answer = side.tokens[i][side.mask[i]]
    ignored = torch.full((len(prompt) + 1,), -100)
    return torch.cat([prompt, answer]), torch.cat([ignored, torch.full((len(answer),), TOKEN_ID)])

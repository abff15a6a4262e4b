"""What HALOs, LLaMA-Factory and OpenRLHF compute from the log-probs of one micro-batch; the list of all peers.

Written anew from their source, to be read beside ours. TRL's part is in `parity_trl`; how a peer is compared, in
`parity`.

Letters: c, r = summed log-probs of the chosen and rejected completion under the policy (nats), a, d = their
log-ratios to the reference, h = a - d, nc, nr = numbers of scored tokens; ls = log sigmoid. Keyword defaults
are the library's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.batch import ExampleBatch, PairBatch, SequenceLogProbs
from losses.checks.parity import Peer, held
from losses.checks.parity_trl import TOKEN_MEAN, TRL, cut, kto, sft, smoothed

# Library -> the version whose source was read in full for its offline preference losses.
LIBRARIES = {
    "TRL": "1.16.0",
    "HALOs": "commit 2f136e0",
    "LLaMA-Factory": "0.9.5, with TRL 0.24.0, the newest that it allows",
    "OpenRLHF": "0.11.2",
}

# (our loss, library) -> why there is no peer although the library has the loss, or part of it.
NOT_COMPARED = {
    ("sft", "LLaMA-Factory"): "not read: the Trainer of transformers computes it",
    ("bco", "LLaMA-Factory"): "only as a term beside another loss (pref_bco_weight), with its own running mean",
}

HALOS = "train/trainers.py"
FACTORY = "llamafactory/train/dpo/trainer.py"
FACTORY_KTO = "llamafactory/train/kto/trainer.py"
OPENRLHF = "openrlhf/models/loss.py"


def halos_dpo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """-ls(beta*a - beta*d); [] nats."""
    return -F.logsigmoid(beta * pair.chosen_log_ratio - beta * pair.rejected_log_ratio).mean()


def halos_cdpo(pair: PairBatch, *, beta: float = 0.1, epsilon: float = 0.2) -> Tensor:
    """-(1 - e)*ls(beta*h) - e*ls(-beta*h); [] nats."""
    return smoothed(beta * pair.margin, epsilon)


def halos_ipo(pair: PairBatch, *, tau: float = 0.1) -> Tensor:
    """(a/nc - d/nr - 1/(2*tau))^2, where nc counts the tokens whose log-ratio is not 0; [] squared nats."""
    chosen = _mean_of_nonzero(_token_log_ratios(pair.chosen, pair.ref_chosen), pair.chosen)
    rejected = _mean_of_nonzero(_token_log_ratios(pair.rejected, pair.ref_rejected), pair.rejected)
    return (chosen - rejected - 0.5 / tau).square().mean()


def halos_simpo(pair: PairBatch, *, beta: float = 10.0, gamma_beta_ratio: float = 0.3) -> Tensor:
    """-ls(beta*(c/nc - r/nr - gamma_beta_ratio)), where nc counts the tokens whose log-prob is not 0; [] nats."""
    chosen = _mean_of_nonzero(held(pair.chosen.tokens), pair.chosen)
    rejected = _mean_of_nonzero(held(pair.rejected.tokens), pair.rejected)
    return -F.logsigmoid(beta * (chosen - rejected - gamma_beta_ratio)).mean()


def halos_slic(pair: PairBatch, *, beta: float = 1.0, lambda_coef: float = 0.1) -> Tensor:
    """max(0, beta - c + r) - lambda_coef * (c over all positions of the padded row, prompt included); [] nats.

    The hinge is [N], the likelihood [N, T]: only a micro-batch of one pair has a sum of both.
    """
    hinge = F.relu(beta - pair.chosen.total + pair.rejected.total)
    positions = held(pair.prompt).count + torch.maximum(pair.chosen.count, pair.rejected.count)
    return (hinge - lambda_coef * pair.chosen.total / positions).squeeze(0)


def halos_kto(
    batch: ExampleBatch, *, beta: float = 0.1, desirable_weight: float = 1.0, undesirable_weight: float = 1.0
) -> Tensor:
    """As TRL's; [] no unit. Its z leaves out mismatched completions of log-ratio 0, of which the fixed set has none."""
    return kto(batch, beta=beta, desirable_weight=desirable_weight, undesirable_weight=undesirable_weight)


def factory_sigmoid(pair: PairBatch, *, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """-(1 - e)*ls(beta*h) - e*ls(-beta*h): the loss type that TRL's `dpo_loss` falls back on; [] nats."""
    return smoothed(beta * pair.margin, label_smoothing)


def factory_ipo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """-ls(beta*(a/nc - d/nr)): the log-probs are per token, as for ipo, but the loss is sigmoid; [] nats."""
    return -F.logsigmoid(beta * pair.mean_margin).mean()


def factory_ld_dpo(pair: PairBatch, *, beta: float = 0.1, alpha: float = 1.0) -> Tensor:
    """-ls(beta*(a' - d')): tokens after the first min(nc, nr) weigh alpha, 1 in the reference; [] nats."""
    shared = torch.minimum(pair.chosen.count, pair.rejected.count)
    margin = cut(pair.chosen, shared, alpha) - cut(pair.rejected, shared, alpha)
    return -F.logsigmoid(beta * (margin - held(pair.ref_chosen).total + held(pair.ref_rejected).total)).mean()


def factory_simpo(pair: PairBatch, *, beta: float = 0.1, simpo_gamma: float = 0.5) -> Tensor:
    """-ls(beta*(c/nc - r/nr) - simpo_gamma); [] nats."""
    return -F.logsigmoid(beta * (pair.chosen.mean - pair.rejected.mean) - simpo_gamma).mean()


def factory_orpo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """-c/nc - beta*ls(log odds ratio), with log1p(-exp(x)) as it stands; [] nats."""
    chosen, rejected = pair.chosen.mean, pair.rejected.mean
    log_odds = chosen - rejected - torch.log1p(-chosen.exp()) + torch.log1p(-rejected.exp())
    return (-chosen - beta * F.logsigmoid(log_odds)).mean()


def openrlhf_dpo(pair: PairBatch, *, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """-(1 - e)*ls(beta*h) - e*ls(-beta*h); [] nats."""
    return smoothed(beta * pair.margin, label_smoothing)


def openrlhf_ipo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """(h - 1/(2*beta))^2, sums over tokens; [] squared nats."""
    return (pair.margin - 0.5 / beta).square().mean()


def _token_log_ratios(policy: SequenceLogProbs, reference: SequenceLogProbs | None) -> Tensor:
    return held(policy.tokens) - held(held(reference).tokens)


def _mean_of_nonzero(tokens: Tensor, side: SequenceLogProbs) -> Tensor:
    scored = tokens.masked_fill(~held(side.mask), 0.0)
    return scored.sum(-1) / (scored != 0).sum(-1)


EPSILON = {"settings": lambda ours: {"epsilon": ours["label_smoothing"]}}
NOT_HANDED_ON = "pref_loss is not handed on to TRL since its 0.20: sigmoid is trained"

PEERS = TRL + tuple(
    Peer(ours, library, called, fn, source, **more)
    for ours, library, called, fn, source, more in (
        ("dpo", "HALOs", "DPOTrainer", halos_dpo, HALOS, {}),
        ("cdpo", "HALOs", "CDPOTrainer", halos_cdpo, HALOS, EPSILON),
        ("ipo", "HALOs", "IPOTrainer", halos_ipo, HALOS, {"settings": lambda ours: {"tau": ours["beta"]}}),
        (
            "ipo_sum",
            "HALOs",
            "IPOTrainer",
            halos_ipo,
            HALOS,
            {"settings": lambda ours: {"tau": ours["beta"]}, "why": "log-ratios per token, not summed"},
        ),
        ("simpo", "HALOs", "SimPOTrainer", halos_simpo, HALOS, {}),
        (
            "slic",
            "HALOs",
            "SLiCTrainer",
            halos_slic,
            HALOS,
            {
                "settings": lambda ours: {"beta": ours["delta"], "lambda_coef": ours["alpha"]},
                "pairs": 1,
                "why": "the likelihood is a mean over the padded row, prompt included; the shapes fit only in "
                "micro-batches of one pair",
            },
        ),
        ("kto", "HALOs", "KTOTrainer", halos_kto, HALOS, {"why": "the drift z is each micro-batch's own"}),
        ("sft", "HALOs", "SFTTrainer", sft, HALOS, {"why": TOKEN_MEAN}),
        ("dpo", "LLaMA-Factory", "pref_loss sigmoid", factory_sigmoid, FACTORY, {}),
        ("cdpo", "LLaMA-Factory", "pref_loss sigmoid, dpo_label_smoothing", factory_sigmoid, FACTORY, {}),
        ("hinge", "LLaMA-Factory", "pref_loss hinge", factory_sigmoid, FACTORY, {"why": NOT_HANDED_ON}),
        (
            "ipo",
            "LLaMA-Factory",
            "pref_loss ipo",
            factory_ipo,
            FACTORY,
            {"why": NOT_HANDED_ON + ", on log-probs per token"},
        ),
        (
            "ipo_sum",
            "LLaMA-Factory",
            "pref_loss ipo",
            factory_ipo,
            FACTORY,
            {"why": NOT_HANDED_ON + ", on log-probs per token"},
        ),
        (
            "ld_dpo",
            "LLaMA-Factory",
            "pref_loss sigmoid, ld_alpha",
            factory_ld_dpo,
            FACTORY,
            {"why": "the reference's tokens are not weighted"},
        ),
        (
            "simpo",
            "LLaMA-Factory",
            "pref_loss simpo",
            factory_simpo,
            FACTORY,
            {
                "settings": lambda ours: {"simpo_gamma": ours["gamma_beta_ratio"] * ours["beta"]},
                "as_it_comes": "simpo_gamma is gamma itself, and beta 0.1: a target of 5 nats a token",
            },
        ),
        ("orpo", "LLaMA-Factory", "pref_loss orpo", factory_orpo, FACTORY, {}),
        (
            "orpo_prompt_nll",
            "LLaMA-Factory",
            "pref_loss orpo",
            factory_orpo,
            FACTORY,
            {"why": "the likelihood is that of the answer alone"},
        ),
        ("kto", "LLaMA-Factory", "stage kto", kto, FACTORY_KTO, {"why": "the drift z is each micro-batch's own"}),
        ("dpo", "OpenRLHF", "DPOLoss", openrlhf_dpo, OPENRLHF, {}),
        ("cdpo", "OpenRLHF", "DPOLoss, label_smoothing", openrlhf_dpo, OPENRLHF, {}),
        ("ipo", "OpenRLHF", "DPOLoss, ipo", openrlhf_ipo, OPENRLHF, {"why": "log-ratios summed, not per token"}),
        ("ipo_sum", "OpenRLHF", "DPOLoss, ipo", openrlhf_ipo, OPENRLHF, {}),
        (
            "sft",
            "OpenRLHF",
            "SFTLoss",
            sft,
            OPENRLHF,
            {"pairs": 0, "why": "a mean over the tokens of the optimizer batch, so long answers weigh more"},
        ),
    )
)

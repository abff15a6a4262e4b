"""What TRL 1.16.0 computes from the log-probs of one micro-batch, loss by loss.

Written anew from its formulas, to be read beside ours; the tests hold each of them to TRL's own code.

Letters: c, r = summed log-probs of the chosen and rejected completion under the policy (nats), a, d = their
log-ratios to the reference, h = a - d, nc, nr = numbers of scored tokens; ls = log sigmoid. Keyword defaults
are TRL's.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.batch import ExampleBatch, PairBatch, SequenceLogProbs
from losses.checks.parity import Peer, held

DPO = "trl/trainer/dpo_trainer.py"
KTO = "trl/trainer/kto_trainer.py"
CPO = "trl/experimental/cpo/cpo_trainer.py"
ORPO = "trl/experimental/orpo/orpo_trainer.py"


def sigmoid(pair: PairBatch, *, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """-ls(beta*h); [] nats. label_smoothing is accepted and not read."""
    return -F.logsigmoid(beta * pair.margin).mean()


def hinge(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """max(0, 1 - beta*h); [] no unit."""
    return F.relu(1.0 - beta * pair.margin).mean()


def ipo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """(a/nc - d/nr - 1/(2*beta))^2; [] squared nats."""
    return (pair.mean_margin - 0.5 / beta).square().mean()


def sigmoid_norm(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """-ls(beta*(a/nc - d/nr)); [] nats."""
    return -F.logsigmoid(beta * pair.mean_margin).mean()


def exo_pair(pair: PairBatch, *, beta: float = 0.1, label_smoothing: float = 1e-3) -> Tensor:
    """KL of (s(x), s(-x)) to (1 - e, e), x = beta*h; [] nats. TRL refuses its own default e = 0; 1e-3 is its advice."""
    x, e = beta * pair.margin, torch.tensor(label_smoothing)
    kept = x.sigmoid() * (F.logsigmoid(x) - torch.log1p(-e))
    swapped = (-x).sigmoid() * (F.logsigmoid(-x) - e.log())
    return (kept + swapped).mean()


def nca_pair(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """-ls(beta*a) - ls(-beta*a)/2 - ls(-beta*d)/2; [] nats."""
    a, d = beta * pair.chosen_log_ratio, beta * pair.rejected_log_ratio
    return -(F.logsigmoid(a) + 0.5 * (F.logsigmoid(-a) + F.logsigmoid(-d))).mean()


def robust(pair: PairBatch, *, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """(e*ls(-x) - (1 - e)*ls(x))/(1 - 2e), x = beta*h; [] nats."""
    x, e = beta * pair.margin, label_smoothing
    return ((e * F.logsigmoid(-x) - (1.0 - e) * F.logsigmoid(x)) / (1.0 - 2.0 * e)).mean()


def bco_pair(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """-ls(beta*a) - ls(-beta*d), without a shift; [] nats."""
    return -(F.logsigmoid(beta * pair.chosen_log_ratio) + F.logsigmoid(-beta * pair.rejected_log_ratio)).mean()


def sppo_hard(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """(a - 1/(2*beta))^2 + (d + 1/(2*beta))^2; [] squared nats."""
    target = 0.5 / beta
    return ((pair.chosen_log_ratio - target).square() + (pair.rejected_log_ratio + target).square()).mean()


def aot(pair: PairBatch, *, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """-ls(beta*(sort(c - r) - sort(rc - rr))), sorted within the micro-batch; [] nats."""
    policy = pair.chosen.total - pair.rejected.total
    reference = held(pair.ref_chosen).total - held(pair.ref_rejected).total
    return smoothed(beta * (policy.sort().values - reference.sort().values), label_smoothing)


def aot_unpaired(pair: PairBatch, *, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """-ls(beta*(sort(a) - sort(d))), sorted within the micro-batch; [] nats."""
    chosen, rejected = pair.chosen_log_ratio.sort().values, pair.rejected_log_ratio.sort().values
    return smoothed(beta * (chosen - rejected), label_smoothing)


def apo_zero(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """1 - s(beta*a) + s(beta*d); [] no unit."""
    return (1.0 - (beta * pair.chosen_log_ratio).sigmoid() + (beta * pair.rejected_log_ratio).sigmoid()).mean()


def apo_down(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """s(beta*a) + 1 - s(beta*h); [] no unit."""
    return ((beta * pair.chosen_log_ratio).sigmoid() + 1.0 - (beta * pair.margin).sigmoid()).mean()


def discopop(pair: PairBatch, *, beta: float = 0.1, tau: float = 0.05) -> Tensor:
    """-ls(x)*(1 - m) + exp(-x)*m, x = beta*h, m = s(x/tau); the exponential is multiplied as it stands; [] no unit."""
    x = beta * pair.margin
    m = (x / tau).sigmoid()
    return (torch.exp(-x) * m - F.logsigmoid(x) * (1.0 - m)).mean()


def sft(pair: PairBatch) -> Tensor:
    """Mean over all scored tokens of the micro-batch's chosen completions; [] nats."""
    return _token_mean(pair.chosen)


def forward_kl(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """-ls(beta*(exp(-d) - exp(-a))), not bounded; [] nats."""
    scores = torch.exp(-pair.rejected_log_ratio) - torch.exp(-pair.chosen_log_ratio)
    return -F.logsigmoid(beta * scores).mean()


def js_divergence(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """-ls(beta*(ls(a) - ls(d))); [] nats."""
    scores = F.logsigmoid(pair.chosen_log_ratio) - F.logsigmoid(pair.rejected_log_ratio)
    return -F.logsigmoid(beta * scores).mean()


def alpha_divergence(pair: PairBatch, *, beta: float = 0.1, alpha: float = 0.5) -> Tensor:
    """-ls(beta*(exp(p*a) - exp(p*d))/p), p = alpha - 1, exponents clamped at 80; [] nats."""
    power = alpha - 1.0
    chosen = (power * pair.chosen_log_ratio).clamp(max=80.0).exp()
    rejected = (power * pair.rejected_log_ratio).clamp(max=80.0).exp()
    return -F.logsigmoid(beta * (chosen - rejected) / power).mean()


def ld_dpo(pair: PairBatch, *, beta: float = 0.1, alpha: float = 1.0) -> Tensor:
    """-ls(beta*(a' - d')): tokens after the first min(nc, nr) weigh alpha, in policy and reference; [] nats."""
    shared = torch.minimum(pair.chosen.count, pair.rejected.count)
    chosen = cut(pair.chosen, shared, alpha) - cut(held(pair.ref_chosen), shared, alpha)
    rejected = cut(pair.rejected, shared, alpha) - cut(held(pair.ref_rejected), shared, alpha)
    return -F.logsigmoid(beta * (chosen - rejected)).mean()


def wpo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """-w(chosen)*w(rejected)*ls(beta*h), w = exp(mean_t(l_t - log sum of squared probabilities)), detached; [] nats."""
    weight = torch.exp(_weight(pair.chosen) + _weight(pair.rejected)).detach()
    return -(weight * F.logsigmoid(beta * pair.margin)).mean()


def kto(
    batch: ExampleBatch, *, beta: float = 0.1, desirable_weight: float = 1.0, undesirable_weight: float = 1.0
) -> Tensor:
    """1 - s(beta*(g - z)) where desirable, else 1 - s(beta*(z - g)), weighted; [] no unit. z >= 0, per micro-batch."""
    share = (beta * (batch.log_ratio - held(batch.kl).clamp(min=0.0))).sigmoid()
    return torch.where(batch.desirable, desirable_weight * (1.0 - share), undesirable_weight * share).mean()


def apo_zero_unpaired(batch: ExampleBatch, *, beta: float = 0.1) -> Tensor:
    """1 - s(beta*g) where desirable, else s(beta*g); [] no unit."""
    share = (beta * batch.log_ratio).sigmoid()
    return torch.where(batch.desirable, 1.0 - share, share).mean()


def cpo(pair: PairBatch, *, beta: float = 0.1, cpo_alpha: float = 1.0) -> Tensor:
    """-ls(beta*(c - r)) + cpo_alpha * mean over all tokens of the micro-batch's chosen completions; [] nats."""
    contrast = -F.logsigmoid(beta * (pair.chosen.total - pair.rejected.total)).mean()
    return contrast + cpo_alpha * _token_mean(pair.chosen)


def cpo_hinge(pair: PairBatch, *, beta: float = 0.1, cpo_alpha: float = 1.0) -> Tensor:
    """max(0, 1 - beta*(c - r)) + cpo_alpha * mean over all chosen tokens of the micro-batch; [] no unit."""
    contrast = F.relu(1.0 - beta * (pair.chosen.total - pair.rejected.total)).mean()
    return contrast + cpo_alpha * _token_mean(pair.chosen)


def cpo_simpo(
    pair: PairBatch, *, beta: float = 0.1, simpo_gamma: float = 0.5, alpha: float = 0.0, cpo_alpha: float = 1.0
) -> Tensor:
    """-ls(beta*(u - v) - simpo_gamma) + cpo_alpha * mean over the chosen tokens of the micro-batch; [] nats.

    u, v: mean log-probs of chosen and rejected, or with an alpha (1 - p^-alpha)/alpha of p = exp(mean).
    """
    chosen, rejected = pair.chosen.mean, pair.rejected.mean
    if alpha != 0.0:
        chosen, rejected = ((1.0 - side.exp().pow(-alpha)) / alpha for side in (chosen, rejected))
    contrast = -F.logsigmoid(beta * (chosen - rejected) - simpo_gamma).mean()
    return contrast + (cpo_alpha * _token_mean(pair.chosen) if cpo_alpha else 0.0)


def orpo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """Mean over prompt and chosen tokens of the micro-batch, minus beta*ls(log odds ratio); [] nats."""
    prompt = held(pair.prompt)
    total = (prompt.total + pair.chosen.total).sum() / (prompt.count + pair.chosen.count).sum()
    chosen, rejected = pair.chosen.mean, pair.rejected.mean
    log_odds = (chosen - rejected) - (_log1mexp(chosen) - _log1mexp(rejected))
    return -total - beta * F.logsigmoid(log_odds).mean()


def smoothed(x: Tensor, e: float) -> Tensor:
    """-(1 - e)*ls(x) - e*ls(-x) of x [N] nats, a share e of labels taken for wrong; [] nats."""
    return -((1.0 - e) * F.logsigmoid(x) + e * F.logsigmoid(-x)).mean()


def _token_mean(side: SequenceLogProbs) -> Tensor:
    return -side.total.sum() / side.count.sum()


def cut(side: SequenceLogProbs, shared: Tensor, alpha: float) -> Tensor:
    """[N] nats: the sum over the first `shared` [N] scored tokens, plus alpha times that over the others."""
    mask = held(side.mask)
    weights = mask * torch.where(mask.cumsum(-1) <= shared[:, None], 1.0, alpha)
    return (held(side.tokens) * weights).sum(-1)


def _weight(side: SequenceLogProbs) -> Tensor:
    relative = held(side.tokens) - held(side.stats)["log_sum_p2"]
    return (relative * held(side.mask)).sum(-1) / side.count


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) in two branches, both evaluated everywhere: the unused one's gradient is inf near 0."""
    return torch.where(x < -0.6931472, torch.log1p(-x.exp()), torch.log(-torch.expm1(x)))


def _gamma(ours: Mapping[str, float]) -> dict[str, float]:
    return {"simpo_gamma": ours["gamma_beta_ratio"] * ours["beta"], "cpo_alpha": ours.get("alpha", 0.0), "alpha": 0.0}


def _alphapo(ours: Mapping[str, float]) -> dict[str, float]:
    return {"simpo_gamma": ours["gamma_beta_ratio"] * ours["beta"], "cpo_alpha": 0.0}


def _slic(ours: Mapping[str, float]) -> dict[str, float]:
    """TRL's ranking term is ours over delta, so the likelihood is too: the whole loss is ours over delta."""
    return {"beta": 1.0 / ours["delta"], "cpo_alpha": ours["alpha"] / ours["delta"]}


TOKEN_MEAN = "the likelihood is a mean over the tokens of a micro-batch, so long answers weigh more"
SORTED = "sorts within a micro-batch"
GAMMA = "simpo_gamma is gamma itself, and cpo_alpha is 1, which adds a likelihood term"

TRL = tuple(
    Peer(ours, "TRL", called, fn, source, **more)
    for ours, called, fn, source, more in (
        ("dpo", "DPO sigmoid", sigmoid, DPO, {}),
        (
            "cdpo",
            "DPO sigmoid, label_smoothing",
            sigmoid,
            DPO,
            {"why": "label_smoothing is accepted and ignored: this is dpo"},
        ),
        ("robust", "DPO robust", robust, DPO, {}),
        ("hinge", "DPO hinge", hinge, DPO, {}),
        ("ipo", "DPO ipo", ipo, DPO, {}),
        ("ipo_sum", "DPO ipo", ipo, DPO, {"why": "log-ratios per token, not summed"}),
        ("ln_dpo", "DPO sigmoid_norm", sigmoid_norm, DPO, {}),
        ("exo_pair", "DPO exo_pair", exo_pair, DPO, {}),
        ("nca_pair", "DPO nca_pair", nca_pair, DPO, {}),
        ("bco_pair", "DPO bco_pair", bco_pair, DPO, {}),
        ("sppo_hard", "DPO sppo_hard", sppo_hard, DPO, {}),
        ("aot", "DPO aot", aot, DPO, {"why": SORTED}),
        ("aot_unpaired", "DPO aot_unpaired", aot_unpaired, DPO, {"why": SORTED}),
        ("apo_zero", "DPO apo_zero", apo_zero, DPO, {}),
        ("apo_down", "DPO apo_down", apo_down, DPO, {}),
        ("discopop", "DPO discopop", discopop, DPO, {}),
        ("dpo_forward_kl", "DPO sigmoid, f_divergence_type=forward_kl", forward_kl, DPO, {}),
        ("dpo_js", "DPO sigmoid, f_divergence_type=js_divergence", js_divergence, DPO, {}),
        ("dpo_alpha", "DPO sigmoid, f_divergence_type=alpha_divergence", alpha_divergence, DPO, {}),
        ("ld_dpo", "DPO sigmoid, ld_alpha", ld_dpo, DPO, {}),
        ("wpo", "DPO sigmoid, use_weighting", wpo, DPO, {}),
        ("sft", "DPO sft", sft, DPO, {"why": TOKEN_MEAN}),
        ("kto", "KTO kto", kto, KTO, {"why": "the drift z is each micro-batch's own"}),
        ("apo_zero_unpaired", "KTO apo_zero_unpaired", apo_zero_unpaired, KTO, {}),
        ("cpo", "CPO sigmoid", cpo, CPO, {"settings": lambda ours: {"cpo_alpha": ours["alpha"]}, "why": TOKEN_MEAN}),
        ("slic", "CPO hinge", cpo_hinge, CPO, {"settings": _slic, "why": TOKEN_MEAN}),
        ("simpo", "CPO simpo, cpo_alpha=0", cpo_simpo, CPO, {"settings": _gamma, "as_it_comes": GAMMA}),
        ("cpo_simpo", "CPO simpo", cpo_simpo, CPO, {"settings": _gamma, "why": TOKEN_MEAN, "as_it_comes": GAMMA}),
        ("alphapo", "CPO alphapo", cpo_simpo, CPO, {"settings": _alphapo}),
        (
            "orpo",
            "ORPO",
            orpo,
            ORPO,
            {"why": "the likelihood is a mean over the prompt and answer tokens of a micro-batch"},
        ),
        ("orpo_prompt_nll", "ORPO", orpo, ORPO, {"why": TOKEN_MEAN}),
    )
)

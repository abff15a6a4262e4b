"""Our losses, and what parity_trl.py says of TRL's, against TRL's own code on the same log-probs.

Values agree to 1e-5 and gradients to 1e-6 (`Reading.equals`), or the difference itself is asserted.
"""

import math
from dataclasses import replace

import pytest
import torch

import losses
from losses.checks import parity
from losses.checks.parity import compare, fixed_set, read_ours, read_peer
from losses.checks.parity_trl import TRL, cut, smoothed

pytest.importorskip("trl", reason="parity with TRL needs the dev extra")

from tests.losses import trl_code  # noqa: E402  (imports trl)

PEER = {peer.ours: peer for peer in TRL}
# Our loss -> TRL's code for it, as a function of a micro-batch and the settings of its entry in parity_trl.py.
CODE = {
    "dpo": lambda pair, **s: trl_code.dpo(pair, "sigmoid", **s),
    "cdpo": lambda pair, **s: trl_code.dpo(pair, "sigmoid", **s),
    "robust": lambda pair, **s: trl_code.dpo(pair, "robust", **s),
    "hinge": lambda pair, **s: trl_code.dpo(pair, "hinge", **s),
    "ipo": lambda pair, **s: trl_code.dpo(pair, "ipo", **s),
    "ipo_sum": lambda pair, **s: trl_code.dpo(pair, "ipo", **s),
    "ln_dpo": lambda pair, **s: trl_code.dpo(pair, "sigmoid_norm", **s),
    "exo_pair": lambda pair, label_smoothing=1e-3, **s: trl_code.dpo(
        pair, "exo_pair", label_smoothing=label_smoothing, **s
    ),
    "nca_pair": lambda pair, **s: trl_code.dpo(pair, "nca_pair", **s),
    "bco_pair": lambda pair, **s: trl_code.dpo(pair, "bco_pair", **s),
    "sppo_hard": lambda pair, **s: trl_code.dpo(pair, "sppo_hard", **s),
    "aot": lambda pair, **s: trl_code.dpo(pair, "aot", **s),
    "aot_unpaired": lambda pair, **s: trl_code.dpo(pair, "aot_unpaired", **s),
    "apo_zero": lambda pair, **s: trl_code.dpo(pair, "apo_zero", **s),
    "apo_down": lambda pair, **s: trl_code.dpo(pair, "apo_down", **s),
    "discopop": lambda pair, tau=0.05, **s: trl_code.dpo(pair, "discopop", discopop_tau=tau, **s),
    "dpo_forward_kl": lambda pair, **s: trl_code.dpo(pair, "sigmoid", f_divergence_type="forward_kl", **s),
    "dpo_js": lambda pair, **s: trl_code.dpo(pair, "sigmoid", f_divergence_type="js_divergence", **s),
    "dpo_alpha": lambda pair, alpha=0.5, **s: trl_code.dpo(
        pair, "sigmoid", f_divergence_type="alpha_divergence", f_alpha_divergence_coef=alpha, **s
    ),
    "ld_dpo": lambda pair, alpha=None, **s: trl_code.dpo(pair, "sigmoid", ld_alpha=alpha, **s),
    "wpo": lambda pair, **s: trl_code.dpo(pair, "sigmoid", use_weighting=True, **s),
    "sft": lambda pair, **s: trl_code.dpo(pair, "sft", **s),
    "kto": lambda batch, **s: trl_code.kto(batch, "kto", **s),
    "apo_zero_unpaired": lambda batch, **s: trl_code.kto(batch, "apo_zero_unpaired", **s),
    "cpo": lambda pair, **s: trl_code.cpo(pair, "sigmoid", **s),
    "slic": lambda pair, **s: trl_code.cpo(pair, "hinge", **s),
    "simpo": lambda pair, **s: trl_code.cpo(pair, "simpo", **s),
    "cpo_simpo": lambda pair, **s: trl_code.cpo(pair, "simpo", **s),
    "alphapo": lambda pair, **s: trl_code.cpo(pair, "simpo", **s),
    "orpo": trl_code.orpo,
    "orpo_prompt_nll": trl_code.orpo,
}


def real(name: str, settings=None, *, pairs=None, case=parity.ORDINARY) -> parity.Reading:
    """TRL's code at our hyper-parameters (or at `settings`), in micro-batches as parity.py reads peers."""
    peer, loss = PEER[name], losses.get(name)
    if settings is None:
        settings = peer.settings_like(loss.defaults)
    peer = replace(peer, fn=CODE[name], pairs=peer.pairs if pairs is None else pairs)
    return read_peer(peer, loss, settings, case=case)


def test_every_entry_of_trl_is_held_to_its_code():
    assert list(CODE) == [peer.ours for peer in TRL]


@pytest.mark.parametrize("name", CODE)
def test_the_formula_printed_for_trl_is_what_its_code_computes(name):
    parity_ = compare(PEER[name])
    assert real(name).equals(parity_.theirs)
    assert real(name, {}).equals(parity_.as_it_comes)  # at TRL's own defaults


@pytest.mark.parametrize("name", [name for name in CODE if not PEER[name].why])
def test_our_loss_is_what_trls_code_computes(name):
    assert read_ours(losses.get(name)).equals(real(name))


@pytest.mark.parametrize("name", [name for name in CODE if PEER[name].why])
def test_where_we_differ_on_purpose_trls_code_does_differ(name):
    ours, theirs = read_ours(losses.get(name)), real(name)
    assert ours.is_finite and theirs.is_finite
    assert not ours.equals(theirs)


def test_trls_sigmoid_ignores_label_smoothing_and_so_is_dpo_and_not_cdpo():
    assert real("cdpo", {"label_smoothing": 0.3}).equals(real("dpo"))
    assert read_ours(losses.get("dpo")).equals(real("cdpo"))


@pytest.mark.parametrize("name", ["kto", "aot", "aot_unpaired"])
def test_losses_over_a_batch_agree_where_trls_micro_batch_is_the_whole_batch(name):
    assert read_ours(losses.get(name)).equals(real(name, pairs=parity.PAIRS))


def test_robust_divides_by_one_minus_twice_the_smoothing_as_trl_does():
    start = real("robust", {"label_smoothing": 0.25}, case=parity.START)
    plain = real("dpo", case=parity.START)
    assert torch.allclose(start.gradients[0], 2.0 * plain.gradients[0])


@pytest.mark.parametrize(
    ("name", "term", "weight"), [("cpo", "nll", 1.0), ("cpo_simpo", "nll", 0.05), ("slic", "nll", 0.1)]
)
def test_likelihood_terms_differ_from_trls_by_the_token_mean_alone(name, term, weight):
    loss = losses.get(name)
    batch = fixed_set(loss).batch
    ours = loss.terms[term](batch, **loss.defaults).mean().item()
    micro = [batch.chosen.index(slice(i, i + 2)) for i in (0, 2)]
    token_mean = -sum((m.total.sum() / m.count.sum()).item() for m in micro) / 2
    gap = real(name).value - read_ours(loss).value
    assert gap == pytest.approx(weight * token_mean - ours, abs=1e-5)


def test_slic_at_another_margin_is_trls_hinge_times_that_margin():
    loss, ours = losses.get("slic"), {"delta": 2.0, "alpha": 0.1}
    value = loss.fn(fixed_set(loss).batch, **ours).mean().item()
    # in micro-batches of one pair, whose token mean is its own
    assert 2.0 * real("slic", PEER["slic"].settings_like(ours), pairs=1).value == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("name", ["cpo", "slic", "cpo_simpo"])
def test_the_prompt_is_no_part_of_trls_cpo_likelihood(name):
    assert real(name).gradients[2].abs().max() == 0.0
    assert real("orpo").gradients[2].abs().max() > 0.0


def test_trls_orpo_averages_the_likelihood_over_prompt_and_answer_tokens_of_a_micro_batch():
    loss = losses.get("orpo")
    batch = fixed_set(loss).batch
    odds = loss.terms["odds"](batch, **loss.defaults).mean().item()
    nll = []
    for rows in (slice(0, 2), slice(2, 4)):
        sides = batch.prompt.index(rows), batch.chosen.index(rows)
        nll.append(-sum(s.total.sum() for s in sides).item() / sum(s.count.sum() for s in sides).item())
    assert real("orpo").value == pytest.approx(odds + sum(nll) / 2, abs=1e-5)


def test_trls_orpo_has_no_gradient_near_certainty_and_ours_has():
    theirs = torch.tensor([-1e-8], requires_grad=True)
    value = trl_code.orpo_odds(theirs, torch.tensor([-1.0]))
    value.sum().backward()
    assert value.isfinite().all() and theirs.grad.isnan().all()

    ours = torch.tensor([-1e-8], requires_grad=True)
    sides = [losses.SequenceLogProbs(total=t, count=torch.tensor([1])) for t in (ours, torch.tensor([-1.0]))]
    odds = losses.get("orpo").terms["odds"](losses.PairBatch(*sides), beta=0.1)
    odds.sum().backward()
    assert odds.item() == pytest.approx(-value.item(), rel=1e-4)
    assert ours.grad.isfinite().all()


@pytest.mark.parametrize("mean", [-1e-6, -1e-3, -0.5, -0.7, -5.0, -50.0])
def test_the_odds_term_is_trls_away_from_certainty(mean):
    gradients, values = [], []
    for ours in (True, False):
        chosen = torch.tensor([mean], requires_grad=True)
        if ours:
            sides = [losses.SequenceLogProbs(total=t, count=torch.tensor([1])) for t in (chosen, torch.tensor([-1.0]))]
            value = losses.get("orpo").terms["odds"](losses.PairBatch(*sides), beta=0.1)
        else:
            value = -trl_code.orpo_odds(chosen, torch.tensor([-1.0]))
        value.sum().backward()
        values.append(value.item())
        gradients.append(chosen.grad.item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-5, abs=1e-6)


def test_simpo_in_trl_is_simpo_only_without_its_default_likelihood_term():
    peer, loss = PEER["simpo"], losses.get("simpo")
    like = peer.settings_like(loss.defaults)
    assert read_ours(loss).equals(real("simpo", like))
    with_default = real("simpo", {key: value for key, value in like.items() if key != "cpo_alpha"})
    assert with_default.value - read_ours(loss).value == pytest.approx(real("sft").value, abs=1e-5)


@pytest.mark.parametrize("name", ["discopop", "dpo_forward_kl", "alphapo"])
def test_ours_stays_finite_where_trls_exponentials_overflow(name):
    (lost,) = (case for case, nats in parity.EDGES.items() if nats == -400.0)
    assert read_ours(losses.get(name), case=lost).is_finite
    assert not compare(PEER[name]).breaks[lost].is_finite
    if name != "alphapo":  # a log-prob of -400 cannot be given to TRL's softmax over two tokens
        assert not real(name, case=lost).is_finite


def test_smoothing_mixes_both_labels_and_a_cut_weighs_what_comes_after_it():
    x = torch.tensor([0.0, 2.0])
    # ls(0) = -ln 2 either way; at 2: 0.75 * 0.126928 + 0.25 * 2.126928
    assert float(smoothed(x, 0.25)) == pytest.approx((math.log(2.0) + 0.626928) / 2, abs=1e-6)
    tokens = torch.tensor([[-1.0, -2.0, -4.0, -9.0], [-1.0, -2.0, -9.0, -9.0]])
    mask = torch.tensor([[True, True, True, False], [True, True, False, False]])
    side = losses.SequenceLogProbs.from_tokens(tokens, mask)
    assert cut(side, torch.tensor([1, 2]), 0.5).tolist() == [-4.0, -3.0]

"""What every loss must do, built in or plugged in: one suite for all of them."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
import torch

import losses

PLUGINS = {"my_hinge": "hinge.py", "my_pointwise": "pointwise.py", "my_centred": "pointwise.py"}
BUILT_IN = ("dpo", "ipo", "ipo_sum", "kto", "simpo", "orpo", "orpo_prompt_nll", "sft")
MEANS = (0.0, -1e-8, -1e-3, -1.0, -50.0, -2000.0)  # nats a token


@pytest.fixture(params=[*BUILT_IN, *PLUGINS])
def loss(request, forgetful_registry, plugin_folder) -> Iterator[losses.Loss]:
    if request.param in PLUGINS:
        losses.load_plugin(str(plugin_folder / PLUGINS[request.param]))
    return losses.get(request.param)


def random_batch(loss, n=6, seed=5, equal=False):
    make = losses.random_pairs if loss.kind == "pairwise" else losses.random_examples
    return make(n, seed=seed, needs=loss.needs, equal=equal)


def policy_sides(batch) -> list[str]:
    sides = ["chosen", "rejected"] if isinstance(batch, losses.PairBatch) else ["policy"]
    return sides + (["prompt"] if batch.prompt is not None else [])


def cast(batch, dtype):
    """The batch with every log-prob in another dtype, its policy sums as leaves."""
    every = ("chosen", "rejected", "ref_chosen", "ref_rejected", "policy", "reference", "prompt")
    changed = {}
    for name in (name for name in every if getattr(batch, name, None) is not None):
        side = getattr(batch, name)
        total = side.total.detach().to(dtype).requires_grad_(name in policy_sides(batch))
        changed[name] = losses.SequenceLogProbs(total=total, count=side.count)
    return replace(batch, **changed)


def gradients(loss, batch, **hyperparameters) -> torch.Tensor:
    """[sides, N] gradient of the summed loss with respect to the policy's summed log-probs."""
    totals = [getattr(batch, name).total for name in policy_sides(batch)]
    value = loss.fn(batch, **hyperparameters).sum()
    return torch.stack(torch.autograd.grad(value, totals, allow_unused=True, materialize_grads=True))


def settings(loss) -> list[dict[str, float]]:
    """The defaults, and every value of the literature grid on its own."""
    return [{}] + [{key: value} for key, values in loss.grid.items() for value in values]


def extreme_batch(loss):
    """Every combination of the extreme means for both answers and two references; 1 and 40 tokens."""
    rows = list(product(MEANS, MEANS, (0.0, -2000.0), (1, 40)))
    columns = [torch.tensor(column) for column in zip(*rows, strict=True)]
    first, second, reference, count = columns

    def side(mean, leaf):
        total = (mean * count).clamp(min=-2000.0).requires_grad_(leaf)
        return losses.SequenceLogProbs(total=total, count=count)

    prompt = side(second, True) if "prompt" in loss.needs else None
    if loss.kind == "pairwise":
        sides = (side(first, True), side(second, True), side(reference, False), side(second, False))
        return losses.PairBatch(*sides, prompt=prompt)
    desirable = torch.arange(len(rows)) % 3 == 0
    kl = torch.tensor(2000.0)
    return losses.ExampleBatch(side(first, True), side(reference, False), desirable, kl=kl, prompt=prompt)


def test_it_passes_the_probe_at_its_defaults_and_over_its_grid(loss):
    for hyperparameters in settings(loss):
        losses.probe(loss, hyperparameters)


def test_it_returns_one_fp32_value_per_example(loss):
    values = loss.fn(random_batch(loss))
    assert values.shape == (6,)
    assert values.dtype == torch.float32


def test_half_precision_log_probs_give_fp32_values_near_the_exact_ones(loss):
    batch = random_batch(loss)
    half = cast(batch, torch.bfloat16)
    values = loss.fn(half)
    assert values.dtype == torch.float32
    exact = cast(half, torch.float64)  # the same rounded log-probs, then exact arithmetic
    torch.testing.assert_close(values, loss.fn(exact).float(), rtol=1e-4, atol=1e-5)


def test_values_and_gradients_stay_finite_at_the_extremes(loss):
    batch = extreme_batch(loss)
    for hyperparameters in settings(loss):
        assert loss.fn(batch, **hyperparameters).isfinite().all(), hyperparameters
        assert gradients(loss, batch, **hyperparameters).isfinite().all(), hyperparameters


def test_gradients_agree_with_finite_differences(loss):
    if loss.name == "my_centred":
        pytest.skip("detaches its batch mean, so differences of the value see more than the gradient")
    batch = cast(random_batch(loss), torch.float64)
    names = policy_sides(batch)

    def values(*totals):
        changed = {n: replace(getattr(batch, n), total=t) for n, t in zip(names, totals, strict=True)}
        return loss.fn(replace(batch, **changed))

    assert torch.autograd.gradcheck(values, [getattr(batch, name).total for name in names])


def test_the_order_of_the_batch_does_not_matter(loss):
    batch = random_batch(loss)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(loss.fn(batch.index(order)), loss.fn(batch)[order])


def test_any_split_of_the_batch_gives_the_same_values_and_gradients(loss):
    if loss.batch_coupled:
        pytest.skip("declared batch-coupled: the trainer evaluates it on the whole optimizer batch")
    batch = random_batch(loss)
    values, slopes = loss.fn(batch), gradients(loss, batch)
    for rows in ([0, 1, 2], [3, 4, 5], [0, 2, 4], [5]):
        part = batch.index(torch.tensor(rows))
        torch.testing.assert_close(loss.fn(part), values[rows])
        torch.testing.assert_close(gradients(loss, part), slopes[:, rows])


def test_at_the_start_it_pushes_wanted_answers_up_and_unwanted_ones_down(loss):
    batch = random_batch(loss, equal=True)
    slopes = gradients(loss, batch)
    if loss.kind == "pairwise":
        wanted, unwanted = slopes[0], slopes[1]
    else:
        wanted, unwanted = slopes[0][batch.desirable], slopes[0][~batch.desirable]
    assert (wanted < 0).all()
    assert (unwanted >= 0).all()


def test_a_better_margin_lowers_the_loss_at_the_start(loss):
    batch = cast(random_batch(loss, equal=True), torch.float32)
    side = "chosen" if loss.kind == "pairwise" else "policy"
    sequences = getattr(batch, side)
    gain = torch.full_like(sequences.total, 0.01)
    if loss.kind == "pointwise":
        gain = torch.where(batch.desirable, gain, -gain)
    better = replace(batch, **{side: replace(sequences, total=sequences.total + gain)})
    if loss.batch_coupled:
        assert loss.fn(better).mean() < loss.fn(batch).mean()
    else:
        assert (loss.fn(better) < loss.fn(batch)).all()


def test_every_declared_hyperparameter_acts(loss):
    batch = random_batch(loss)
    base = loss.fn(batch)
    for name, default in loss.defaults.items():
        assert not torch.allclose(loss.fn(batch, **{name: 1.5 * default}), base), name


def test_an_undeclared_hyperparameter_is_refused_by_check_and_by_the_function(loss):
    with pytest.raises(ValueError, match="has no hyper-parameter 'nonsense'"):
        losses.check_hyperparameters(loss, {"nonsense": 1.0})
    with pytest.raises(TypeError, match="nonsense"):
        loss.fn(random_batch(loss), nonsense=1.0)


def test_its_batch_is_left_as_it_was(loss):
    batch = random_batch(loss)
    before = {name: getattr(batch, name).total.detach().clone() for name in policy_sides(batch)}
    loss.fn(batch)
    assert all(torch.equal(getattr(batch, name).total, total) for name, total in before.items())


def test_its_terms_add_up_to_it_over_the_grid(loss):
    batch = random_batch(loss)
    for hyperparameters in settings(loss) if loss.terms else []:
        full = losses.check_hyperparameters(loss, hyperparameters)
        total = sum(term(batch, **full) for term in loss.terms.values())
        torch.testing.assert_close(total, loss.fn(batch, **full))


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_losses_cite_show_and_explain_themselves(name):
    loss = losses.get(name)
    assert loss.paper
    assert loss.formula
    assert loss.verified
    assert "Conventions:" in loss.fn.__doc__
    for key, values in loss.grid.items():
        assert loss.defaults[key] in values


def test_every_name_computes_a_gradient_of_its_own(forgetful_registry, plugin_folder):
    for file in set(PLUGINS.values()):
        losses.load_plugin(str(plugin_folder / file))
    seen = {}
    for name in (*BUILT_IN, *PLUGINS):
        loss = losses.get(name)
        full = losses.random_pairs(6, seed=5, needs={"reference", "prompt"})
        batch = full if loss.kind == "pairwise" else losses.ExampleBatch(
            full.chosen, full.ref_chosen, torch.arange(6) % 2 == 0, kl=torch.tensor(0.5)
        )  # fmt: skip
        # up to scale, because a factor would vanish under AdamW; the chosen side is common to all kinds
        slope = gradients(loss, batch)[0]
        seen[name] = slope / slope.norm()
    for one, other in product(seen, seen):
        if one < other:
            assert not torch.allclose(seen[one], seen[other], rtol=1e-3, atol=1e-5), (one, other)

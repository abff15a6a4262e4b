"""What every loss must do, built in or plugged in: one suite for all of them."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
import torch

import losses
from losses.checks.probe import with_leaves

PLUGINS = {"my_hinge": "hinge.py", "my_pointwise": "pointwise.py", "my_centred": "pointwise.py"}
BUILT_IN = losses.names()
MEANS = (0.0, -1e-8, -1e-3, -1.0, -50.0, -2000.0)  # nats a token

# What a loss does otherwise than most, with the reason; each has a test of its own that shows it.
NO_DIFFERENCES = {
    "my_centred": "detaches its batch mean, so differences of the value see more than the gradient",
    "wpo": "detaches its weights, so differences of the value see more than the gradient",
}
BY_PLACE = {"sampo": "draws tokens by place in the batch"}
HOLDS_BACK = {
    "apo_down": "at the start its two forces on the chosen answer cancel",
    "discopop": "rises with the margin around 0 at its default tau",
}
NOT_BETTER = HOLDS_BACK | {"wpo": "a likelier answer also weighs more"}
SAME_FORMULA = {("apo_zero", "apo_zero_unpaired"), ("hinge", "my_hinge"), ("bco_pair", "my_pointwise")}


@pytest.fixture(params=[*BUILT_IN, *PLUGINS])
def loss(request, forgetful_registry, plugin_folder) -> Iterator[losses.Loss]:
    if request.param in PLUGINS:
        losses.load_plugin(str(plugin_folder / PLUGINS[request.param]))
    return losses.get(request.param)


def random_batch(loss, n=6, seed=5, equal=False):
    make = losses.random_pairs if loss.kind == "pairwise" else losses.random_examples
    return with_leaves(make(n, seed=seed, needs=loss.needs, equal=equal)).batch


def policy_sides(batch) -> list[str]:
    sides = ["chosen", "rejected"] if isinstance(batch, losses.PairBatch) else ["policy"]
    return sides + (["prompt"] if batch.prompt is not None else [])


def leaf_of(side) -> torch.Tensor:
    """[N] sums, or [N, T] tokens where the side has them: what a gradient is taken by."""
    return side.total if side.tokens is None else side.tokens


def on_leaf(side, leaf) -> losses.SequenceLogProbs:
    """The side with another leaf; sums follow from tokens."""
    if side.tokens is None:
        return losses.SequenceLogProbs(total=leaf, count=side.count)
    return losses.SequenceLogProbs.from_tokens(leaf, side.mask, side.stats)


def cast(batch, dtype):
    """The batch with every log-prob in another dtype, its policy log-probs as leaves."""
    every = ("chosen", "rejected", "ref_chosen", "ref_rejected", "policy", "reference", "prompt")
    changed = {}
    for name in (name for name in every if getattr(batch, name, None) is not None):
        side = getattr(batch, name)
        changed[name] = on_leaf(side, leaf_of(side).detach().to(dtype).requires_grad_(name in policy_sides(batch)))
    return replace(batch, **changed)


def evaluate(loss, batch, **hyperparameters) -> torch.Tensor:
    """[N] with a fresh generator, so that two calls draw the same numbers."""
    return loss.fn(replace(batch, generator=torch.Generator().manual_seed(7)), **hyperparameters)


def gradients(loss, batch, **hyperparameters) -> torch.Tensor:
    """[sides, N] gradient of the summed loss by the policy's log-probs, tokens of an answer added up."""
    rooted, leaves = with_leaves(batch)
    value = evaluate(loss, rooted, **hyperparameters).sum()
    slopes = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return torch.stack([slope if slope.dim() == 1 else slope.sum(-1) for slope in slopes])


def settings(loss) -> list[dict[str, float]]:
    """The defaults, and every value of the literature grid on its own."""
    return [{}] + [{key: value} for key, values in loss.grid.items() for value in values]


def extreme_side(loss, mean, count, leaf) -> losses.SequenceLogProbs:
    """Answers of `count` [N] equal tokens at `mean` [N] nats, sums down to -2000."""
    total = (mean * count).clamp(min=-2000.0)
    if "tokens" not in loss.needs:
        return losses.SequenceLogProbs(total=total.requires_grad_(leaf), count=count)
    mask = torch.arange(40) < count[:, None]
    tokens = (total / count)[:, None].expand(-1, 40).clone()
    stats = {"log_sum_p2": tokens.clamp(min=-10.0)} if leaf else None
    return losses.SequenceLogProbs.from_tokens(tokens.requires_grad_(leaf), mask, stats)


def extreme_batch(loss):
    """Every combination of the extreme means for both answers and of two for each reference; 1 and 40 tokens."""
    rows = list(product(MEANS, MEANS, (0.0, -2000.0), (0.0, -2000.0), (1, 40)))
    first, second, reference, other, count = (torch.tensor(column) for column in zip(*rows, strict=True))
    common = {
        "prompt": extreme_side(loss, second, count, True) if "prompt" in loss.needs else None,
        "state": {},
        "generator": torch.Generator(),
        "step": 3,
        "max_steps": 10,
    }
    if loss.kind == "pairwise":
        policy = [extreme_side(loss, mean, count, True) for mean in (first, second)]
        references = [extreme_side(loss, mean, count, False) for mean in (reference, other)]
        return losses.PairBatch(*policy, *references, **common)
    desirable = torch.arange(len(rows)) % 3 == 0
    sides = (extreme_side(loss, first, count, True), extreme_side(loss, reference, count, False))
    return losses.ExampleBatch(*sides, desirable, kl=torch.tensor(2000.0), **common)


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
    values = evaluate(loss, half)
    assert values.dtype == torch.float32
    exact = cast(half, torch.float64)  # the same rounded log-probs, then exact arithmetic
    torch.testing.assert_close(values, evaluate(loss, exact).float(), rtol=1e-4, atol=1e-5)


def test_values_and_gradients_stay_finite_at_the_extremes(loss):
    batch = extreme_batch(loss)
    for hyperparameters in settings(loss):
        assert evaluate(loss, batch, **hyperparameters).isfinite().all(), hyperparameters
        assert gradients(loss, batch, **hyperparameters).isfinite().all(), hyperparameters


def test_gradients_agree_with_finite_differences(loss):
    if loss.name in NO_DIFFERENCES:
        pytest.skip(NO_DIFFERENCES[loss.name])
    batch = cast(random_batch(loss), torch.float64)
    names = policy_sides(batch)

    def values(*leaves):
        changed = {n: on_leaf(getattr(batch, n), leaf) for n, leaf in zip(names, leaves, strict=True)}
        return evaluate(loss, replace(batch, **changed))

    assert torch.autograd.gradcheck(values, [leaf_of(getattr(batch, name)) for name in names])


def test_the_order_of_the_batch_does_not_matter(loss):
    if loss.name in BY_PLACE:
        pytest.skip(BY_PLACE[loss.name])
    batch = random_batch(loss)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(evaluate(loss, batch.index(order)), evaluate(loss, batch)[order])


def test_any_split_of_the_batch_gives_the_same_values_and_gradients(loss):
    if loss.batch_coupled:
        pytest.skip("declared batch-coupled: the trainer evaluates it on the whole optimizer batch")
    batch = random_batch(loss)
    values, slopes = loss.fn(batch), gradients(loss, batch)
    for rows in ([0, 1, 2], [3, 4, 5], [0, 2, 4], [5]):
        part = with_leaves(batch.index(torch.tensor(rows))).batch
        torch.testing.assert_close(loss.fn(part), values[rows])
        torch.testing.assert_close(gradients(loss, part), slopes[:, rows])


def test_at_the_start_it_pushes_wanted_answers_up_and_unwanted_ones_down(loss):
    batch = random_batch(loss, equal=True)
    slopes = gradients(loss, batch)
    if loss.kind == "pairwise":
        wanted, unwanted = slopes[0], slopes[1]
    else:
        wanted, unwanted = slopes[0][batch.desirable], slopes[0][~batch.desirable]
    assert (wanted < 0).all() != (loss.name in HOLDS_BACK)
    assert (unwanted >= 0).all() or loss.name == "discopop"


def test_a_better_margin_lowers_the_loss_at_the_start(loss):
    batch = cast(random_batch(loss, equal=True), torch.float32)
    side = "chosen" if loss.kind == "pairwise" else "policy"
    sequences = getattr(batch, side)
    gain = torch.full_like(sequences.total, 0.01)
    if loss.kind == "pointwise":
        gain = torch.where(batch.desirable, gain, -gain)
    leaf = leaf_of(sequences).detach()
    risen = leaf + gain if leaf.dim() == 1 else leaf + (gain / sequences.count)[:, None]
    better = replace(batch, **{side: on_leaf(sequences, risen)})
    before, after = evaluate(loss, batch), evaluate(loss, better)
    if loss.name in NOT_BETTER:
        assert not (after < before).all()
    elif loss.batch_coupled:
        assert after.mean() < before.mean()
    else:
        assert (after < before).all()


def test_every_declared_hyperparameter_acts(loss):
    batch = random_batch(loss)
    base = evaluate(loss, batch)
    for name, default in loss.defaults.items():
        fresh = replace(batch, state={})
        assert not torch.allclose(evaluate(loss, fresh, **{name: 1.5 * default}), base), name


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
    assert "Source:" in loss.fn.__doc__ and "Conventions:" in loss.fn.__doc__
    assert re.search(r"returns \[N\],? (nats|squared nats|without unit)", loss.fn.__doc__)
    for key, values in loss.grid.items():
        assert loss.defaults[key] in values


def test_every_name_computes_a_gradient_of_its_own(forgetful_registry, plugin_folder):
    for file in set(PLUGINS.values()):
        losses.load_plugin(str(plugin_folder / file))
    seen = {}
    for name in (*BUILT_IN, *PLUGINS):
        loss = losses.get(name)
        # up to scale, because a factor would vanish under AdamW; at one strength, because that is no name
        slope = gradients(loss, common_batch(loss), **{key: 1.0 for key in loss.defaults if key == "beta"})
        slope = slope[:2].flatten()
        seen[name] = slope / slope.norm()
    for one, other in product(seen, seen):
        if one < other and (one, other) not in SAME_FORMULA:
            assert not torch.allclose(seen[one], seen[other], rtol=1e-3, atol=1e-5), (one, other)


def common_batch(loss):
    """The same 6 pairs for every loss; as 12 single answers for a pointwise one."""
    needs = {"reference", "prompt", "tokens", "stats:log_sum_p2"}
    pairs = losses.random_pairs(6, seed=6, needs=needs)  # the ranks of both models differ
    if loss.kind == "pairwise":
        return with_leaves(pairs).batch

    def both(one, other):
        tokens, mask = torch.cat([one.tokens, other.tokens]), torch.cat([one.mask, other.mask])
        return losses.SequenceLogProbs.from_tokens(tokens, mask)

    policy, reference = both(pairs.chosen, pairs.rejected), both(pairs.ref_chosen, pairs.ref_rejected)
    desirable = torch.arange(12) < 6
    examples = losses.ExampleBatch(policy, reference, desirable, kl=torch.tensor(0.5), state={})
    return with_leaves(examples).batch

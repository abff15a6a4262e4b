"""The probe refuses losses that do not keep the promises of their registration."""

import pytest
import torch

import losses

pytestmark = pytest.mark.usefixtures("forgetful_registry")


def probed(fn, **declaration) -> None:
    losses.register("probed", **declaration)(fn)
    losses.probe(losses.get("probed"), {})


def centred(pair: losses.PairBatch):
    return -(pair.chosen.total - pair.chosen.total.mean())


def neighbours(pair: losses.PairBatch):
    return -pair.chosen.total + 0.1 * pair.rejected.total.roll(1)


def swapped_twins(pair: losses.PairBatch):
    partner = torch.arange(len(pair)) ^ 1
    return -pair.chosen.total + pair.rejected.total[partner.clamp(max=len(pair) - 1)]


def gradient_only(pair: losses.PairBatch):
    mean = pair.chosen.total.mean()
    return -pair.chosen.total + mean - mean.detach()


def size_dependent(pair: losses.PairBatch):
    return -pair.chosen.total / len(pair)


def random_weight(pair: losses.PairBatch):
    return -pair.chosen.total * torch.rand(len(pair), generator=pair.generator)


def running(pair: losses.PairBatch):
    pair.state["seen"] = pair.state.get("seen", 0.0) + pair.chosen.total.detach().sum()
    return -pair.chosen.total * pair.state["seen"]


COUPLED = [centred, neighbours, swapped_twins, gradient_only, size_dependent, random_weight, running]


@pytest.mark.parametrize("fn", COUPLED, ids=lambda fn: fn.__name__)
def test_undeclared_coupling_is_refused(fn):
    with pytest.raises(ValueError, match="examples influence each other.*batch_coupled=True"):
        probed(fn)


@pytest.mark.parametrize(("fn", "what"), [(centred, "values"), (gradient_only, "gradients")])
def test_what_differs_is_named_with_the_sizes_compared(fn, what):
    with pytest.raises(ValueError, match=f"its {what} in a batch of 8 and in batches of 4 differ by up to"):
        probed(fn)


@pytest.mark.parametrize("fn", COUPLED, ids=lambda fn: fn.__name__)
def test_declared_coupling_passes(fn):
    probed(fn, batch_coupled=True)


def scalar(pair: losses.PairBatch):
    return -pair.chosen.total.mean()


def two_columns(pair: losses.PairBatch):
    return torch.stack([pair.chosen.total, pair.rejected.total], dim=-1)


def a_list(pair: losses.PairBatch):
    return [0.0] * len(pair)


def whole_numbers(pair: losses.PairBatch):
    return pair.chosen.count


def overflowing(pair: losses.PairBatch):
    return (-100.0 * pair.chosen.total - pair.rejected.total * 100.0).exp()


def detached(pair: losses.PairBatch):
    return -pair.chosen.total.detach()


def counting(pair: losses.PairBatch):
    return (pair.chosen.total < pair.rejected.total).float() + 0.0 * pair.chosen.total


def bad_slope(pair: losses.PairBatch):
    return torch.where(pair.chosen.total < 0, -pair.chosen.total, (pair.chosen.total * 0.0).sqrt())


def undeclared_reference(pair: losses.PairBatch):
    return pair.ref_chosen.total - pair.chosen.total


def undeclared_drift(batch: losses.ExampleBatch):
    return batch.kl - batch.policy.total


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (scalar, r"returns shape \(\) for 8 examples, allowed: \(8,\)"),
        (two_columns, r"returns shape \(8, 2\)"),
        (a_list, "returns list, allowed"),
        (whole_numbers, "returns torch.int64, allowed"),
        (overflowing, "returns inf on ordinary log-probs"),
        (detached, "has no gradient"),
        (counting, "has no gradient"),
        (bad_slope, "has the gradient nan on .*; where torch.where picks a branch, mask the inputs of the other one"),
        (undeclared_reference, r"AttributeError.*needs=\{\}"),
        (undeclared_drift, r"TypeError.*needs=\{\}"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_loss_that_cannot_train_is_refused(fn, message):
    with pytest.raises(ValueError, match=message):
        probed(fn)


def plain(pair: losses.PairBatch, *, beta: float = 0.1):
    return -beta * pair.chosen.total


def test_terms_that_miss_the_loss_are_refused():
    with pytest.raises(ValueError, match="its terms half miss the loss"):
        probed(plain, terms={"half": lambda pair, *, beta: -0.5 * beta * pair.chosen.total})


def test_terms_that_add_up_pass():
    def half(pair, *, beta):
        return -0.5 * beta * pair.chosen.total

    probed(plain, terms={"one": half, "other": half})


def keeping(value):
    """A loss that looks at its own rows alone, and keeps what `value` makes of them."""

    def loss(pair: losses.PairBatch):
        pair.state["kept"] = value(pair.chosen.total)
        return -pair.chosen.total

    return loss


def test_a_state_that_is_not_declared_is_refused_before_it_is_missed():
    with pytest.raises(ValueError, match="keeps 'kept' in its state; register it with batch_coupled=True"):
        probed(keeping(lambda total: 1))


@pytest.mark.parametrize("value", [torch.mean, lambda total: (1, 2), lambda total: {1: 2.0}, lambda total: {1.0}])
def test_a_state_that_a_checkpoint_does_not_give_back_is_refused(value):
    with pytest.raises(ValueError, match=r"keeps 'kept' \(\w+\) in its state as a checkpoint cannot.*detach"):
        probed(keeping(value), batch_coupled=True)


@pytest.mark.parametrize("value", [torch.Tensor.detach, torch.Tensor.tolist, lambda total: {"mean": 1.0, "of": "rows"}])
def test_a_state_of_tensors_numbers_and_text_passes(value):
    probed(keeping(value), batch_coupled=True)


def test_settings_that_a_loss_refuses_or_that_overflow_are_refused():
    losses.probe_settings(losses.get("exo_pair"), {"label_smoothing": 0.2})
    with pytest.raises(ValueError, match="exo_pair.label_smoothing is 0.0, allowed: above 0"):
        losses.probe_settings(losses.get("exo_pair"), {"label_smoothing": 0.0})
    with pytest.raises(ValueError, match="'ipo' returns inf"):
        losses.probe_settings(losses.get("ipo"), {"beta": 1e-30})


def test_hyperparameters_of_another_loss_are_refused():
    with pytest.raises(ValueError, match="'dpo' has no hyper-parameter 'gamma'"):
        losses.probe(losses.get("dpo"), {"gamma": 1.0})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad_batch_mean", "examples influence each other"),
        ("bad_scalar", r"returns shape \(\)"),
        ("bad_nan", "returns nan"),
    ],
)
def test_bad_plugin_files_load_and_are_refused_by_the_probe(plugin_folder, name, message):
    assert losses.load_plugin(str(plugin_folder / f"{name}.py")) == (name,)
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        losses.probe(losses.get(name), {})


def test_a_probe_leaves_the_global_random_numbers_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    losses.probe(losses.get("kto"), {})
    assert torch.equal(torch.get_rng_state(), before)


def test_random_batches_depend_on_the_seed_alone():
    one, same, other = (losses.random_pairs(5, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.chosen.total, same.chosen.total)
    assert not torch.equal(one.chosen.total, other.chosen.total)


def test_random_batches_carry_what_is_needed_and_nothing_else():
    bare = losses.random_pairs(5, seed=0)
    assert (bare.ref_chosen, bare.prompt, bare.scores, bare.chosen.tokens, bare.chosen.stats) == (None,) * 5
    needs = {"reference", "prompt", "scores", "tokens", "stats:entropy"}
    full = losses.random_pairs(5, seed=0, needs=needs)
    assert full.rejected.tokens.shape == full.rejected.stats["entropy"].shape
    assert full.rejected.tokens.shape == full.ref_rejected.tokens.shape
    assert full.scores.shape == (5, 2)
    assert full.prompt is not None
    assert losses.random_examples(5, seed=0).kl is None
    assert losses.random_examples(5, seed=0, needs={"mismatched"}).kl.item() == 0.5


@pytest.mark.parametrize("needs", [{"reference"}, {"reference", "tokens"}])
def test_an_equal_reference_is_equal_to_the_last_bit(needs):
    batch = losses.random_pairs(5, seed=0, needs=needs, equal=True)
    assert not batch.chosen_log_ratio.any()
    assert not batch.rejected_log_ratio.any()
    assert not batch.ref_chosen.total.requires_grad


@pytest.mark.parametrize("make", [losses.random_pairs, losses.random_examples], ids=lambda make: make.__name__)
def test_ratings_are_between_0_and_5_and_depend_on_the_seed_alone(make):
    torch.manual_seed(3)
    scores = make(400, seed=7, needs={"scores"}).scores
    assert 0.0 <= scores.min() < 0.1
    assert 4.9 < scores.max() <= 5.0
    torch.manual_seed(4)
    assert torch.equal(make(400, seed=7, needs={"scores"}).scores, scores)


@pytest.mark.parametrize("make", [losses.random_pairs, losses.random_examples], ids=lambda make: make.__name__)
def test_a_random_batch_has_a_fresh_state_and_a_generator_of_its_seed(make):
    batch = make(5, seed=7)
    assert batch.generator.initial_seed() == 7
    assert batch.state == {}


@pytest.mark.parametrize("make", [losses.random_pairs, losses.random_examples], ids=lambda make: make.__name__)
def test_a_random_prompt_is_there_where_it_is_needed(make):
    assert make(5, seed=0).prompt is None
    assert len(make(5, seed=0, needs={"prompt"}).prompt) == 5

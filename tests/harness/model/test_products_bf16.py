"""bf16 products over fp32 weights: the numbers of torch's autocast, and copies that follow the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.data.tokens import item_of
from harness.model import products_bf16
from harness.model.layout import LAYOUTS, packed
from harness.model.logprobs import Scorer
from harness.model.products_bf16 import LOW, MixedPrecision, rounded
from harness.training.loop import train
from tests.harness.architectures import VOCABULARY, adapted, build, gradients, items
from tests.harness.jobs import after_step, make_job

NAMES = ["llama", "qwen3", "gpt_neox", "gemma3", "gemma2", "gpt2", "mixtral", "olmo2"]


@pytest.fixture
def to_the_nearest(monkeypatch):
    """Weights rounded as autocast rounds them, so that all else can be compared to the bit."""
    monkeypatch.setattr(products_bf16, "rounded", lambda weight, out=None: weight.detach().to(LOW))


class Autocast(MixedPrecision):
    """torch's own way, in place of ours."""

    def __call__(self, device: str):
        return torch.autocast(device, dtype=LOW)


def scorer_of(model, kind: type[MixedPrecision], chunk: int = 2**20) -> Scorer:
    scorer = Scorer(model, "bf16", chunk=chunk)
    scorer._precision = kind(model)
    return scorer


def upstream(layout) -> torch.Tensor:
    """What a loss might send back to each log-prob."""
    return torch.randn(layout.mask.shape, generator=torch.Generator().manual_seed(1))


def both(model, layout, chunk: int = 2**20):
    """(log-probs, gradients) by torch's autocast, then by ours."""
    results = []
    for kind in (Autocast, MixedPrecision):
        model.zero_grad()
        logps = scorer_of(model, kind, chunk)(layout).logps
        (logps * upstream(layout)).sum().backward()
        results.append((logps.detach(), gradients(model)))
    return results


def assert_equal_but_rounding(expected, found) -> None:
    """Gradients that were rounded to bf16 (8 bits) at other places of their sums."""
    assert expected.keys() == found.keys() and expected
    for name in expected:
        one, two = expected[name], found[name]
        assert one.dtype == two.dtype == torch.float32
        assert (one - two).norm().item() <= 2**-6 * one.norm().item(), name


def error(found, exact) -> float:
    """Distance of gradients from the exact ones, relative, over all parameters."""
    parts = [(found[name] - exact[name]).norm() / exact[name].norm() for name in exact]
    return torch.stack(parts).square().mean().sqrt().item()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_log_probs_are_those_of_autocast_to_the_bit_and_gradients_to_bf16_rounding(name, layout, to_the_nearest):
    model, rows = build(name, sharper=2.0), LAYOUTS[layout](items(), pad=0)
    (logps, expected), (seen, found) = both(model, rows)
    assert torch.equal(logps, seen)
    assert_equal_but_rounding(expected, found)
    model.zero_grad()
    (Scorer(model)(rows).logps * upstream(rows)).sum().backward()
    exact = gradients(model)
    assert 0 < error(found, exact) <= 1.1 * error(expected, exact)


@pytest.mark.parametrize("name", NAMES)
def test_packed_rows_in_bf16_are_as_near_to_fp32_as_plain_ones(name):
    model, errors = build(name, sharper=2.0), []
    for layout in ("plain", "packed"):
        rows = LAYOUTS[layout](items(), pad=0)
        found = {}
        for precision in ("fp32", "bf16"):
            model.zero_grad()
            (Scorer(model, precision)(rows).logps * upstream(rows)).sum().backward()
            found[precision] = gradients(model)
        errors.append(error(found["bf16"], found["fp32"]))
    assert 0 < errors[1] < 1.3 * errors[0]


def test_a_head_in_chunks_adds_up_the_same_gradient(to_the_nearest):
    for model in (build("llama", sharper=2.0), build("gemma3", sharper=2.0)):
        (logps, expected), (seen, found) = both(model, packed(items(), pad=0, with_prompt=True), chunk=7 * VOCABULARY)
        assert torch.equal(logps, seen)
        assert_equal_but_rounding(expected, found)


def test_micro_batches_add_their_gradients_in_fp32():
    model = build("llama", sharper=2.0)
    scorer = Scorer(model, "bf16")
    first, second = (packed(items(seed), pad=0) for seed in (0, 1))
    alone = []
    for layout in (first, second):
        model.zero_grad()
        scorer(layout).logps.sum().backward()
        alone.append(gradients(model))
    model.zero_grad()
    for layout in (first, second):
        scorer(layout).logps.sum().backward()
    for name, total in gradients(model).items():
        torch.testing.assert_close(total, alone[0][name] + alone[1][name], rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("shape", [(3,), (300, 700), (2, 2**16), (41, 2**16 + 5)])
def test_weights_are_rounded_to_a_neighbour_without_a_shift_and_always_alike(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.02
    low = rounded(weight)
    assert low.dtype == LOW and low.shape == weight.shape
    assert ((low.float() - weight).abs() <= 2**-7 * weight.abs()).all()
    assert torch.equal(rounded(weight), low) and torch.equal(rounded(-weight), -low)
    assert torch.equal(rounded(low.float()), low)  # a bf16 number stays as it is
    if weight.numel() > 1000:
        assert 0.3 < (low != weight.to(LOW)).float().mean() * 2 < 0.7  # a quarter goes to the farther neighbour
        assert abs((low.float() - weight).mean().item()) < 2**-7 * weight.abs().mean().item() / weight.numel() ** 0.5


@pytest.mark.parametrize("start", ["bf16 numbers", "halfway between two", "anywhere"])
@pytest.mark.parametrize("size", [2.0**-16, 2.0**-13, 2.0**-10])  # relative; half a unit is 2^-9 to 2^-8
def test_a_small_update_moves_the_bf16_weights_by_as_much_in_the_mean(start, size):
    weight = torch.empty(2**20).uniform_(1, 2, generator=torch.Generator().manual_seed(0))
    if start != "anywhere":
        weight = weight.to(LOW).float() + (2.0**-8 if start == "halfway between two" else 0.0)
    moved, nearest = ((to(weight + size).float() - to(weight).float()).mean().item() for to in (rounded, _nearest))
    assert moved == pytest.approx(size, rel=0.2)
    if start == "bf16 numbers":
        assert nearest == 0  # the passes of autocast see nothing
    if start == "halfway between two":
        assert nearest == pytest.approx(2.0**-8, rel=0.01)  # and here as much from any update


def _nearest(weight: torch.Tensor) -> torch.Tensor:
    return weight.to(LOW)


def test_what_is_no_number_stays_what_it_is():
    odd = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan])
    low = rounded(odd)
    assert torch.equal(low[:4], odd[:4].to(LOW)) and low[4].isnan() and torch.signbit(low[1])


class Two(nn.Module):
    """An embedding, a map with a bias, and the embedding again as the head."""

    def __init__(self, *, tied: bool, padding: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(11, 8, padding_idx=padding)
        self.middle = nn.Linear(8, 8)
        self.head = nn.Linear(8, 11, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.middle(self.embedding(ids))))


IDS = torch.tensor([[1, 2, 3, 3, 0, 7, 0]])


def small_gradients(model: Two) -> tuple[torch.Tensor, dict, torch.Tensor, dict]:
    results = []
    for context in (torch.autocast("cpu", dtype=LOW), MixedPrecision(model)("cpu")):
        model.zero_grad()
        with context:
            output = model(IDS)
        output.float().square().sum().backward()
        results += [output.detach(), gradients(model)]
    return tuple(results)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("padding", [None, 0])
def test_embedding_head_and_bias_get_the_gradients_of_autocast(tied, padding, to_the_nearest):
    model = Two(tied=tied, padding=padding)
    output, expected, seen, found = small_gradients(model)
    assert torch.equal(output, seen)
    assert "middle.bias" in found
    assert_equal_but_rounding(expected, found)
    if not tied:  # a tied padding row still learns as a row of the head
        learnt = found["embedding.weight"].abs().sum(-1) > 0
        assert learnt.tolist() == [row in set(IDS.flatten().tolist()) - {padding} for row in range(11)]


def test_a_tied_weight_gets_the_gradient_of_both_its_uses(to_the_nearest):
    separate, tied = Two(tied=False), Two(tied=True)
    with torch.no_grad():
        separate.head.weight.copy_(tied.head.weight)
        separate.middle.load_state_dict(tied.middle.state_dict())
        separate.embedding.weight.copy_(tied.embedding.weight)
    apart, together = small_gradients(separate)[3], small_gradients(tied)[3]
    both = apart["embedding.weight"] + apart["head.weight"]
    torch.testing.assert_close(together["embedding.weight"], both, rtol=1e-6, atol=1e-6)


def test_only_rows_that_were_read_learn_and_the_padding_row_of_a_model_does_not(to_the_nearest):
    model = build("llama", sharper=2.0)
    assert model.get_input_embeddings().padding_idx == 0
    (_, expected), (_, found) = both(model, packed(items(), pad=0))
    (name,) = [name for name in found if "embed_tokens" in name]
    learnt, theirs = (gradient[name].abs().sum(-1) > 0 for gradient in (found, expected))
    assert torch.equal(learnt, theirs)
    assert not learnt[0] and learnt.any() and not learnt.all()


def output_of(model: Two, mixed: MixedPrecision) -> torch.Tensor:
    with torch.no_grad(), mixed("cpu"):
        return model(IDS)


def expected_output(model: Two) -> torch.Tensor:
    with torch.no_grad(), torch.autocast("cpu", dtype=LOW):
        return model(IDS)


def test_the_bf16_copy_is_made_again_after_an_optimizer_step(to_the_nearest):
    model = Two(tied=True)
    mixed = MixedPrecision(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    before = output_of(model, mixed)
    for _ in range(2):
        model.zero_grad()
        with mixed("cpu"):
            loss = model(IDS).float().square().sum()
        loss.backward()
        optimizer.step()
        after = output_of(model, mixed)
        assert torch.equal(after, expected_output(model)) and not torch.equal(after, before)
        before = after


def test_the_fused_step_of_the_training_loop_is_seen_by_the_next_pass(model, rows):
    scorer = Scorer(model, "bf16")
    layout = packed([item_of(row) for row in rows[:3]], pad=0)
    seen = []

    def compare(step: int) -> None:
        with torch.no_grad():
            # a new scorer has copied nothing yet
            assert torch.equal(scorer(layout).logps, Scorer(model, "bf16")(layout).logps), f"after step {step}"
            seen.append(scorer(layout).logps.sum().item())

    train(scorer, make_job(model, rows, "simpo", lr=1e-2), [after_step(compare)])
    assert len(set(seen)) == len(seen) == 3


def test_the_bf16_copy_is_made_again_after_weights_were_put_back():
    model = Two(tied=False)
    mixed = MixedPrecision(model)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    first = output_of(model, mixed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter + 1)
    assert not torch.equal(output_of(model, mixed), first)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(start[name])
    assert torch.equal(output_of(model, mixed), first)


def casts(model: nn.Module, action) -> int:
    """How many of the model's weight matrices are made bf16 while `action` runs."""
    storages = {p.untyped_storage()._cdata for p in model.parameters() if p.dim() == 2}
    made, count = products_bf16.rounded, 0

    def counting(weight: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        nonlocal count
        count += weight.untyped_storage()._cdata in storages
        return made(weight, out)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products_bf16, "rounded", counting)
        action()
    return count


def test_a_weight_is_cast_once_between_two_updates_whatever_the_number_of_micro_batches():
    model = build("llama", sharper=2.0)
    scorer = Scorer(model, "bf16", chunk=9 * VOCABULARY)
    layout = packed(items(), pad=0)
    maps = [module for module in model.modules() if isinstance(module, nn.Linear)]

    def twice() -> None:
        for _ in range(2):
            scorer(layout).logps.sum().backward()

    assert casts(model, twice) == len(maps)
    assert casts(model, twice) == 0
    with torch.no_grad():
        maps[0].weight.mul_(1.5)
    assert casts(model, twice) == 1


@pytest.mark.parametrize("make", [adapted, lambda: build("llama")], ids=["lora", "full"])
def test_copies_are_made_before_a_pass_over_the_earlier_ones_which_no_later_backward_pass_can_read(make):
    model, layout = make(), packed(items(), pad=0)
    scorer = Scorer(model, "bf16")
    stale = scorer(layout).logps.sum()
    low = {name: copy for name, (_, _, copy) in scorer._precision._copies.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    scorer(layout).logps.sum().backward()
    after = {name: copy for name, (_, _, copy) in scorer._precision._copies.items()}
    assert low.keys() == after.keys() and low and all(low[name] is after[name] for name in low)
    with pytest.raises(RuntimeError, match="updated between this forward pass and its backward"):
        stale.backward()


def test_frozen_weights_under_adapters_are_cast_once_and_get_no_gradient(to_the_nearest):
    model = adapted()
    layout = packed(items(), pad=0)
    (logps, expected), (seen, found) = both(model, layout)
    model.zero_grad()
    exact = Scorer(model)(layout).logps
    (exact * upstream(layout)).sum().backward()
    assert all("lora_" in name for name in found) and expected.keys() == found.keys()
    # One product less is rounded than in peft's forward pass, so both are held to fp32.
    assert 0 < (seen - exact).norm() <= 1.1 * (logps - exact).norm()
    assert 0 < error(found, gradients(model)) <= 1.1 * error(expected, gradients(model))
    scorer = Scorer(model, "bf16")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    maps = [module for module in model.modules() if type(module) is nn.Linear]
    adapters = [module for name, module in model.named_modules() if "lora_" in name and type(module) is nn.Linear]

    def step() -> None:
        scorer(layout).logps.sum().backward()
        optimizer.step()

    assert 0 < len(adapters) < len(maps)
    assert casts(model, step) == len(maps)
    assert casts(model, step) == len(adapters)


def test_an_adapter_that_is_switched_off_leaves_the_model_under_it():
    model, layout = adapted(), packed(items(), pad=0)
    with_adapter = Scorer(model, "bf16")(layout).logps
    with model.disable_adapter():
        without = Scorer(model, "bf16")(layout).logps
    base = Scorer(model.unload(), "bf16")(layout).logps
    assert torch.equal(without, base) and not torch.equal(with_adapter, base)


def _dropout(model) -> None:
    for module in model.modules():
        if hasattr(module, "lora_dropout"):
            module.lora_dropout["default"] = nn.Dropout(0.5).eval()


def _second(model) -> None:
    model.add_adapter("second", model.peft_config["default"])
    model.base_model.set_adapter(["default", "second"])


def _merged(model) -> None:
    model.merge_adapter()
    model.get_input_embeddings().requires_grad_(True)


def _learning(model) -> None:
    model.requires_grad_(True)


@pytest.mark.parametrize("change", [_dropout, _second, _merged, _learning])
def test_adapters_of_another_kind_are_left_to_peft(change, to_the_nearest):
    model = adapted()
    change(model)
    (logps, expected), (seen, found) = both(model, packed(items(), pad=0))
    assert torch.equal(logps, seen)
    assert_equal_but_rounding(expected, found)


def test_an_input_that_several_maps_read_is_cast_once():
    class Three(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [one(x) for one in self.maps]

    model, x = Three(), torch.randn(4, 8)
    seen = []
    low = MixedPrecision._low

    class Watched(MixedPrecision):
        def _low(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(low(self, x))
            return seen[-1]

    with torch.no_grad(), Watched(model)("cpu"):
        model(x)
        model(x + 1)
    assert seen[0] is seen[1] is seen[2] and seen[3] is seen[4] is seen[5]
    assert torch.equal(seen[3], (x + 1).to(LOW))


@pytest.mark.parametrize("fails", [False, True])
def test_after_the_block_every_module_has_its_own_forward_again(fails):
    model = Two(tied=False)
    expected = model(IDS)
    mixed = MixedPrecision(model)
    if fails:
        with pytest.raises(KeyError), mixed("cpu"):
            model(IDS)
            raise KeyError
    else:
        with mixed("cpu"):
            assert "forward" in vars(model.middle) and model(IDS).dtype == LOW
    assert all("forward" not in vars(module) for module in model.modules())
    assert not torch.is_autocast_enabled("cpu")
    assert mixed._last is None
    assert torch.equal(model(IDS), expected)


def test_modules_with_arithmetic_of_their_own_are_left_to_autocast():
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    model = nn.Sequential(nn.Embedding(11, 8, max_norm=1.0), Doubled(8, 8))
    with torch.no_grad(), torch.autocast("cpu", dtype=LOW):
        expected = model(IDS)
    with torch.no_grad(), MixedPrecision(model)("cpu"):
        assert torch.equal(model(IDS), expected)

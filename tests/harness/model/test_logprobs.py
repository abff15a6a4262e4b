"""The Scorer against the stock model, and the head in chunks: the same numbers, little memory."""

from __future__ import annotations

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.data.tokens import item_of
from harness.model import logprobs
from harness.model.layout import LAYOUTS, Item, packed
from harness.model.logprobs import Scorer, recomputing
from tests.harness.architectures import CONFIGS, UNSHARED, VOCABULARY, adapted, build, gradients, items, opened

EXACT = 1e-3  # nats a sequence: DESIGN.md's allowance
each_model = pytest.mark.parametrize("name", CONFIGS)
each_layout = pytest.mark.parametrize("layout", LAYOUTS)


def stock_rows(model, given: list[Item], *, with_prompt: bool = False) -> list[torch.Tensor]:
    """For each completion, then each prompt, the stock model's log-softmax [tokens, vocabulary] before its tokens."""

    def before(ids: list[int], start: int) -> torch.Tensor:
        row = torch.tensor([ids])
        logits = model(input_ids=row, attention_mask=torch.ones_like(row)).logits[0]
        return logits.log_softmax(-1)[start - 1 : -1]

    found = [before([*item.prompt, *completion], len(item.prompt)) for item in given for completion in item.completions]
    return found + [before([*item.prompt], 1) for item in given if with_prompt]


def stock(model, given: list[Item], *, with_prompt: bool = False) -> torch.Tensor:
    """[N, T] log-probs as the stock model gives them, zero where nothing is scored."""
    targets = [torch.tensor(completion) for item in given for completion in item.completions]
    targets += [torch.tensor(item.prompt[1:]) for item in given if with_prompt]
    rows = stock_rows(model, given, with_prompt=with_prompt)
    picked = [row.gather(1, target[:, None])[:, 0] for row, target in zip(rows, targets, strict=True)]
    return torch.nn.utils.rnn.pad_sequence(picked, batch_first=True)


def assert_equal_gradients(one, two, rtol=1e-4) -> None:
    assert one.keys() == two.keys() and one
    for name in one:
        scale = one[name].abs().max().item()
        torch.testing.assert_close(two[name], one[name], rtol=rtol, atol=0.1 * rtol * scale + 1e-9, msg=name)


@each_layout
@each_model
@pytest.mark.parametrize("given", [items(), opened(items())], ids=["", "common opening"])
def test_every_token_has_the_log_prob_that_the_stock_model_gives_it(name, layout, given):
    model = build(name)
    with torch.no_grad():
        seen = Scorer(model)(LAYOUTS[layout](given, pad=0)).logps
        oracle = stock(model, given)
    assert seen.dtype == torch.float32 and seen.shape == oracle.shape
    assert (seen - oracle).abs().sum(-1).max() <= EXACT
    assert oracle.sum(-1).max() < -5  # sharp enough to be wrong


@each_layout
def test_prompt_tokens_are_scored_as_the_stock_model_does(layout):
    for model in (build("llama"), build("gemma3"), adapted()):
        with torch.no_grad():
            for given in (items(), opened(items())):
                seen = Scorer(model)(LAYOUTS[layout](given, pad=0, with_prompt=True)).logps
                oracle = stock(model, given, with_prompt=True)
                assert (seen - oracle).abs().sum(-1).max() <= EXACT


@pytest.mark.parametrize("name", UNSHARED)
def test_architectures_that_share_no_prompt_are_scored_in_plain_rows(name):
    model = build(name)
    with torch.no_grad():
        seen = Scorer(model)(LAYOUTS["plain"](items(), pad=0)).logps
        assert (seen - stock(model, items())).abs().sum(-1).max() <= EXACT


@each_layout
def test_adapters_are_scored_as_part_of_the_model(layout):
    model = adapted()
    with torch.no_grad():
        seen = Scorer(model)(LAYOUTS[layout](items(), pad=0)).logps
        assert (seen - stock(model, items())).abs().sum(-1).max() <= EXACT
        with model.disable_adapter():
            assert (seen - stock(model, items())).abs().sum(-1).max() > 0.1


# what a head may have after it: nothing, caps (gemma2), a divisor (granite), a factor (cohere), adapters
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "granite", "cohere", "mixtral", "llama with adapters"])
def test_the_size_of_a_chunk_changes_neither_log_probs_nor_gradients(name):
    model = adapted() if name.endswith("adapters") else build(name)
    layout = packed(items(), pad=0, with_prompt=True)
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(layout.mask.shape, generator=generator)
    results = []
    for rows in (len(layout.targets) + 1, 7, 1):
        model.zero_grad()
        scored = Scorer(model, chunk=rows * VOCABULARY + VOCABULARY // 2)(layout, ["log_sum_p2"])
        (scored.logps * weights).sum().backward()
        results.append((scored, gradients(model)))
    (whole, expected), *others = results
    for scored, found in others:
        torch.testing.assert_close(scored.logps, whole.logps, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(scored.stats["log_sum_p2"], whole.stats["log_sum_p2"], rtol=1e-5, atol=1e-5)
        assert_equal_gradients(expected, found)


@pytest.mark.parametrize("rows", [1, 5, 16])
def test_the_head_sees_a_chunk_at_a_time_and_never_a_token_that_predicts_nothing(rows):
    model = build("llama")
    layout = packed(items(), pad=0)
    seen = []
    hook = model.lm_head.register_forward_hook(lambda head, inputs, logits: seen.append(logits.shape[:-1].numel()))
    with torch.no_grad():
        Scorer(model, chunk=rows * VOCABULARY)(layout)
    hook.remove()
    scored = len(layout.targets)  # 38 of the row's 72 tokens
    assert seen == [0] + [min(rows, scored - start) for start in range(0, scored, rows)]


class Logits(TorchDispatchMode):
    """Counts the rows of logits (anything of their width) that are alive, at each operation."""

    def __init__(self, *, width: int, but: int) -> None:
        super().__init__()
        self.width, self.but = width, but
        self.alive, self.peak = {}, 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            # [but, width] is the head's weight or its gradient, turned
            if isinstance(tensor, torch.Tensor) and tensor.shape[-1:] == (self.width,) and tensor.shape[0] != self.but:
                storage = tensor.untyped_storage()
                self.alive[storage._cdata] = (StorageWeakRef(storage), tensor.numel() // self.width)
        self.alive = {key: kept for key, kept in self.alive.items() if not kept[0].expired()}
        self.peak = max(self.peak, self.now)
        return result

    @property
    def now(self) -> int:
        return sum(rows for _, rows in self.alive.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_more_logits_than_a_chunks_are_alive_until_the_gradient_is_made(precision):
    model = build("llama")
    layout = packed(items(), pad=0)
    rows, scored = 4, len(layout.targets)
    scorer = Scorer(model, precision, chunk=rows * VOCABULARY)
    with Logits(width=VOCABULARY, but=model.config.hidden_size) as logits:
        result = scorer(layout, ["log_sum_p2"]).logps
        assert logits.now <= 2 * rows  # none is kept for the backward pass but perhaps the last chunk's
        result.sum().backward()
    assert 0 < logits.peak <= 4 * rows < scored


@each_layout
def test_log_sum_p2_is_the_naive_sum_over_the_vocabulary_and_carries_no_gradient(layout):
    model = build("gemma2")
    scored = Scorer(model, chunk=9 * VOCABULARY)(LAYOUTS[layout](items(), pad=0), ["log_sum_p2"])
    naive = [row.exp().square().sum(-1).log() for row in stock_rows(model, items())]
    expected = torch.nn.utils.rnn.pad_sequence(naive, batch_first=True)
    torch.testing.assert_close(scored.stats["log_sum_p2"], expected, rtol=1e-4, atol=1e-4)
    assert scored.logps.requires_grad and not scored.stats["log_sum_p2"].requires_grad


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_a_second_backward_pass_adds_the_same_gradient(name):
    model = build(name)
    result = Scorer(model)(packed(items(), pad=0)).logps.sum()
    result.backward(retain_graph=True)
    once = gradients(model)
    result.backward()
    for name, twice in gradients(model).items():
        assert torch.equal(twice, 2 * once[name]), name


@pytest.mark.parametrize("stats", [(), ("log_sum_p2",)])
def test_blocks_of_the_log_softmax_change_no_bit(monkeypatch, stats):
    model, layout, found = build("llama", sharper=2.0), packed(items(), pad=0), []
    for size in (VOCABULARY, 5 * VOCABULARY, 10**9):
        monkeypatch.setitem(logprobs.BLOCK_LOGITS, "cpu", size)
        model.zero_grad()
        scored = Scorer(model)(layout, stats)
        scored.logps.square().sum().backward()
        found.append([scored.logps.detach(), *scored.stats.values(), *gradients(model).values()])
    assert len(found[0]) > 2 and all(torch.equal(a, b) for one in found[1:] for a, b in zip(found[0], one, strict=True))


def test_bf16_rounds_and_fp32_does_not():
    model = build("llama")
    layout = packed(items(), pad=0)
    with torch.no_grad():
        exact, rounded = (Scorer(model, precision)(layout).logps for precision in ("fp32", "bf16"))
    assert rounded.dtype == torch.float32
    assert 0 < (exact - rounded).abs().max() < 1


def test_an_error_in_the_pass_leaves_the_model_as_it_was(monkeypatch):
    model = build("llama")
    before = model.config._attn_implementation

    def fail(*args, **kwargs):
        raise RuntimeError("no")

    monkeypatch.setattr(model.model.norm, "forward", fail)
    with pytest.raises(RuntimeError, match="no"):
        Scorer(model, "bf16")(packed(items(), pad=0))
    monkeypatch.undo()
    assert model.config._attn_implementation == before
    assert not model.lm_head._forward_pre_hooks
    assert all("forward" not in vars(module) for module in model.modules())
    with torch.no_grad():
        assert (Scorer(model)(packed(items(), pad=0)).logps - stock(model, items())).abs().sum(-1).max() <= EXACT


def recomputed_gradients(model, layout, precision: str, recompute: bool) -> tuple[dict[str, torch.Tensor], int]:
    """Parameter gradients, and the bytes that the forward pass left for the backward pass."""
    kept: dict[int, int] = {}

    def note(tensor):
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logps = Scorer(model, precision, recompute=recompute)(layout).logps
    logps.sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}, sum(kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_equal_to_the_bit_and_less_is_kept(model, rows, layout, precision):
    batch = LAYOUTS[layout]([item_of(row) for row in rows[:6]], pad=0)
    plain, kept = recomputed_gradients(model, batch, precision, recompute=False)
    again, less = recomputed_gradients(model, batch, precision, recompute=True)
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert less < 0.5 * kept


def test_the_layers_have_their_own_forward_back_afterwards(model, rows):
    batch = LAYOUTS["packed"]([item_of(row) for row in rows[:2]], pad=0)
    with pytest.raises(RuntimeError, match="stop"):
        with recomputing(model, lambda: pytest.fail("not in a forward pass")):
            raise RuntimeError("stop")
    assert all("forward" not in vars(module) for module in model.modules())
    Scorer(model, recompute=True)(batch)
    assert all("forward" not in vars(module) for module in model.modules())


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="Linear has no layers that transformers can checkpoint"):
        with recomputing(torch.nn.Linear(2, 2), lambda: None):
            pass


@pytest.mark.slow
def test_a_command_with_it_trains_the_same_weights(command, tmp_path):
    command("losses=dpo", "controls=false", out="a")
    assert command("losses=dpo", "controls=false", "activation_checkpointing=true", out="a").trained == []
    assert command("losses=dpo", "controls=false", "activation_checkpointing=true", out="b").code == 0
    import results

    one, two = (results.read(tmp_path / out).iloc[0] for out in "ab")
    assert one["margin"] == two["margin"] and two["activation_checkpointing"] and not one["activation_checkpointing"]

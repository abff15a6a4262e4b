"""Sampling: the model's own distribution, private random numbers, an end, and log-probs that are the model's."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.errors import NonFinite
from harness.generation.sampler import Sampling, _pick, generate
from tests.harness.architectures import build

PROMPTS = [("a", (10, 20, 30)), ("b", (40, 50, 60, 70, 80, 90, 100)), ("c", (110,)), ("d", (5, 6))]
NO_END = 10**6


def ask(model, tokenizer, prompts=PROMPTS, *, end=NO_END, samples=1, batch=64, **sampling):
    return generate(
        model,
        prompts,
        Sampling(**{"max_new_tokens": 8, **sampling}),
        tokenizer=tokenizer,
        end_of_turn=end,
        samples=samples,
        batch=batch,
    )


@torch.no_grad()
def stock(model, prompt, completion):
    """Log-probs [tokens, V] at each place of a completion, from one full pass without a cache."""
    logits = model(torch.tensor([[*prompt, *completion]])).logits[0].float().log_softmax(-1)
    return logits[len(prompt) - 1 : -1]


def test_greedy_completions_are_the_stock_models_likeliest_tokens(model, tokenizer):
    for (_, prompt), completion in zip(PROMPTS, ask(model, tokenizer, temperature=0), strict=True):
        assert stock(model, prompt, completion.tokens).argmax(-1).tolist() == list(completion.tokens)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_the_log_prob_is_the_stock_models_at_temperature_one(model, tokenizer, temperature):
    for (_, prompt), completion in zip(PROMPTS, ask(model, tokenizer, temperature=temperature), strict=True):
        logps = stock(model, prompt, completion.tokens).gather(1, torch.tensor(completion.tokens)[:, None])
        assert completion.logp == pytest.approx(logps.sum().item(), abs=1e-4)


def test_neither_batch_nor_order_nor_company_changes_a_completion(model, tokenizer):
    whole = ask(model, tokenizer, samples=3)
    cut = ask(model, tokenizer, samples=3, batch=2)
    assert [dataclasses.replace(a, logp=0.0) for a in cut] == [dataclasses.replace(a, logp=0.0) for a in whole]
    alone = ask(model, tokenizer, [PROMPTS[2]], samples=2)
    turned = ask(model, tokenizer, PROMPTS[::-1], samples=3)
    assert [a.tokens for a in alone] == [a.tokens for a in whole if a.prompt_id == "c"][:2]
    assert {(a.prompt_id, a.sample): a.tokens for a in turned} == {(a.prompt_id, a.sample): a.tokens for a in whole}
    assert [(a.prompt_id, a.sample) for a in whole[:4]] == [("a", 0), ("a", 1), ("a", 2), ("b", 0)]


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "gpt2", "gemma3", "mistral windowed"])
def test_a_common_opening_is_read_once_and_changes_nothing(name, monkeypatch, tokenizer):
    model, opening = build(name), tuple(range(20, 34))
    prompts = [(key, opening + tuple(n % 90 for n in ids)) for key, ids in PROMPTS]
    read = []
    model.register_forward_pre_hook(lambda _, args, kwargs: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True)
    together = ask(model, tokenizer, prompts, samples=2)
    # A cache that drops keys by distance (the two with a window) reads everything again.
    assert read[:2] == [14, 21 if name in ("gemma3", "mistral windowed") else 7]
    monkeypatch.setattr("harness.generation.sampler.shared_prefix_of", lambda prompts: 0)
    apart = ask(model, tokenizer, prompts, samples=2)
    assert [a.tokens for a in together] == [a.tokens for a in apart]
    assert [a.logp for a in together] == pytest.approx([a.logp for a in apart], abs=1e-4)


def test_seeds_and_samples_draw_other_numbers(model, tokenizer):
    first, again, other = (ask(model, tokenizer, samples=2, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first[0].tokens != first[1].tokens
    assert [a.tokens for a in first] != [a.tokens for a in other]


def test_a_completion_ends_with_the_end_of_turn_and_the_others_go_on(model, tokenizer):
    free = {a.prompt_id: a for a in ask(model, tokenizer, temperature=0)}
    end = free["b"].tokens[2]
    for completion in ask(model, tokenizer, temperature=0, end=end):
        written = free[completion.prompt_id].tokens
        ended = end in written
        assert completion.tokens == (written[: written.index(end) + 1] if ended else written)
        assert completion.truncated == (not ended)
        logps = stock(model, dict(PROMPTS)[completion.prompt_id], completion.tokens)
        logps = logps.gather(1, torch.tensor(completion.tokens)[:, None])
        assert completion.logp == pytest.approx(logps.sum().item(), abs=1e-4)


def test_the_end_of_turn_is_not_part_of_the_text(model, tokenizer):
    (free,) = ask(model, tokenizer, [PROMPTS[0]], temperature=0)
    (ended,) = ask(model, tokenizer, [PROMPTS[0]], temperature=0, end=free.tokens[-1])
    stop = free.tokens.index(free.tokens[-1])
    assert ended.text == tokenizer.decode(free.tokens[:stop], skip_special_tokens=True).strip()


def test_tokens_are_picked_by_the_cumulative_distribution():
    logps = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log().expand(5, 4)
    numbers = torch.tensor([0.05, 0.1000001, 0.299, 0.31, 0.999], dtype=torch.float64)
    assert _pick(logps, numbers, Sampling()).tolist() == [0, 1, 1, 2, 3]
    # top_p=0.6 keeps the two likeliest, 3/7 and 4/7 of what is left.
    assert _pick(logps, numbers, Sampling(top_p=0.6)).tolist() == [2, 2, 2, 2, 3]
    assert _pick(logps, numbers, Sampling(temperature=0)).tolist() == [3] * 5


def test_drawn_tokens_have_the_models_frequencies(model, tokenizer):
    prompts = [(str(n), PROMPTS[0][1]) for n in range(2000)]
    drawn = torch.tensor([a.tokens[0] for a in ask(model, tokenizer, prompts, max_new_tokens=1, batch=2000)])
    expected = stock(model, PROMPTS[0][1], (0,))[0].exp()
    top = expected.topk(50).indices
    share = torch.isin(drawn, top).float().mean().item()
    wanted = expected[top].sum().item()
    assert abs(share - wanted) < 4 * (wanted * (1 - wanted) / 2000) ** 0.5


def test_an_adapter_generates_too_and_training_mode_is_put_back(model, tokenizer):
    from peft import LoraConfig, get_peft_model

    plain = ask(model, tokenizer)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")).train()
    assert [a.tokens for a in ask(adapted, tokenizer)] == [a.tokens for a in plain]
    assert adapted.training


def test_broken_logits_stop_the_cell(model, tokenizer):
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(NonFinite, match="log-prob nan"):
        ask(model, tokenizer)


def test_a_completion_can_be_over_with_its_first_sentence(model, tokenizer):
    ends = {tokenizer(mark, add_special_tokens=False)["input_ids"][0] for mark in (".", "!", "?", "\n")}
    prompts = [(str(n), PROMPTS[0][1]) for n in range(40)]
    whole = ask(model, tokenizer, prompts, max_new_tokens=60)
    short = ask(model, tokenizer, prompts, max_new_tokens=60, sentence=True)
    assert {completion.truncated for completion in short} == {True, False}
    for long, completion in zip(whole, short, strict=True):
        first = next((place for place, token in enumerate(long.tokens) if token in ends), 59)
        assert completion.tokens == long.tokens[: first + 1]
        assert completion.truncated == (completion.tokens[-1] not in ends)


def test_bf16_completions_leave_the_model_as_it_was(model, tokenizer):
    before = ask(model, tokenizer)
    rounded = generate(model, PROMPTS, Sampling(8), tokenizer=tokenizer, end_of_turn=NO_END, precision="bf16")
    assert ask(model, tokenizer) == before
    near = [abs(a.logp - b.logp) for a, b in zip(rounded, before, strict=True) if a.tokens == b.tokens]
    assert near and 0 < max(near) < 0.5

"""Later rounds before they run: how many prompts, which ones, against which reference, and what names them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from harness.data.perturbations import Perturbations
from harness.errors import UsageError
from harness.experiment.rounds import (
    COMPLETIONS,
    RolloutConfig,
    check_rounds,
    check_score,
    describe_rounds,
    prompts_of_round,
    questions_of,
    reference_of,
    reward_of,
    rollout_config,
    round_tokens,
)
from harness.experiment.trial import Trial
from harness.generation.sampler import Sampling
from harness.options.cards import make
from suites import Kind, Message, rewards
from suites.sampled import Prompt, Sampled


class Zero:
    """A reward to which all completions are equal."""

    id = "zero-1"

    def score(self, prompts, completions):
        return [0.0] * len(completions)


@pytest.fixture(autouse=True)
def toy_reward():
    rewards.register_reward("zero")(Zero)
    yield
    rewards._makers.pop("zero")
    rewards.get.cache_clear()


def prompt(text: str, split: str = "train") -> Prompt:
    return Prompt(text, (Message("user", text),), text, split)


PROMPTS = tuple(prompt(f"{'x' * (1 + number % 3)}{number}") for number in range(20))
ROLLOUT = RolloutConfig(PROMPTS, Sampling(5), 4, "deterministic", 0, "gold:zero-1")
SECOND = Trial("dpo", {"beta": 0.1}, 1e-5, 0, control=False, perturbations=Perturbations(4), round=2)
SAMPLED = Sampled("toy", (*PROMPTS, prompt("held", "test")), "zero", samples=3, max_new_tokens=7, sentence=True)


def encoder(max_tokens: int = 100) -> SimpleNamespace:
    """One token a character."""
    return SimpleNamespace(max_tokens=max_tokens, prompt_ids=lambda messages: tuple(map(ord, messages[0].content)))


def data(**changed) -> SimpleNamespace:
    suite = SimpleNamespace(name="toy", kind=Kind.PAIRS)
    given = {"sampled": SAMPLED, "reward": None, "shares": None, "max_new_tokens": 9, "sentence": True}
    return SimpleNamespace(**{**given, "suite": suite, "encoder": encoder(), **changed})


def options(**values):
    return make({"suite": "x", "losses": ["dpo"], **values})


@pytest.mark.parametrize(("pairs", "prompts"), [(1, 2), (4, 5), (16, 20), (17, 22), (512, 640)])
def test_a_round_asks_a_quarter_more_prompts_than_pairs_rounded_up(pairs, prompts):
    assert prompts_of_round(pairs) == prompts


def test_a_rounds_tokens_are_prompts_times_completions_times_the_limit():
    assert round_tokens(data(), Perturbations(16)) == 20 * 3 * 7
    assert round_tokens(data(sampled=None), Perturbations(16)) == 20 * COMPLETIONS * 9


def asked(trial: Trial, rollout: RolloutConfig = ROLLOUT, max_tokens: int = 100) -> list[str]:
    return [question.prompt.id for question in questions_of(rollout, trial, encoder(max_tokens))]


def test_rounds_go_through_all_prompts_once_and_then_begin_again():
    rounds = [asked(replace(SECOND, round=number)) for number in (2, 3, 4, 5, 6)]
    assert [len(one) for one in rounds] == [5] * 5
    assert {name for one in rounds[:4] for name in one} == {one.id for one in PROMPTS}
    assert rounds[4] == rounds[0]


def test_the_prompts_depend_on_the_seed_and_not_on_the_loss():
    assert asked(replace(SECOND, loss="simpo", lr=1e-3)) == asked(SECOND)
    assert asked(replace(SECOND, seed=1)) != asked(SECOND)


def test_a_prompt_that_leaves_no_room_for_a_completion_is_never_asked():
    short = {one.id for one in PROMPTS if len(one.id) <= 3}
    found = [name for number in (2, 3, 4, 5) for name in asked(replace(SECOND, round=number), max_tokens=8)]
    assert set(found) == short < {one.id for one in PROMPTS}


def test_fewer_prompts_than_a_round_wants_are_each_asked_once():
    assert sorted(asked(SECOND, replace(ROLLOUT, prompts=PROMPTS[:3]))) == sorted(one.id for one in PROMPTS[:3])


def test_a_question_carries_the_prompts_id_and_tokens():
    first = questions_of(ROLLOUT, SECOND, encoder())[0]
    assert first.token_prompt == (first.prompt.id, tuple(map(ord, first.prompt.id)))


@pytest.mark.parametrize("reference", ["first", "previous"])
def test_a_later_round_has_the_reference_that_was_asked_for_if_its_loss_looks_at_one(reference):
    wanted = options(rounds=3, reference=reference)
    assert reference_of(SECOND, wanted) == reference
    assert reference_of(replace(SECOND, loss="kto"), wanted) == reference
    assert reference_of(replace(SECOND, round=1), wanted) is None
    assert reference_of(replace(SECOND, loss="simpo"), wanted) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"prompts": PROMPTS[1:]},
        {"sampling": Sampling(6)},
        {"samples": 5},
        {"label": "bradley_terry"},
        {"label_seed": 1},
        {"scorer": "gold:other"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_whatever_decides_a_rounds_pairs_is_in_its_identity(changed):
    assert replace(ROLLOUT, **changed).identity != ROLLOUT.identity
    assert replace(ROLLOUT).identity == ROLLOUT.identity


def test_a_sampled_suites_own_words_say_how_rounds_sample():
    found = rollout_config(options(rounds=2), data())
    assert found.prompts == PROMPTS  # the training ones alone
    assert (found.samples, found.sampling, found.scorer) == (3, Sampling(7, sentence=True), "gold:zero-1")


def test_a_file_of_pairs_is_sampled_from_its_training_prompts_each_once():
    texts = [
        SimpleNamespace(id=str(n), prompt=(Message("user", f"q{n // 2}"),), cluster="c", split="train")
        for n in (0, 1, 2)
    ]
    pairs = data(sampled=None, pool=[], texts=lambda rows: texts, reward="zero", sentence=False)
    found = rollout_config(options(rounds=2), pairs)
    assert [one.text for one in found.prompts] == ["q0", "q1"]
    assert (found.samples, found.sampling, found.label) == (COMPLETIONS, Sampling(9), "deterministic")


def test_a_known_reward_is_that_of_the_sampled_suite_or_of_the_data():
    assert reward_of(data()) == "zero"
    assert reward_of(data(sampled=None, reward="mine")) == "mine" and reward_of(data(sampled=None)) is None


def test_one_round_is_never_refused_and_needs_no_words():
    single = data(suite=SimpleNamespace(name="toy", kind=Kind.EXAMPLES), shares={"a": 1.0})
    check_rounds(options(), single)
    check_score(options())
    assert describe_rounds(options(), data()) == ""


def test_every_reason_against_later_rounds_is_told_at_once():
    single = data(sampled=None, suite=SimpleNamespace(name="toy", kind=Kind.EXAMPLES), shares={"a": 1.0})
    with pytest.raises(UsageError) as caught:
        check_rounds(options(rounds=2), single)
    parts = ["this suite holds single rated completions; drop it", "name one suite", "suite 'toy' has no known reward"]
    for message, part in zip(caught.value.messages, parts, strict=True):
        assert message.startswith("rounds=2") and part in message


def test_prompts_without_room_for_a_completion_are_refused_and_just_enough_room_is_taken():
    check_rounds(options(rounds=2), data(encoder=encoder(2 + 7)))
    with pytest.raises(UsageError, match="no training prompt leaves room for 7 new tokens within 8; raise max_tokens"):
        check_rounds(options(rounds=2), data(encoder=encoder(8)))


def test_a_scorer_that_cannot_be_had_is_refused_before_anything_is_sampled():
    check_score(options(rounds=2))
    check_score(options(rounds=2, score="gold:zero"))
    with pytest.raises(UsageError, match="no known reward 'nowhere'"):
        check_score(options(rounds=2, score="gold:nowhere"))


def test_the_rounds_are_described_with_their_counts():
    sentence = describe_rounds(options(rounds=3, train_pairs=[16, 17]), data())
    assert sentence.startswith(
        "rounds 2 to 3: each cell's own policy answers 20 or 22 of 20 training prompts 3 times, rated by gold:zero-1"
    )

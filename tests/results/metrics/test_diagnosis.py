"""Each failure mode provoked for real on a tiny model, and a healthy run on which every rule stays quiet."""

import math
import random

import numpy as np
import pandas as pd
import pytest
import torch

import losses
from harness.data.tokens import item_of
from harness.model.logprobs import Scorer
from harness.model.sources import load_policy
from results import metrics
from results.metrics import diagnosis
from tests.harness.conftest import (  # noqa: F401  (fixtures)
    WORDS,
    losses_of_the_test_alone,
    pair_rows,
    private_cache,
    source,
    tokenizer,
)
from tests.harness.jobs import scores
from tests.results.trained import encoded, trained

ROWS = pair_rows(112)  # the chosen answers say "good", the rejected ones "bad"
TRAINING, HELD_OUT = ROWS[:64], ROWS[64:]


def swapped(pairs, share=1.0):
    """The pairs with the answers of a share of them exchanged, which ones being drawn."""
    chosen = set(random.Random(0).sample(range(len(pairs)), round(share * len(pairs))))
    exchanged = {"chosen": "rejected", "rejected": "chosen"}
    return [
        {exchanged.get(name, name): text for name, text in pair.items()} if place in chosen else pair
        for place, pair in enumerate(pairs)
    ]


def words(draw, count):
    return " ".join(draw.choice(WORDS) for _ in range(count))


def by_length(count, share):
    """Pairs of random words that differ in length alone; the longer answer is chosen in a share of them."""
    draw = random.Random(1)
    found = []
    for place in range(count):
        answers = [words(draw, draw.randint(1, 4)), words(draw, draw.randint(5, 8))]
        longer = place < share * count
        prompt = f"{place}: {words(draw, 3)}?"
        found.append({"prompt": prompt, "chosen": answers[longer], "rejected": answers[not longer]})
    return found


def modes(cell, **more):
    return [finding.mode for finding in diagnosis.diagnose(*cell.parts, **more)]


@pytest.fixture(scope="module")
def cell(source, tokenizer):  # noqa: F811
    """cell(training, held_out, lr=...): a trained cell."""
    return lambda *pairs, **settings: trained(source, tokenizer, *pairs, **settings)


@pytest.fixture(scope="module")
def healthy(cell):
    return cell(TRAINING, HELD_OUT, epochs=4, evals=2)


def test_a_healthy_run_has_no_finding(healthy):
    assert healthy.row["preference_accuracy"] > 0.95
    assert diagnosis.diagnose(*healthy.parts, {"contradictory": 0, "kept": 112}) == ()
    assert diagnosis.modes(()) == ""


def test_missing_evidence_is_no_finding():
    assert diagnosis.diagnose({}) == ()
    assert diagnosis.diagnose(dict.fromkeys(("preference_accuracy", "round", "distinct_2")), None, None) == ()


def test_a_control_is_not_diagnosed(cell, healthy):
    row = healthy.row | {"effective_beta": 0.0}
    assert diagnosis.modes(diagnosis.diagnose(row)) == "beta_inert"
    assert diagnosis.diagnose(row | {"control": True}) == ()


def test_every_rule_is_a_function_that_says_what_it_looks_at():
    assert list(diagnosis.RULES) == [
        "likelihood_displacement",
        "sign_error",
        "reference_mismatch",
        "length_exploitation",
        "beta_inert",
        "overfitting",
        "saturation",
        "no_learning",
        "noisy_preferences",
        "collapse",
        "refusal_erosion",
        "reference_drift",
    ]
    for name, rule in diagnosis.RULES.items():
        assert rule.__doc__ and getattr(diagnosis, name) is rule


def test_a_mode_has_a_title_in_plain_english():
    assert diagnosis.title("beta_inert") == "beta has no effect"
    assert diagnosis.title("reference_drift") == "stale reference"
    assert diagnosis.title("no_learning") == "no learning"


def test_what_gives_evidence_becomes_a_rule_under_its_own_name(monkeypatch):
    monkeypatch.setattr(diagnosis, "RULES", {})

    def slow_learner(row, curve, pairs, audit):
        return {"margin": row["margin"]} if row["margin"] < 1 else None

    rule = diagnosis._rule("margin below 1", "wait")(slow_learner)
    assert diagnosis.RULES == {"slow_learner": rule} and rule({"margin": 2.0}, None, None) is None
    finding = diagnosis.Finding("slow_learner", {"margin": 0.5}, "margin below 1", "wait")
    assert rule({"margin": 0.5}, None, None) == finding
    assert diagnosis.modes((finding, finding)) == "slow_learner,slow_learner"


def test_the_length_bias_of_the_first_evaluation_is_that_of_its_test_rows(four_pairs, pair_table):
    later = pair_table([(-9, -10, -10, -10, 6, 5), (-11, -10, -10, -10, 5, 6)], step=8)
    validation = later.assign(step=2, split="validation")
    tables = pd.concat([later, four_pairs, validation], ignore_index=True)
    assert diagnosis._bias_by_step(tables) == {"length_bias_at_step_4": -0.5}
    assert diagnosis._bias_by_step(pd.concat([later, validation])) == diagnosis._bias_by_step(None) == {}


def test_training_data_with_the_answers_swapped(cell):
    found = cell(swapped(TRAINING), HELD_OUT, epochs=4)
    assert "sign_error" in modes(found)
    assert found.curve["accuracy"].iloc[-1] > 0.9  # training itself looks well


def test_a_loss_with_its_answers_swapped(cell):
    @losses.register("backwards", needs={"reference"}, reward="log_ratio")
    def backwards(pair: losses.PairBatch, *, beta: float = 0.1) -> torch.Tensor:
        return -torch.nn.functional.logsigmoid(beta * (pair.rejected_log_ratio - pair.chosen_log_ratio))

    (finding,) = [
        f
        for f in diagnosis.diagnose(*cell(TRAINING, HELD_OUT, loss="backwards", epochs=4).parts)
        if f.mode == "sign_error"
    ]
    assert finding.evidence["margin"] < finding.evidence["margin_first"] == 0
    assert finding.evidence["loss_last"] < finding.evidence["loss_first"]
    assert "swapped" in finding.remedy and finding.threshold


def test_one_batch_of_a_reward_without_a_reference_is_no_sign_error():
    noise = [0.2, -0.5, 0.1, 0.3, -0.1, 0.2, -0.2, 0.1, 0.3, -0.4]  # nats, of orpo on pairs that it does not tell apart
    row = {
        "loss": "orpo",
        "control": False,
        "preference_accuracy": 0.48,
        "preference_accuracy_se": 0.03,
        "mean_ratio_accuracy": 0.42,
        "mean_ratio_accuracy_se": 0.03,
    }
    flat = {"step": range(1, 11), "loss": np.linspace(2.7, 2.2, 10)}
    assert diagnosis.sign_error(row, pd.DataFrame(flat | {"margin": noise}), None) is None
    learned = pd.DataFrame(flat | {"margin": np.array(noise) - np.linspace(0, 2, 10)})
    assert diagnosis.sign_error(row, learned, None).evidence["margin"] < -1
    steady = pd.DataFrame(flat | {"margin": -1.5})  # shorter answers are rejected: so from the start
    assert diagnosis.sign_error(row, steady, None) is None


def test_another_reference_than_the_starting_weights(cell, source, tokenizer):  # noqa: F811
    other = load_policy(source, "cpu")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.2)
    rows = encoded(tokenizer, TRAINING, "train")
    known = scores(Scorer(other), [item_of(row) for row in rows])
    reference = {row.id: score for row, score in zip(rows, known, strict=True)}
    found = cell(TRAINING, HELD_OUT, reference=reference, tolerance=math.inf)
    assert "reference_mismatch" in modes(found)
    (finding,) = [f for f in diagnosis.diagnose(*found.parts) if f.mode == "reference_mismatch"]
    assert finding.evidence["reward_at_step_0"] > 10 * finding.evidence["allowed"]


def test_a_pair_table_at_step_0_that_is_not_the_references(healthy):
    start = healthy.pairs.assign(step=0)
    finding = diagnosis.reference_mismatch(healthy.row, None, start)
    assert finding.evidence["difference_at_step_0"] > 1
    same = start.assign(
        policy_chosen_logp=start["reference_chosen_logp"], policy_rejected_logp=start["reference_rejected_logp"]
    )
    assert diagnosis.reference_mismatch(healthy.row, None, same) is None


def test_data_in_which_only_length_tells_the_answers_apart(cell):
    found = cell(by_length(64, 1.0), by_length(48, 0.6), epochs=4, evals=2)
    assert "length_exploitation" in modes(found)
    evidence = diagnosis.length_exploitation(*found.parts).evidence
    assert evidence["length_bias"] > 0.8 and evidence["margin_length_part"] > evidence["margin_preference_part"]
    assert any(name.startswith("length_bias_at_step_") for name in evidence)


def test_long_samples_that_do_not_win_at_equal_length():
    row = {"length_ratio": 1.8, "win_rate_length_controlled": 0.45}
    assert diagnosis.length_exploitation(row, None, None).mode == "length_exploitation"
    assert diagnosis.length_exploitation(row | {"win_rate_length_controlled": 0.6}, None, None) is None


def test_pairs_that_share_their_words_push_the_chosen_answer_down(cell):
    draw = random.Random(2)
    near = []
    for place in range(96):
        chosen = words(draw, 3)
        near.append(
            {
                "prompt": f"{place}: {words(draw, 3)}?",
                "chosen": chosen,
                "rejected": f"{chosen} {chosen} {words(draw, 2)}",
            }
        )
    found = cell(near[:64], near[64:], epochs=4)
    assert "likelihood_displacement" in modes(found) and "beta_inert" not in modes(found)
    assert found.row["preference_accuracy"] > 0.9


def test_a_learning_rate_far_too_low(cell):
    assert {"no_learning", "beta_inert"} <= set(modes(cell(TRAINING, HELD_OUT, lr=1e-9)))


def test_a_beta_far_too_small(cell):
    found = modes(cell(TRAINING, HELD_OUT, beta=1e-3))
    assert "beta_inert" in found and "no_learning" not in found


def test_a_learning_rate_ten_times_too_high_and_many_epochs(cell):
    assert "saturation" in modes(cell(TRAINING, HELD_OUT, lr=1e-2, epochs=8))


def test_preferences_of_which_many_are_wrong(cell):
    rows = pair_rows(196)
    found = cell(swapped(rows[:96], 0.25), swapped(rows[96:], 0.43), epochs=3)
    assert "noisy_preferences" in modes(found)
    finding = diagnosis.noisy_preferences(*found.parts, {"contradictory": 12, "kept": 196})
    assert finding.evidence["contradictory_share"] == pytest.approx(12 / 196)
    for other in (None, {}, {"contradictory": "many", "kept": 196}):
        assert "contradictory_share" not in diagnosis.noisy_preferences(*found.parts, other).evidence


@pytest.mark.slow
def test_wrong_labels_learned_by_heart(cell):
    rows = pair_rows(160)
    found = cell(swapped(rows[:64], 0.3), rows[64:], lr=3e-3, epochs=24, evals=6, batch_size=16)
    assert "overfitting" in modes(found)
    finding = diagnosis.overfitting(*found.parts)
    assert finding.evidence["training_accuracy_now"] > 0.9 and finding.evidence["validation_change"] < -0.1


def test_a_fall_between_evaluations_beyond_its_error_is_overfitting(healthy):
    first, last = sorted(healthy.pairs["step"].unique())
    worse = healthy.pairs.copy()
    fell = (worse["step"] == last) & (worse["split"] == "validation") & (worse.groupby("step").cumcount() % 3 == 0)
    worse.loc[fell, "policy_chosen_logp"] = -1e4
    finding = diagnosis.overfitting(healthy.row, healthy.curve, worse)
    assert finding.evidence["best_step"] == first
    assert finding.evidence["validation_change"] == pytest.approx(-1 / 3, abs=0.05)
    forgetting = healthy.curve.assign(accuracy=[1.0] * (len(healthy.curve) - 5) + [0.0] * 5)
    assert diagnosis.overfitting(healthy.row, forgetting, worse) is None


def sampled(model, tokenizer, greedy=False, count=24):  # noqa: F811
    """Tokens of answers to some of the held-out prompts."""
    torch.manual_seed(0)
    answers = []
    for row in encoded(tokenizer, HELD_OUT[:12], "test"):
        prompt = torch.tensor([row.prompt])
        with torch.no_grad():
            made = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=count,
                do_sample=not greedy,
                pad_token_id=0,
            )
        answers.append(made[0, prompt.shape[1] :].tolist())
    return answers


def distinct_2(answers):
    pairs = [pair for answer in answers for pair in zip(answer, answer[1:], strict=False)]
    return len(set(pairs)) / len(pairs)


def test_a_learning_rate_a_hundred_times_too_high(cell, source, tokenizer):  # noqa: F811
    found = cell(TRAINING, HELD_OUT, lr=0.1, epochs=2)
    before, after = (distinct_2(sampled(model, tokenizer)) for model in (load_policy(source, "cpu"), found.model))
    row = found.row | {"distinct_2": after, "distinct_2_reference": before}
    assert diagnosis.collapse(row, found.curve, found.pairs).mode == "collapse"
    assert diagnosis.collapse(row | {"distinct_2": before}, None, None) is None
    ends_sooner = {"truncated_fraction": 0.1, "truncated_fraction_reference": 0.4}
    assert diagnosis.collapse(row | ends_sooner, None, None) is None


def refusals(model, tokenizer):  # noqa: F811
    answers = sampled(model, tokenizer, greedy=True, count=8)
    return sum(tokenizer.decode(answer).strip().startswith("sorry") for answer in answers) / len(answers)


def test_preferring_every_answer_to_a_refusal(cell, tokenizer):  # noqa: F811
    refusing = [pair | {"chosen": "sorry", "rejected": pair["chosen"]} for pair in TRAINING]
    reference = cell(refusing, HELD_OUT, loss="sft", lr=1e-2, epochs=4).model
    before = refusals(reference, tokenizer)
    found = cell([pair | {"rejected": "sorry"} for pair in TRAINING], HELD_OUT, lr=1e-2, epochs=4, model=reference)
    row = found.row | {"refusal_rate_reference": before, "refusal_rate": refusals(found.model, tokenizer)}
    assert before > 0.9 and diagnosis.refusal_erosion(row, None, None).mode == "refusal_erosion"
    assert diagnosis.refusal_erosion(row | {"refusal_rate": before}, None, None) is None


def test_a_second_round_that_keeps_the_first_reference(healthy):
    after = healthy.pairs[(healthy.pairs["step"] == healthy.pairs["step"].max()) & (healthy.pairs["split"] == "test")]
    row = {"round": 2, "reference": "first", "margin_at_start": metrics.margin(after)}
    assert diagnosis.reference_drift(row, None, None).mode == "reference_drift"
    assert diagnosis.reference_drift(row | {"margin_at_start": 0.0}, None, None) is None
    assert diagnosis.reference_drift(row | {"reference": "previous"}, None, None) is None
    assert diagnosis.reference_drift({"round": 1, "reference": None, "margin_at_start": pd.NA}, None, None) is None


def test_a_later_round_need_not_begin_at_its_reference(healthy):
    """Against the first reference by design; against its own the curve still shows it."""
    far = healthy.curve.assign(reward_chosen=healthy.curve["reward_chosen"] + 1)
    begun = healthy.pairs[healthy.pairs["step"] == healthy.pairs["step"].max()].assign(step=0)
    row = healthy.row | {"round": 2, "reference": "first"}
    assert diagnosis.reference_mismatch(healthy.row, far, None).mode == "reference_mismatch"
    assert diagnosis.reference_mismatch(healthy.row, None, begun).mode == "reference_mismatch"
    assert diagnosis.reference_mismatch(row, far, begun) is None
    assert diagnosis.reference_mismatch(row | {"reference": "previous"}, None, begun) is None
    assert diagnosis.reference_mismatch(row | {"reference": "previous"}, far, begun).mode == "reference_mismatch"

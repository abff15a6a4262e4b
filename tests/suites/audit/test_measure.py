"""The audit counts what is wrong with a suite, by hand-made suites where the answer is known."""

import dataclasses
import random

import suites
from suites import Example, Message, Pair, Suite
from suites.audit.measure import audit, lines


def pair(row_id: str, prompt: str, chosen: str, rejected: str, split: str = "train") -> Pair:
    return Pair(row_id, (Message("user", prompt),), chosen, rejected, prompt, split)


SUITE = Suite(
    "toy",
    (
        pair("1", "p", "yes", "no"),
        pair("2", "p", "yes", "no"),
        pair("3", "p", "no", "yes", "validation"),
        pair("4", "q", "one two", "one"),
        pair("5", "r", "ab", "cd", "test"),
    ),
    "pairs",
    {"identical": 2},
    read=7,
)


def test_each_finding_is_counted():
    found = audit(SUITE)
    assert (found.read, found.kept, dict(found.dropped)) == (7, 5, {"identical": 2})
    assert found.splits == {"train": 3, "validation": 1, "test": 1}
    assert found.duplicates == 1
    assert found.contradictory == 3
    assert (found.clusters, found.repeated_turns, found.leaking_clusters) == (3, 2, 1)
    assert (found.chosen_is_prefix, found.rejected_is_prefix, found.prefix) == (0, 1, 1)
    assert found.agreement is None


def test_longer_wins_counts_ties_as_one_half():
    # yes > no twice, no < yes once, "one two" > "one", ab = cd: (1 + 1 + 0 + 1 + 0.5) / 5
    assert audit(SUITE).longer_wins == 0.7


def test_lengths_are_in_characters_and_words():
    chosen = audit(SUITE).lengths["chosen"]
    assert (chosen.median_characters, chosen.longest_characters) == (3, 7)
    assert (chosen.median_words, chosen.longest_words) == (1, 2)


def test_advice_follows_the_findings():
    advice = " ".join(audit(SUITE).advice)
    for words in ("more than one split", "contradict", "word for word", "share a first turn", "longer one"):
        assert words in advice
    rows = tuple(pair(split, split, "ab", "cd", split) for split in ("train", "validation", "test"))
    clean = Suite("c", rows, "pairs", read=3)
    assert [line[:16] for line in audit(clean).advice] == ["fewer than 5,000"]


def test_advice_on_length_sounds_an_alarm_above_sixty_in_a_hundred():
    def advice(longer: int) -> str:
        rows = [pair(str(n), f"q{n}", "abc", "ab" if n < longer else "abcd") for n in range(100)]
        return " ".join(audit(Suite("c", rows, "pairs", read=100)).advice)

    assert "usually" not in advice(55)
    assert "usually the longer one:" in advice(60)
    assert "usually the longer one (61%, above 60%" in advice(61)
    assert "usually the shorter one (70%, above 60%" in advice(30)


def test_a_held_out_row_that_nearly_repeats_a_training_prompt_is_a_leak():
    dice = random.Random(0)
    prompts = [" ".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=50)) for _ in range(20)]
    rows = [pair(f"a{n}", prompt, "x", "yy") for n, prompt in enumerate(prompts)]
    rows += [pair("near", prompts[3] + " indeed", "x", "yy", "test"), pair("far", "q r s", "x", "yy", "validation")]
    found = audit(Suite("c", rows, "pairs", read=22))
    assert (found.near_leaks, found.leaking_clusters) == (1, 0)
    assert "1 held-out rows nearly repeat a training prompt" in " ".join(found.advice)


def test_agreement_is_the_mean_over_rows_with_votes():
    votes = (0.5, 0.8, None)
    rows = [dataclasses.replace(pair(str(n), f"p{n}", "a", "b"), agreement=share) for n, share in enumerate(votes)]
    low = audit(Suite("voted", rows, "pairs", read=3))
    assert (low.agreement, low.agreement_rows) == (0.65, 2)
    assert "agreement: 0.650 of votes, over 2 rows with votes" in "\n".join(lines(low))
    assert "annotators agree in 65% of votes, under 70%" in " ".join(low.advice)


def test_a_missing_split_is_named():
    only = Suite("c", (pair("1", "p", "ab", "cd"),), "pairs", read=1)
    assert [line.split(":")[0] for line in audit(only).advice][:2] == ["no validation rows", "no test rows"]


def test_examples_are_judged_both_ways_and_counted():
    prompt = (Message("user", "p"),)
    rows = tuple(Example(str(n), prompt, "same", n > 0, "p", "train") for n in range(3))
    found = audit(Suite("e", rows, "examples", read=3))
    assert (found.duplicates, found.contradictory, found.desirable, found.longer_wins) == (1, 3, 2, None)
    assert any("desirable: 2 of 3" in line for line in lines(found))


def test_an_empty_suite_is_no_accident():
    found = audit(Suite("nothing", (), "pairs"))
    assert (found.kept, found.longer_wins) == (0, None)
    assert lines(found)[0] == "nothing: 0 pairs kept of 0 read"


def test_the_lines_hold_the_counts_and_no_dataset_text():
    text = "\n".join(lines(audit(SUITE)))
    assert "toy: 5 pairs kept of 7 read" in text
    assert "dropped: identical 2" in text
    assert "right in 0.700 of pairs" in text
    assert "one two" not in text


def test_hh_rlhf_keeps_twelve_pairs_of_which_one_answer_begins_with_the_other(hh_folder):
    found = audit(suites.load("hh-rlhf", {"path": str(hh_folder)}))
    assert found.prefix == 12
    assert found.leaking_clusters == 0
    assert found.near_leaks == 5  # as many as a comparison of all prompts with all others finds

"""The audit counts what is wrong with a suite, by hand-made suites where the answer is known."""

import suites
from suites import Example, Message, Pair, Suite
from suites.audit import audit, lines


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
    assert found.prefix == 1


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
    assert audit(clean).advice == ()


def test_a_missing_split_is_named():
    only = Suite("c", (pair("1", "p", "ab", "cd"),), "pairs", read=1)
    assert [line.split(":")[0] for line in audit(only).advice] == ["no validation rows", "no test rows"]


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

"""What an audit says: facts in order, advice at its thresholds."""

from dataclasses import replace

import pytest

from suites.audit.report import Audit, Lengths
from suites.audit.words import Fact, advice, facts, lines

CLEAN = Audit(
    name="toy",
    kind="pairs",
    source="a source",
    revision="r",
    read=10_000,
    kept=10_000,
    dropped={},
    splits={"train": 7000, "validation": 1000, "test": 2000},
    duplicates=0,
    contradictory=0,
    clusters=10_000,
    repeated_turns=0,
    leaking_clusters=0,
    near_leaks=0,
    chosen_is_prefix=0,
    rejected_is_prefix=0,
    lengths={},
    longer_wins=0.5,
    desirable=None,
    agreement=None,
    agreement_rows=0,
)
JUDGED = replace(CLEAN, kind="examples", longer_wins=None, desirable=4000)


def test_clean_pairs_need_no_advice():
    assert advice(CLEAN) == () == advice(JUDGED)


def test_facts_of_pairs_are_told_in_one_order():
    found = replace(CLEAN, dropped={"tie": 2, "identical": 1}, lengths={"chosen": Lengths(3.5, 9, 1.0, 2)})
    assert facts(found) == [
        Fact("toy", "10000 pairs kept of 10000 read"),
        Fact("dropped", "tie 2, identical 1"),
        Fact("splits", "train 7000, validation 1000, test 2000"),
        Fact("first human turns", "10000 distinct, 0 rows repeat one"),
        Fact("first turns in two splits", "0"),
        Fact("near leaks", "0 held-out rows nearly repeat a training prompt (word 5-grams, Jaccard >= 0.8)"),
        Fact("duplicates", "0; contradictory: 0"),
        Fact("chosen", "median 1 words (3.5 characters), longest 2 (9)"),
        Fact("one completion begins with the other", "0 (rejected goes on from chosen 0, chosen from rejected 0)"),
        Fact("preferring the longer completion", "right in 0.500 of pairs"),
    ]


def test_judged_answers_have_their_own_facts():
    labels = {fact.label: fact.text for fact in facts(replace(JUDGED, agreement=0.75, agreement_rows=8))}
    assert labels["toy"] == "10000 examples kept of 10000 read"
    assert labels["desirable"] == "4000 of 10000"
    assert labels["agreement"] == "0.750 of votes, over 8 rows with votes"
    assert not {"preferring the longer completion", "one completion begins with the other"} & set(labels)


def test_lines_put_facts_and_advice_below_the_name():
    told = lines(replace(CLEAN, advice=("more data",)))
    assert told[:2] == ["toy: 10000 pairs kept of 10000 read", "  dropped: none"]
    assert told[-1] == "  advice: more data"


@pytest.mark.parametrize(
    ("inside", "beyond", "words"),
    [
        ({"kept": 5000}, {"kept": 4999}, "fewer than 5,000 pairs"),
        ({"leaking_clusters": 0}, {"leaking_clusters": 1}, "1 first turns lie in more than one split"),
        ({"near_leaks": 0}, {"near_leaks": 3}, "3 held-out rows nearly repeat a training prompt"),
        ({"duplicates": 0}, {"duplicates": 2}, "2 rows repeat another row word for word"),
        ({"repeated_turns": 500}, {"repeated_turns": 501}, "many rows share a first turn"),
        ({"contradictory": 100}, {"contradictory": 101}, "101 rows contradict another row"),
        ({"agreement": 0.70}, {"agreement": 0.69}, "annotators agree in 69% of votes, under 70%"),
        ({"longer_wins": 0.55}, {"longer_wins": 0.56}, "usually the longer one: read"),
        ({"longer_wins": 0.45}, {"longer_wins": 0.44}, "usually the shorter one: read"),
        ({"longer_wins": 0.60}, {"longer_wins": 0.61}, r"longer one (61%, above 60%: length alone"),
        ({"desirable": 1}, {"desirable": 0}, "all rows carry the same label"),
        ({"desirable": 9999}, {"desirable": 10_000}, "all rows carry the same label"),
        ({}, {"splits": {"train": 1, "validation": 0, "test": 1}}, "no validation rows: give a split column"),
    ],
)
def test_advice_begins_just_beyond_its_threshold(inside, beyond, words):
    assert words not in " ".join(advice(replace(CLEAN, **inside)))
    assert words in " ".join(advice(replace(CLEAN, **beyond)))

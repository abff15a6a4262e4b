"""Rows on their way into a suite: counted drops, splits decided at the end, leaks out of test."""

import pytest

from suites import Example, Message, Pair, SuiteError, cluster_of
from suites.reading.cleaning import Draft, RowDropped, Tally, check_answers, check_text, collect, finish

SOURCE = {"name": "toy", "kind": "pairs", "source": "a source", "revision": "r"}


def draft(row_id: str, turn: str, split: str | None = None, **more) -> Draft:
    return Draft(row_id, (Message("user", turn),), ("Yes.", "No."), split, **more)


def finished(drafts, **more):
    drafts = list(drafts)
    return finish(drafts, Tally(read=len(drafts)), **{**SOURCE, **more})


def test_a_tally_counts_by_rule_and_remembers_the_first_reason_of_each():
    tally = Tally()
    for rule, reason in (("tie", "row 1"), ("tie", "row 2"), ("malformed", "row 3")):
        tally.drop(rule, reason)
    assert tally.dropped == {"tie": 2, "malformed": 1}
    assert tally.words() == "tie 2 (first: row 1); malformed 1 (first: row 3)"


def test_a_dropped_record_is_counted_with_its_place_and_the_others_go_on():
    def build(number: int) -> Draft:
        if number == 2:
            raise RowDropped("tie", "neither answer is preferred")
        return draft(f"row-{number}", "Tea?")

    tally = Tally()
    drafts = collect([1, 2, 3], tally, build=build, name=lambda number: f"file:{number}")
    assert [one.id for one in drafts] == ["row-1", "row-3"]
    assert (tally.read, tally.dropped) == (3, {"tie": 1})
    assert tally.first == {"tie": "file:2, neither answer is preferred"}


def test_records_are_built_as_they_are_asked_for():
    tally = Tally()
    drafts = collect(iter([1, 2, 3]), tally, build=lambda n: draft(str(n), "Tea?"), name=str)
    next(drafts)
    assert tally.read == 1


@pytest.mark.parametrize(
    ("value", "rule", "words"),
    [
        (None, "malformed", "chosen is missing, not text"),
        (True, "malformed", "chosen is a truth value, not text"),
        (0.5, "malformed", "chosen is a number, not text"),
        ({}, "malformed", "chosen is an object, not text"),
        (b"x", "malformed", "chosen is a bytes, not text"),
        ("a\0b", "not_text", "chosen holds a NUL or a lone surrogate"),
        ("\udfff", "not_text", "chosen holds a NUL or a lone surrogate"),
    ],
)
def test_what_no_tokenizer_could_carry_is_dropped_by_its_rule(value, rule, words):
    with pytest.raises(RowDropped, match=words) as dropped:
        check_text(value, "chosen")
    assert dropped.value.rule == rule
    assert check_text(" Tea\n", "chosen") == " Tea\n"


def test_answers_must_differ_by_more_than_white_space_and_empty_comes_first():
    for answers, rule in (((" ", "\n"), "empty_side"), (("a", ""), "empty_side"), (("a ", " a"), "identical")):
        with pytest.raises(RowDropped) as dropped:
            check_answers(*answers)
        assert dropped.value.rule == rule
    check_answers("a", "ab")  # one begins with the other: a preference for more


def test_a_draft_is_kept_together_by_its_sources_cluster_or_by_its_first_turn():
    assert draft("1", "Tea?").unit == "Tea?"
    assert draft("1", "Tea?", cluster="thread 7").unit == "thread 7"
    rows = finished([draft("1", "Tea?"), draft("2", "Tea?", cluster="thread 7")]).rows
    assert [row.cluster for row in rows] == [cluster_of("Tea?"), "thread 7"]


def test_a_training_row_whose_turn_is_tested_is_dropped_and_counted():
    suite = finished([draft("1", "Tea?", "train"), draft("2", "Tea?", "test"), draft("3", "Milk?", "validation")])
    assert [(row.id, row.split) for row in suite.rows] == [("2", "test"), ("3", "validation")]
    assert (suite.read, dict(suite.dropped)) == (3, {"leaks_into_test": 1})


def test_one_and_the_same_split_counts_only_where_it_is_meant():
    drafts = [draft(str(number), f"turn {number}", "test") for number in range(50)]
    assert {row.split for row in finished(drafts).rows} == {"test"}
    assert {row.split for row in finished(drafts, lone_split_counts=False).rows} == {"train", "validation", "test"}


def test_scores_agreement_and_labels_reach_the_rows():
    (pair,) = finished([draft("1", "Tea?", "train", scores=(2.0, 1.0), agreement=0.75)]).rows
    prompt = (Message("user", "Tea?"),)
    assert pair == Pair("1", prompt, "Yes.", "No.", cluster_of("Tea?"), "train", 2.0, 1.0, 0.75)
    judged = Draft("1", prompt, ("Yes.",), "train", desirable=False)
    (example,) = finished([judged], kind="examples").rows
    assert example == Example("1", prompt, "Yes.", False, cluster_of("Tea?"), "train")


def test_a_source_of_which_nothing_is_left_says_why():
    tally = Tally(read=2)
    tally.drop("tie", "row 1")
    tally.drop("tie", "row 2")
    with pytest.raises(SuiteError, match=r"a source: none of 2 rows is left after cleaning: tie 2 \(first: row 1\)"):
        finish([], tally, **SOURCE)
    with pytest.raises(SuiteError, match="none of 0 rows is left after cleaning: the source has no rows"):
        finish([], Tally(), **SOURCE)

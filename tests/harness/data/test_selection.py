"""Which rows train and in which order: pure functions of ids and seeds."""

import hashlib
import json
from dataclasses import replace

import pytest

from harness.data.selection import apportion, draw, held_out, largest_draw, mismatched, rank, text_digest
from harness.data.tokens import Row
from suites import Message, Pair
from suites.rows import Rows


def row(i: int, cluster: str | None = None, completion: int = 3) -> Row:
    return Row(f"id{i}", cluster or f"c{i}", "train", (1, 2), ((i,) * completion, (100 + i,) * completion))


ROWS = [row(i) for i in range(50)]
VOTED = Pair("yes", (Message("user", "q"),), "yes", "n", "c", "train")


def ids(rows) -> list[str]:
    return [r.id for r in rows]


def test_a_draw_depends_on_the_seed_and_not_on_the_order_of_the_pool():
    assert ids(draw(ROWS, 20, 0)) == ids(draw(ROWS[::-1], 20, 0))
    assert set(ids(draw(ROWS, 20, 0))) != set(ids(draw(ROWS, 20, 1)))


def test_a_pool_that_is_no_larger_is_used_whole_for_every_seed():
    assert ids(draw(ROWS, 50, 0)) == ids(draw(ROWS, 80, 7)) == ids(sorted(ROWS, key=rank("row")))


def test_held_out_rows_are_nested_so_that_more_rows_only_add():
    assert ids(held_out(ROWS, 30))[:10] == ids(held_out(ROWS, 10))


def mixed(count: int) -> list[Row]:
    """Rows of two sources, one of three from "b", chosen completions of 3 tokens against 2 or 4 in turn."""
    return [
        Row(f"id{i}", f"c{i}", "train", (1,), ((1,) * 3, (2,) * (2 + 2 * (i % 2))), source="ab"[i % 3 == 0])
        for i in range(count)
    ]


def test_seats_follow_the_largest_remainders_exactly():
    assert apportion(10, {"a": 0.7, "b": 0.3}) == {"a": 7, "b": 3}
    assert apportion(100, {"a": 0.29, "b": 0.71}) == {"a": 29, "b": 71}
    assert apportion(7, {"a": 1, "b": 1, "c": 1}) == {"a": 3, "b": 2, "c": 2}
    assert apportion(3, {"a": 0.5, "b": 0.3, "c": 0.2}) == {"a": 1, "b": 1, "c": 1}  # quotas 1.5, 0.9, 0.6
    assert apportion(10, {"a": 7, "b": 3}) == apportion(10, {"a": 0.7, "b": 0.3})
    assert all(sum(apportion(n, {"a": 0.31, "b": 0.33, "c": 0.36}).values()) == n for n in range(200))


def test_a_draw_from_a_mixture_has_exact_shares_and_is_nested():
    pool, shares = mixed(90), {"a": 0.6, "b": 0.4}
    drawn = {n: draw(pool, n, 0, shares) for n in (10, 50)}
    assert [sum(r.source == "a" for r in drawn[n]) for n in (10, 50)] == [6, 30]
    assert set(ids(drawn[10])) < set(ids(drawn[50]))
    assert [sum(r.source == "b" for r in held_out(pool, n, shares)) for n in (5, 20)] == [2, 8]


def test_the_largest_draw_is_what_the_scarcest_source_allows():
    pool = mixed(90)  # 60 of a, 30 of b
    assert largest_draw(pool, 1000, {"a": 0.5, "b": 0.5}) == 61  # the odd seat goes to the first
    assert largest_draw(pool, 40, {"a": 0.5, "b": 0.5}) == 40
    assert largest_draw(pool, 1000, {"a": 1, "b": 1e-6}) == 60
    assert largest_draw(pool, 1000) == 90
    assert len(draw(pool, 61, 3, {"a": 0.5, "b": 0.5})) == 61


def test_a_mixture_can_be_balanced_too():
    pool, shares = mixed(90), {"a": 0.5, "b": 0.5}
    count = largest_draw(pool, 1000, shares, balance=True)
    drawn = draw(pool, count, 0, shares, balance=True)
    longer = [len(r.completions[0]) > len(r.completions[1]) for r in drawn]
    assert len(drawn) == count and sum(longer) == count // 2
    assert abs(sum(r.source == "a" for r in drawn) - count / 2) <= 2


def test_a_mismatched_completion_belongs_to_another_first_turn():
    pool = [row(i, cluster=f"c{i // 2}") for i in range(40)]
    owner = {completion: r for r in pool for completion in r.completions}
    pairs = mismatched(pool, max_tokens=10)
    assert set(pairs) == set(ids(pool))
    for r in pool:
        assert pairs[r.id].prompt == r.prompt
        assert owner[pairs[r.id].completions[0]].cluster != r.cluster


def test_mismatched_completions_use_both_sides_and_do_not_depend_on_the_order_of_the_pool():
    pairs = mismatched(ROWS, max_tokens=10)
    sides = {pair.completions[0][0] >= 100 for pair in pairs.values()}
    assert sides == {True, False}
    assert pairs == mismatched(ROWS[::-1], max_tokens=10)


def test_a_mismatched_completion_fits_the_token_limit():
    pool = [row(i, completion=9 if i % 2 else 2) for i in range(20)]
    assert all(len(p.prompt) + len(p.completions[0]) <= 6 for p in mismatched(pool, max_tokens=6).values())


def test_one_single_first_turn_leaves_no_partner():
    assert mismatched([row(i, cluster="same") for i in range(5)], max_tokens=10) == {}


def pair(text: str) -> Pair:
    return Pair("1", (Message("user", "q"),), text, "no", "c", "train")


def test_the_digest_sees_texts_and_not_their_order():
    other = Pair("2", (Message("user", "q"),), "x", "y", "c", "train")
    assert text_digest([pair("yes"), other]) == text_digest([other, pair("yes")])
    assert text_digest([pair("yes")]) != text_digest([pair("yes!")])


def test_votes_and_the_name_of_a_source_change_no_digest():
    line = json.dumps(["yes", [["user", "q"]], "yes", "n", None, None])
    assert text_digest([VOTED]) == hashlib.sha256(line.encode()).hexdigest()
    assert text_digest([replace(VOTED, agreement=0.75, source="part")]) == text_digest([VOTED])


def test_rows_in_columns_are_drawn_and_mismatched_like_a_list():
    columns = Rows.of(ROWS, Row)
    assert draw(columns, 20, 3) == draw(ROWS, 20, 3) and held_out(columns, 7) == held_out(ROWS, 7)
    assert mismatched(columns, max_tokens=10) == mismatched(ROWS, max_tokens=10)


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("shares", [None, {"a": 0.6, "b": 0.4}, {"b": 1, "a": 1e-6}])
def test_rows_in_columns_are_drawn_by_share_and_length_like_a_list(shares, balance):
    pool = mixed(90)
    whole = Rows.of(pool, Row)
    columns = whole.take(reversed(range(90)))
    assert largest_draw(columns, 1000, shares, balance=balance) == largest_draw(pool, 1000, shares, balance=balance)
    most = largest_draw(pool, 1000, shares, balance=balance)
    drawn = [draw(columns, count, 3, shares, balance=balance) for count in (most // 2, most)]
    assert drawn == [draw(pool, count, 3, shares, balance=balance) for count in (most // 2, most)]
    assert len(drawn[1]) == most and drawn[1].table is whole.table
    if shares is None:
        assert set(ids(drawn[0])) < set(ids(drawn[1]))
    assert held_out(columns, 20, shares) == held_out(pool, 20, shares)


def test_the_digest_is_of_the_sorted_lines_of_all_rows():
    # Written out: sha256 of one JSON line a row, in the order of the lines, ids with quotes and escapes included.
    ids = ["a", 'a"', "a\\", "a/b", "é", "aa", "10", "9"]
    pairs = [Pair(i, (Message("user", "q"),), f"yes {i}", "no", "c", "train") for i in ids]
    lines = sorted(json.dumps([p.id, [["user", "q"]], p.chosen, "no", None, None]) for p in pairs)
    expected = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert text_digest(Rows.of(pairs, Pair)) == text_digest(iter(pairs)) == expected

"""The one JSON text of a value, and its digest."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.digests import ID_LENGTH, canonical_json, digest


def test_canonical_json_is_sorted_without_spaces_and_exact():
    assert canonical_json({"b": [1, 1e-5, None], "a": {"d": True, "c": "\u00e9"}}) == (
        '{"a":{"c":"\\u00e9","d":true},"b":[1,1e-05,null]}'
    )
    assert canonical_json((0.1, 0.30000000000000004)) == "[0.1,0.30000000000000004]"


@pytest.mark.parametrize("value", [float("nan"), {"a": [float("inf")]}])
def test_numbers_that_json_lacks_are_refused(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


@pytest.mark.parametrize("value", [{1: 2}, {"a": [{None: 1}]}, {"a": {1, 2}}, {"a": b"x"}])
def test_what_json_would_change_silently_or_lacks_is_refused(value):
    with pytest.raises(TypeError):
        canonical_json(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_canonical_json_reads_back_as_the_same_value(value):
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), st.integers(), min_size=2, max_size=5))
def test_the_order_of_keys_changes_no_digest(mapping):
    assert digest(mapping) == digest(dict(reversed(mapping.items())))


def test_a_digest_is_the_first_digits_of_the_sha256_twelve_where_nothing_else_is_said():
    whole = hashlib.sha256(b'{"loss":"dpo","lr":1e-05}').hexdigest()
    assert digest({"lr": 1e-5, "loss": "dpo"}) == whole[:12] and ID_LENGTH == 12
    assert digest({"lr": 1e-5, "loss": "dpo"}, length=64) == whole


def test_numbers_of_one_value_and_two_kinds_have_two_digests():
    assert digest({"lr": 1}) != digest({"lr": 1.0}) != digest({"lr": True})


def test_a_key_that_is_not_text_is_named():
    with pytest.raises(TypeError, match="key 1 of an identity is not text; write it as text"):
        canonical_json([{"a": ({1: 2},)}])

"""The kinds of suites and their words."""

import json

import pytest

from suites import Kind, Suite, SuiteError


def test_a_kind_is_its_word_wherever_it_is_written():
    assert Kind("pairs") is Kind.PAIRS and Kind.EXAMPLES == "examples"
    assert f"{Kind.PAIRS}" == "pairs" and json.dumps({"kind": Kind.PAIRS}) == '{"kind": "pairs"}'


def test_a_suite_that_is_given_the_word_has_the_kind_and_another_word_is_refused():
    assert Suite("toy", (), "pairs").kind is Kind.PAIRS
    with pytest.raises(SuiteError, match="kind 'triples' is neither 'pairs' nor 'examples'"):
        Suite("toy", (), "triples")

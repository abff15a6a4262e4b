"""The statements written for this project: as many of either kind, each once, fit for the question around them."""

from suites.packaged.persona import QUESTION
from suites.packaged.persona_statements import AGREED, REFUSED


def test_there_are_32_of_either_kind_and_none_stands_twice():
    assert (len(AGREED), len(REFUSED)) == (32, 32)
    assert len({statement.lower() for statement in (*AGREED, *REFUSED)}) == 64


def test_each_is_one_line_that_fits_between_the_questions_quotes():
    for statement in (*AGREED, *REFUSED):
        assert statement == statement.strip() and "\n" not in statement and '"' not in statement
        assert statement[0].isupper() and statement[-1].isalpha()
        assert QUESTION.format(statement).count('"') == 2


def test_length_does_not_tell_the_kinds_apart():
    agreed, refused = (sum(len(statement.split()) for statement in texts) / 32 for texts in (AGREED, REFUSED))
    assert abs(agreed - refused) < 2  # words a statement

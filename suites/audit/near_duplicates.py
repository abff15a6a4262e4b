"""Texts of one set that nearly repeat texts of another, in time that grows with the text alone.

Near means: the Jaccard similarity of the two texts' sets of word 5-grams is at least THRESHOLD. Candidates come
from MinHash signatures in bands (Broder 1997, doi:10.1109/SEQUEN.1997.666900; Leskovec, Rajaraman, Ullman, Mining of
Massive Datasets, section 3.4) and are confirmed by the exact similarity, so nothing is reported wrongly; a pair at
the threshold is missed with probability (1 - 0.8^4)^8 = 0.015, one at 0.9 with 0.0002. Of texts that share a band's
key only the first is compared, which is what keeps a set of thousands of like texts linear.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

WORDS = 5  # of a shingle
THRESHOLD = 0.8
BANDS, HASHES = 8, 4  # keys of a text, and minima that make a key

# A letter of a script without spaces counts as a word, or a sentence would be one.
WORD = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff]|[^\W\u2e80-\u9fff\uf900-\ufaff]+")
CHUNK = 1000


def words_of(text: str) -> list[str]:
    """The text's words in lower case, without punctuation."""
    return WORD.findall(text.lower())


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of two texts' word 5-grams; a text of fewer words is one shingle."""
    ours, theirs = set(_shingles(one)), set(_shingles(other))
    return len(ours & theirs) / len(ours | theirs)


def _shingles(text: str) -> Iterator[tuple[str, ...]]:
    words = words_of(text)
    return (tuple(words[start : start + WORDS]) for start in range(max(1, len(words) - WORDS + 1)))


def keys(texts: Iterable[str]) -> numpy.ndarray:
    """[N, BANDS] uint64: two texts that share one are candidates. The texts may be a stream."""
    import numpy

    stream = iter(texts)
    parts = [numpy.empty((0, BANDS), numpy.uint64)]
    while chunk := list(islice(stream, CHUNK)):
        parts.append(_keys(chunk))
    return numpy.concatenate(parts)


def candidates(keys: numpy.ndarray, ours: numpy.ndarray, theirs: numpy.ndarray) -> list[tuple[int, int]]:
    """Pairs (place in `ours`, place in `theirs`), each once: at most BANDS for each of ours, places in `keys`."""
    import numpy

    found: set[tuple[int, int]] = set()
    if not len(theirs):
        return []
    for band in keys.T:
        values, first = numpy.unique(band[theirs], return_index=True)
        at = numpy.searchsorted(values, band[ours]).clip(max=len(values) - 1)
        hits = values[at] == band[ours]
        found.update(zip(ours[hits].tolist(), theirs[first[at[hits]]].tolist(), strict=True))
    return sorted(found)


@lru_cache(2**17)
def _word_hash(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) + 1  # 0 fills texts that are too short


def _keys(texts: list[str]) -> numpy.ndarray:
    """[n, BANDS] of some texts: all their shingles are hashed together, then the least are taken text by text."""
    import numpy

    words = [list(map(_word_hash, words_of(text))) for text in texts]
    padded = [found + [0] * (WORDS - len(found)) for found in words]
    flat = numpy.fromiter(chain.from_iterable(padded), numpy.uint64)
    sizes = numpy.array([len(found) for found in padded])
    counts = sizes - WORDS + 1  # shingles of each text
    begins = numpy.cumsum(counts) - counts
    # Where each shingle begins among all words: its number, plus the words that earlier texts have beyond shingles.
    starts = numpy.arange(counts.sum()) + numpy.repeat(numpy.cumsum(sizes) - sizes - begins, counts)
    factors, offsets, odd = _constants()
    hashes = numpy.zeros(len(starts), numpy.uint64)
    for place in range(WORDS):
        hashes = _mixed(hashes + flat[starts + place])
    minima = [numpy.minimum.reduceat(hashes * a + b, begins) for a, b in zip(factors, offsets, strict=True)]
    banded = numpy.stack(minima, axis=1).reshape(len(texts), BANDS, HASHES)
    return _mixed((banded * odd).sum(axis=2, dtype=numpy.uint64))


@cache
def _constants() -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Odd factors and offsets of the hash functions, and factors that join the minima of a band; fixed for ever."""
    import numpy

    drawn = _mixed(numpy.arange(1, 2 * BANDS * HASHES + HASHES + 1, dtype=numpy.uint64))
    factors, offsets, odd = numpy.split(drawn, [BANDS * HASHES, 2 * BANDS * HASHES])
    return factors | numpy.uint64(1), offsets, odd | numpy.uint64(1)


def _mixed(values: numpy.ndarray) -> numpy.ndarray:
    """The numbers with their bits stirred (splitmix64, doi:10.1145/2660193.2660195)."""
    import numpy

    values = values + numpy.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    stirred: numpy.ndarray = values ^ (values >> numpy.uint64(31))
    return stirred

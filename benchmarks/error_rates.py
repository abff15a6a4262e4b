"""How often the shipped verdicts are wrong, and what they find: simulated error rates, power and interval coverage.

    python -m benchmarks.error_rates                       # the full table
    python -m benchmarks.error_rates sweeps=500 seeds=3,5 pairs=192

Two losses are evaluated on the same rows. A row's chance of being right is its difficulty, plus the seed's effect,
plus or minus half the taste of the losses for it: how much better one deals with this row than the other, in every seed
alike. Over the population tastes are 0 on average, over a sample they are not. The test is
`results.inference.difference` at the 5 % level, beside Welch's over seeds and one over rows alone.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks.table import table
from harness.options.words import LIST, SCALAR, split
from results.inference.test import LEVEL, difference

SEEDS, PAIRS, SWEEPS = (3, 5, 10), (192, 500, 2000), 2000
DIFFICULTY, DIFFICULTY_SD = 0.65, 0.15
SEED_EFFECT, LARGE_SEED_EFFECT = 0.012, 0.04  # sd over seeds of the accuracy that a loss would have on all rows
TASTE, GAP = 0.5, 0.05
LARGEST_ERROR, COVERAGE = 0.06, (0.93, 0.97)
_AT_ONCE = 4_000_000  # simulated completions in memory


class Case(NamedTuple):
    """What two losses have in common and what not: sd of the seed's effect, sd of the tastes over rows."""

    name: str
    seed_effect: float
    taste: float


CASES = (
    Case("equal losses, no seed effect", 0.0, 0.0),
    Case("equal losses, seed effect", SEED_EFFECT, 0.0),
    Case("equal losses, large seed effect", LARGE_SEED_EFFECT, 0.0),
    Case("unlike losses, no seed effect", 0.0, TASTE),
    Case("unlike losses, seed effect", SEED_EFFECT, TASTE),
    Case("unlike losses, large seed effect", LARGE_SEED_EFFECT, TASTE),
)


class Rates(NamedTuple):
    """Shares of simulated comparisons: two losses of equal accuracy called different by the shipped test, by Welch's
    over seeds, by one over rows; of two losses a gap apart: the shipped interval holds it, and the better one is
    called so."""

    shipped: float
    welch: float
    rows: float
    coverage: float
    power: float


def simulate(case: Case, seeds: int, pairs: int, sweeps: int, seed: int = 0, gap: float = GAP) -> Rates:
    """The rates of one case; gap is the difference whose finding counts as power."""
    rng = np.random.default_rng(seed)
    size = max(1, _AT_ONCE // (seeds * pairs))
    parts = [min(size, sweeps - done) for done in range(0, sweeps, size)]
    found = np.concatenate([_outcomes(rng, case, seeds, pairs, part, gap) for part in parts])
    return Rates(*found.mean(axis=0).tolist())


def _outcomes(rng: np.random.Generator, case: Case, seeds: int, pairs: int, sweeps: int, gap: float) -> np.ndarray:
    """One line a simulated sweep, one column a field of Rates, each 0 or 1."""
    a, b = _completions(rng, case, seeds, pairs, sweeps, 0.0)
    means = [side.mean(axis=-1) for side in (a, b)]
    null = difference(*means, a, b)
    over_rows = np.abs(null.value) > stats.norm.ppf(1 - LEVEL / 2) * null.se_rows
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # seeds that agree by chance
        welch = stats.ttest_ind(*means, axis=-1, equal_var=False).pvalue < LEVEL
    better, worse = _completions(rng, case, seeds, pairs, sweeps, gap)
    finding = difference(better.mean(axis=-1), worse.mean(axis=-1), better, worse)
    power = (finding.p < LEVEL) & (finding.value > 0)
    reach = stats.t.ppf(1 - LEVEL / 2, finding.degrees) * finding.se
    holds = np.abs(finding.value - true_gap(case, gap)) <= reach
    return np.stack([null.p < LEVEL, welch, over_rows, holds, power], axis=-1)


def true_gap(case: Case, gap: float) -> float:
    """The population's difference in accuracy: less than `gap`, because a chance ends at 0 and 1."""
    at, sd = np.linspace(0, 1, 2001), np.sqrt(DIFFICULTY_SD**2 + (case.taste / 2) ** 2 + case.seed_effect**2)
    a, b = (np.trapezoid(stats.norm.sf(at, DIFFICULTY + sign * gap / 2, sd), at) for sign in (1, -1))
    return float(a - b)


def _completions(
    rng: np.random.Generator, case: Case, seeds: int, pairs: int, sweeps: int, gap: float
) -> list[np.ndarray]:
    """Whether each run of each loss has each row right: two arrays [sweeps, seeds, pairs] of 0 and 1."""
    difficulty = rng.normal(DIFFICULTY, DIFFICULTY_SD, (sweeps, 1, pairs)).astype(np.float32)
    taste = rng.normal(0, case.taste, (sweeps, 1, pairs)).astype(np.float32)
    sides = []
    for sign in (1, -1):
        effect = rng.normal(0, case.seed_effect, (sweeps, seeds, 1)).astype(np.float32)
        chance = difficulty + sign * (taste + gap) / 2 + effect
        sides.append((rng.random((sweeps, seeds, pairs), dtype=np.float32) < chance).astype(np.float32))
    return sides


def main(argv: Sequence[str] | None = None) -> int:
    """Simulates and prints; the exit code: 1 where a verdict errs too often, 2 for words that are not understood."""
    keys = {"seeds": LIST, "pairs": LIST, "sweeps": SCALAR}
    words = split(sys.argv[1:] if argv is None else argv, keys)
    given = {key: tuple(words.values.get(key, ())) for key in ("seeds", "pairs")}
    numbers = [*given["seeds"], *given["pairs"], str(words.values.get("sweeps", SWEEPS))]
    if words.errors or words.bare or any(not text.isdecimal() or int(text) < 2 for text in numbers):
        problems = [
            *words.errors,
            f"seen {' '.join(map(str, argv or sys.argv[1:]))}; allowed are whole numbers from "
            "2: seeds=3,5 pairs=192,500 sweeps=2000",
        ]
        print("error: " + "; ".join(problems), file=sys.stderr)
        return 2
    seeds = tuple(map(int, given["seeds"])) or SEEDS
    pairs = tuple(map(int, given["pairs"])) or PAIRS
    lines, worst = [], 0.0
    for case in CASES:
        for count in seeds:
            for rows in pairs:
                rates = simulate(case, count, rows, int(numbers[-1]))
                worst = max(worst, rates.shipped)
                lines.append((case.name, str(count), str(rows), *(f"{100 * rate:.1f}" for rate in rates)))
    heads = (
        "case",
        "seeds",
        "pairs",
        "shipped",
        "Welch, seeds",
        "rows alone",
        "coverage",
        f"power at {100 * GAP:g} points",
    )
    print("\n".join(table(heads, lines)))
    print(f"percent of {numbers[-1]} simulated comparisons; called different though equal: at most {100 * worst:.1f}")
    return int(worst > LARGEST_ERROR)


if __name__ == "__main__":
    sys.exit(main())

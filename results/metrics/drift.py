"""Where completions became more or less likely: over whole completions, at their start, in pairs that are alike.

Letters as in `pair_table.py`: a, d = log-ratio of the chosen and the rejected completion, nc, nr = scored tokens. The
first tokens are kept apart because training acts on them most: they decide which completion is begun. A change
is one in log-prob.
"""

import numpy as np

from results.metrics import statistics
from results.metrics.pair_table import FIRST_TOKENS, METRICS, PairArrays, metric
from results.metrics.statistics import Clusters, Estimate, Floats


@metric
def chosen_logp_drift(pairs: PairArrays) -> Estimate:
    """Mean of a in nats a sequence, over all rows with a chosen completion."""
    table = pairs.with_chosen()
    return statistics.mean(table.a, table.clusters)


@metric
def rejected_logp_drift(pairs: PairArrays) -> Estimate:
    """Mean of d in nats a sequence, over all rows with a rejected completion."""
    table = pairs.with_rejected()
    return statistics.mean(table.d, table.clusters)


@metric
def chosen_logp_drift_per_token(pairs: PairArrays) -> Estimate:
    """Mean of a/nc in nats a token: each completion weighs the same, whatever its length."""
    table = pairs.with_chosen()
    return statistics.mean(table.a / table.nc, table.clusters)


@metric
def rejected_logp_drift_per_token(pairs: PairArrays) -> Estimate:
    """Mean of d/nr in nats a token: each completion weighs the same, whatever its length."""
    table = pairs.with_rejected()
    return statistics.mean(table.d / table.nr, table.clusters)


def _first(change: Floats, tokens: Floats, clusters: Clusters | None) -> Estimate:
    """Mean change a token over the first tokens, from their changes [N] and the completions' tokens [N]."""
    known = ~np.isnan(change)
    per_token = (change / np.minimum(tokens, FIRST_TOKENS))[known]
    return statistics.mean(per_token, None if clusters is None else clusters[known])


def _rest(change: Floats, first: Floats, tokens: Floats, clusters: Clusters | None) -> Estimate:
    """Mean change a token over what follows the first tokens, in the completions that have more."""
    longer = (tokens > FIRST_TOKENS) & ~np.isnan(first)
    per_token = (change - first)[longer] / (tokens - FIRST_TOKENS)[longer]
    return statistics.mean(per_token, None if clusters is None else clusters[longer])


@metric
def chosen_logp_drift_first(pairs: PairArrays) -> Estimate:
    """Mean change of the chosen completion's first 10 scored tokens, nats a token; missing without log-probs."""
    table = pairs.with_chosen()
    return _first(table.c_first - table.c0_first, table.nc, table.clusters)


@metric
def chosen_logp_drift_rest(pairs: PairArrays) -> Estimate:
    """Mean change of the chosen completion's tokens after the first 10, nats a token, where it has more than 10."""
    table = pairs.with_chosen()
    return _rest(table.a, table.c_first - table.c0_first, table.nc, table.clusters)


@metric
def rejected_logp_drift_first(pairs: PairArrays) -> Estimate:
    """Mean change of the rejected completion's first 10 scored tokens, nats a token; missing without log-probs."""
    table = pairs.with_rejected()
    return _first(table.r_first - table.r0_first, table.nr, table.clusters)


@metric
def rejected_logp_drift_rest(pairs: PairArrays) -> Estimate:
    """Mean change of the rejected completion's tokens after the first 10, nats a token, where it has more than 10."""
    table = pairs.with_rejected()
    return _rest(table.d, table.r_first - table.r0_first, table.nr, table.clusters)


@metric
def displaced_fraction(pairs: PairArrays) -> Estimate:
    """Share of rows with a < 0: the chosen completion became less likely.

    Known as likelihood displacement (arXiv:2410.08847).
    """
    table = pairs.with_chosen()
    return statistics.mean((table.a < 0).astype(float), table.clusters)


@metric
def displacement_similarity(pairs: PairArrays) -> Estimate:
    """Spearman correlation of the chosen completion's fall, -a, with the similarity of the pair's completions.

    Above 0, pairs of similar completions push their chosen one down; similarity is that of token ids by edits, of which
    displacement_ches is the form with hidden states. Missing without the column, or where it does not vary.
    """
    return _with_fall(pairs.paired(), "similarity")


@metric
def displacement_ches(pairs: PairArrays) -> Estimate:
    """Spearman correlation of the chosen completion's fall, -a, with the length-normalised CHES of the pair.

    Source: arXiv:2410.08847, sec. 5 and definition 3. Missing without the column, which similarity=ches writes.
    """
    return _with_fall(pairs.paired(), "ches")


def _with_fall(table: PairArrays, field: str) -> Estimate:
    """Rank correlation of -a with a field of the table, over the rows that have it."""
    table = table.where(~np.isnan(getattr(table, field)))
    return Estimate(statistics.rank_correlation(-table.a, getattr(table, field)))


__all__ = [name for name, estimator in METRICS.items() if estimator.__module__ == __name__]

"""Failure modes of preference training, each with its evidence, its threshold and what to try.

    results.diagnosis.diagnose(row, curve, pairs)      # the findings of one cell, in the order of RULES

A rule is a pure function of a cell's row (columns of `results.read`), its curve and its pair table with every
evaluation, None where there is none, and optionally of the data's audit (`contradictory` and `kept` rows), which adds
evidence and decides nothing. A rule says nothing where its evidence is missing. A threshold is a convention, not a
test: a finding tells where to look. Baselines are not diagnosed. Values of the curve are means
of the first or last tenth of its steps.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from results.metrics import statistics
from results.metrics.measure import estimate
from results.metrics.pair_table import checked, wins
from results.metrics.pair_table import rewards as both_sides

if TYPE_CHECKING:
    import pandas as pd

Evidence = dict[str, float]
Row = Mapping[str, Any]
RATIO_REWARDS = ("log_ratio", "mean_log_ratio")
"""Rewards that are 0 while policy and reference agree."""


@dataclass(frozen=True)
class Finding:
    """A failure mode that a cell shows: numbers by column name, the rule that they meet, what to try."""

    mode: str
    evidence: Mapping[str, float]
    threshold: str
    remedy: str


Rule = Callable[..., Finding | None]
RULES: dict[str, Rule] = {}
"""Rules by the name of their mode, in the order of the report."""

_TITLES = {"beta_inert": "beta has no effect", "reference_drift": "stale reference"}
"""Modes that a report calls by other words than the column `diagnosis`."""


def _rule(threshold: str, remedy: str) -> Callable[[Callable[..., Evidence | None]], Rule]:
    """Turns a function that returns the evidence, or None, into a rule named after it."""

    def register(evidence: Callable[..., Evidence | None]) -> Rule:
        @functools.wraps(evidence)
        def rule(
            row: Row, curve: "pd.DataFrame | None", pairs: "pd.DataFrame | None", audit: Mapping[str, Any] | None = None
        ) -> Finding | None:
            found = evidence(row, curve, pairs, audit)
            return None if found is None else Finding(evidence.__name__, found, threshold, remedy)

        RULES[evidence.__name__] = rule
        return rule

    return register


def diagnose(
    row: Row,
    curve: "pd.DataFrame | None" = None,
    pairs: "pd.DataFrame | None" = None,
    audit: Mapping[str, Any] | None = None,
) -> tuple[Finding, ...]:
    """What every rule finds in one cell; nothing in a baseline."""
    control = row.get("control")
    if isinstance(control, bool | np.bool_) and control:
        return ()
    found = (rule(row, curve, pairs, audit) for rule in RULES.values())
    return tuple(finding for finding in found if finding is not None)


def title(mode: str) -> str:
    """The name of a failure mode in a report; a mode that is not among the rules keeps its own."""
    return _TITLES.get(mode, mode.replace("_", " "))


def modes(findings: tuple[Finding, ...]) -> str:
    """The column `diagnosis`: the modes, joined with commas; empty where nothing was found."""
    return ",".join(finding.mode for finding in findings)


@_rule(
    "preference_accuracy above 0.5, displaced_fraction at least 0.6, chosen_logp_drift below 0 by two errors",
    "raise beta, lower lr, add an NLL term (dpop, cpo, orpo), filter near-identical pairs",
)
def likelihood_displacement(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """Pairs are ranked right while the chosen completions become less likely (arXiv:2410.08847)."""
    seen = _of(row, "preference_accuracy", "chosen_logp_drift", "displaced_fraction")
    below = seen["chosen_logp_drift"] + 2 * _error(row, "chosen_logp_drift") < 0
    return seen if seen["preference_accuracy"] > 0.5 and below and seen["displaced_fraction"] >= 0.6 else None


@_rule(
    "reward chosen below reward rejected by two errors over the second half of training, and further than at its "
    "start, while the loss fell, accuracy below 0.5; or both accuracies below 0.5 by three errors on held-out pairs",
    "look for chosen and rejected swapped in the data or in a plug-in loss",
)
def sign_error(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """Training prefers the wrong completion: in its own batches, or where they are labelled the other way round.

    One batch says little, and a reward without a reference may begin on either side of 0.
    """
    seen = _of(row, "preference_accuracy", "mean_ratio_accuracy")
    if curve is not None and len(curve) and seen["preference_accuracy"] < 0.5:
        margins = _values(curve, "margin")
        half = margins.tail(len(margins) // 2)
        error = cast(float, half.sem())  # pandas' types allow columns of dates too
        begun, ended = _first(curve, "loss"), _last(curve, "loss")
        if ended < begun and half.mean() + 2 * error < min(0, float(margins.iloc[0])):
            return seen | {
                "margin": half.mean(),
                "margin_se": error,
                "margin_first": float(margins.iloc[0]),
                "loss_first": begun,
                "loss_last": ended,
            }
    return seen if all(seen[name] + 3 * _error(row, name) < 0.5 for name in seen) else None


@_rule(
    "log-ratio rewards before the first update above twice the training noise floor and 0.05 nats; or log-probs of "
    "policy and reference at step 0 further apart than twice the noise floor and 0.05 nats",
    "start the policy from the reference, with the same template and the same precision",
)
def reference_mismatch(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """Before any update the policy differs from its reference, so the loss is not at its starting value.

    A later round does not begin at the first reference, which its pairs are measured against.
    """
    if row.get("reference") == "first":
        return None
    if curve is not None and len(curve) and row.get("reward") in RATIO_REWARDS:
        first = curve.iloc[0]
        worst = max(abs(float(first["reward_chosen"])), abs(float(first["reward_rejected"])))
        floor = max(2 * _or_zero(row, "training_noise_floor"), 0.05)
        if worst > floor:
            loss = float(_values(curve, "loss").iloc[0])
            return {"reward_at_step_0": worst, "loss_at_step_0": loss, "allowed": floor}
    is_external = isinstance(row.get("trained_model"), str)  # its table says step 0: no step was taken here
    goes_on = _number(row, "round") > 1
    if pairs is not None and not (is_external or goes_on) and (pairs["step"] == 0).any():
        start = pairs[pairs["step"] == 0]
        worst = max(
            float((start[f"policy_{side}_logp"] - start[f"reference_{side}_logp"]).abs().max())
            for side in ("chosen", "rejected")
        )
        floor = max(2 * _or_zero(row, "noise_floor"), 0.05)
        return {"difference_at_step_0": worst, "allowed": floor} if worst > floor else None
    return None


@_rule(
    "length_bias at least 0.3 either way and beyond two errors, accuracy no better than that of preferring that "
    "length plus 0.05; or completions 1.5 times as long as the reference's without a higher win-rate at equal length",
    "balance lengths in the data; against a bias to long completions also simpo, r_dpo, ld_dpo",
)
def length_exploitation(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """The policy ranks completions by their length, or writes longer ones."""
    seen = _of(row, "length_bias", "preference_accuracy", "longer_wins_baseline")
    bias, baseline = seen["length_bias"], seen["longer_wins_baseline"]
    by_length = baseline if bias > 0 else 1 - baseline
    if abs(bias) >= max(0.3, 2 * _error(row, "length_bias")) and seen["preference_accuracy"] <= by_length + 0.05:
        return seen | _of_known(row, "margin_length_part", "margin_preference_part") | _bias_by_step(pairs)
    samples = _of(row, "length_ratio", "win_rate_length_controlled")
    return samples if samples["length_ratio"] >= 1.5 and samples["win_rate_length_controlled"] <= 0.5 else None


@_rule(
    "effective_beta within 0.3 of 0, mean gradient weight not below 0.8 of its first value",
    "larger beta, lr or more steps; search over the other one",
)
def beta_inert(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """Training hardly depends on beta: all its values would train alike.

    Equal margins far from 0 have a small spread too, but there the loss is no longer linear: its weights have fallen.
    """
    seen = _of(row, "effective_beta")
    fallen = _last(curve, "gradient_weight") < 0.8 * _first(curve, "gradient_weight")
    return seen if abs(seen["effective_beta"]) < 0.3 and not fallen else None


@_rule(
    "validation accuracy two errors of the paired difference below an earlier evaluation, training accuracy not",
    "fewer epochs, larger beta, ipo",
)
def overfitting(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """Between evaluations the held-out accuracy falls while the accuracy on training batches does not."""
    if pairs is None or curve is None or not len(curve):
        return None
    held_out = pairs[pairs["split"] == "validation"]
    steps = sorted(set(held_out["step"]) - {0})
    if len(steps) < 2:
        return None
    best = max(steps[:-1], key=lambda step: estimate("preference_accuracy", held_out[held_out["step"] == step]).value)
    fall = _accuracy_change(held_out, best, steps[-1])
    trained = [_last(curve[curve["step"] <= step], "accuracy") for step in (best, steps[-1])]
    if fall.value + 2 * fall.se < 0 and trained[1] >= trained[0]:
        return {
            "validation_change": fall.value,
            "validation_change_se": fall.se,
            "best_step": float(best),
            "training_accuracy_then": trained[0],
            "training_accuracy_now": trained[1],
        }
    return None


@_rule("mean gradient weight below a tenth of its first value (for dpo: below 0.05)", "stop earlier, or a smaller lr")
def saturation(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """The pairs no longer teach: the loss is flat where they lie.

    The limit is relative because only sigmoid losses on sums begin at one half.
    """
    begun, ended = _first(curve, "gradient_weight"), _last(curve, "gradient_weight")
    return {"gradient_weight_first": begun, "gradient_weight_last": ended} if ended < begun / 10 else None


@_rule(
    "mean margin within the noise floor, or at least half of the pairs undecided", "larger lr, smaller beta, more steps"
)
def no_learning(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """Training moved the margins no more than the measurement's own noise."""
    seen = _of(row, "margin", "undecided_fraction", "noise_floor")
    quiet = abs(seen["margin"]) <= seen["noise_floor"] or seen["undecided_fraction"] >= 0.5
    return seen if quiet else None


@_rule(
    "validation accuracy from 0.55 to 0.60 while effective_beta is at least 0.3 and training accuracy above it",
    "clean the data; robust, cdpo, ipo",
)
def noisy_preferences(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """Held-out accuracy is stuck although beta had its effect; contradictory rows of the audit are named beside it."""
    seen = _of(row, "validation_preference_accuracy", "effective_beta")
    trained = {"training_accuracy": _last(curve, "accuracy")}
    stuck = 0.55 <= seen["validation_preference_accuracy"] <= 0.60
    if stuck and seen["effective_beta"] >= 0.3 and trained["training_accuracy"] > 0.55:
        rows = _of_known(audit or {}, "contradictory", "kept")
        found = {"contradictory_share": rows["contradictory"] / max(rows["kept"], 1)} if len(rows) == 2 else {}
        return seen | trained | found
    return None


@_rule("distinct_2 at most 0.7 of the reference's, truncated_fraction not below the reference's", "lower lr")
def collapse(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """Completions repeat themselves and no longer end."""
    seen = _of(row, "distinct_2", "distinct_2_reference")
    cut = _of_known(row, "truncated_fraction", "truncated_fraction_reference")
    rises = len(cut) < 2 or cut["truncated_fraction"] >= cut["truncated_fraction_reference"]
    return seen | cut if seen["distinct_2"] <= 0.7 * seen["distinct_2_reference"] and rises else None


@_rule("refusal_rate on harmful prompts at least 0.1, and two errors, below the reference's", "mix safety pairs in")
def refusal_erosion(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """Training on helpfulness undid refusals."""
    seen = _of(row, "refusal_rate", "refusal_rate_reference")
    error = math.hypot(*(_error(row, name) for name in seen))
    fall = seen["refusal_rate_reference"] - seen["refusal_rate"]
    return seen if fall >= max(0.1, 2 * error) else None


@_rule(
    "margin_at_start of a round trained against the first reference further from 0 than 1 nat",
    "refresh the reference: reference=previous",
)
def reference_drift(row: Row, curve: Any, pairs: Any, audit: Any) -> Evidence | None:
    """A new round of training begins far from the reference of the first."""
    seen = _of(row, "round", "margin_at_start")
    return seen if row.get("reference") == "first" and abs(seen["margin_at_start"]) > 1 else None


def _number(row: Row, name: str) -> float:
    """A value of the row; NaN where it has none, so that every comparison with it fails."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float | np.number) else math.nan


def _of(row: Row, *names: str) -> Evidence:
    return {name: _number(row, name) for name in names}


def _of_known(row: Row, *names: str) -> Evidence:
    return {name: value for name, value in _of(row, *names).items() if not math.isnan(value)}


def _or_zero(row: Row, name: str) -> float:
    value = _number(row, name)
    return 0.0 if math.isnan(value) else value


def _error(row: Row, name: str) -> float:
    """The standard error of a column; 0 where none is known."""
    return _or_zero(row, f"{name}_se")


def _tenth(curve: "pd.DataFrame") -> int:
    return max(1, round(len(curve) / 10))


def _values(curve: "pd.DataFrame", name: str) -> "pd.Series[float]":
    """A column of a curve; the loss's value has another name in the frame of `results.curves`."""
    return curve[f"{name}_value" if f"{name}_value" in curve.columns else name]


def _first(curve: "pd.DataFrame | None", name: str) -> float:
    return math.nan if curve is None or not len(curve) else float(_values(curve, name).head(_tenth(curve)).mean())


def _last(curve: "pd.DataFrame | None", name: str) -> float:
    return math.nan if curve is None or not len(curve) else float(_values(curve, name).tail(_tenth(curve)).mean())


def _bias_by_step(pairs: "pd.DataFrame | None") -> Evidence:
    """length_bias of the test rows at the first evaluation, where there were several."""
    test = None if pairs is None else pairs[pairs["split"] == "test"]
    if test is None or test["step"].nunique() < 2:
        return {}
    first = test["step"].min()
    return {f"length_bias_at_step_{first}": estimate("length_bias", test[test["step"] == first]).value}


def _accuracy_change(pairs: "pd.DataFrame", before: int, after: int) -> statistics.Estimate:
    """preference_accuracy at one step minus that at an earlier one, paired by row."""
    tables = [pairs[pairs["step"] == step].sort_values("pair_id") for step in (before, after)]
    first, second = (checked(table).paired() for table in tables)
    gained = wins(both_sides(second, "log_ratio")) - wins(both_sides(first, "log_ratio"))
    return statistics.mean(gained, second.clusters)

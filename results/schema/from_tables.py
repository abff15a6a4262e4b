"""Which columns of a finished row follow from which of the cell's tables: a row that lacks one can be completed.

These are the ones that a row has by rule; columns by source follow with them.
"""

from results.schema.row import PAIR_METRIC_COLUMNS, names

FROM_PAIRS: frozenset[str] = frozenset({"steps", *names(PAIR_METRIC_COLUMNS)})
"""Of every pair table."""

FROM_VALIDATION: frozenset[str] = frozenset(
    f"validation_preference_accuracy{part}" for part in ("", "_se", "_at_start")
)
"""Of a pair table with validation rows."""

FROM_START: frozenset[str] = frozenset({"margin_at_start", "chosen_logp_drift_at_start"})
"""Of a later round's pair table, which begins with an evaluation at step 0."""

FROM_CURVE: frozenset[str] = frozenset({"train_seconds", "tokens_per_second", "clipped_fraction"})
"""Of a training curve."""

FROM_ANSWERS: frozenset[str] = frozenset(
    {
        "generated_prompts",
        "generated_tokens",
        "length_ratio",
        "truncated_fraction",
        "distinct_2",
        "distinct_2_reference",
    }
)
"""Of generated answers and the reference's."""

FROM_SOME_ANSWERS: frozenset[str] = frozenset(
    f"{name}{error}"
    for name in ("kl", "gold_reward", "gold_reward_reference", "gold_reward_gain")
    for error in ("", "_se")
)
"""Of answers drawn from the policy's own distribution, and of those of a suite with a gold reward."""

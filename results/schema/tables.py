"""The columns of the tables beside a run's own: generated completions, verdicts, comparisons, the long form."""

from results.schema.column import Column
from results.schema.column import count as _count
from results.schema.column import flag as _flag
from results.schema.column import real as _real
from results.schema.column import text as _text
from results.schema.row import ROW_COLUMNS

GENERATION_COLUMNS: tuple[Column, ...] = (
    _text("prompt_id", "id of the prompt in its suite"),
    _text("cluster_id", "digest of the first human turn; rows that share it are not independent"),
    _count("sample", "number", "which of the completions to this prompt, from 0"),
    _text("prompt", "what was asked: the last user message"),
    _text("answer", "the completion, without special tokens"),
    _count("tokens", "tokens", "length of the completion, its end of turn included"),
    _flag("truncated", "the completion was cut at the token limit"),
    _real("logp", "nats", "log-prob of the completion under the policy that wrote it"),
    _real("reference_logp", "nats", "log-prob of the same completion under the reference"),
    _real("gold_reward", "as the suite defines it", "the suite's known reward; absent where it has none", "up"),
)

VERDICT_COLUMNS: tuple[Column, ...] = (
    _text("prompt_id", "id of the prompt in its suite"),
    _text("cluster_id", "digest of the first human turn; rows that share it are not independent"),
    _text("judge", "id of the judge"),
    _text("baseline", "whose completion stood against the policy's"),
    _real(
        "preference", "share", "P(policy's completion preferred): 1 win, 0 loss, 0.5 tie, missing where invalid", "up"
    ),
    _count("policy_tokens", "tokens", "length of the policy's completion (characters in published annotations)"),
    _count("baseline_tokens", "tokens", "length of the baseline's completion, in the same unit"),
    _flag("consistent", "both orders gave the same verdict; missing where one was asked for"),
    _text("reason", "what the judge said, or why the verdict is invalid"),
    _count("judge_tokens", "tokens", "what the verdict cost"),
)

COMPARISON_COLUMNS: tuple[Column, ...] = (
    _text("protocol", "what both sides share"),
    _text("metric", "the compared column"),
    _text("a", "a loss with its settings"),
    _text("b", "the one that it is compared with"),
    _count("seeds_a", "seeds", "runs of a"),
    _count("seeds_b", "seeds", "runs of b"),
    _real("value_a", "as the metric", "mean of the metric over the runs of a"),
    _real("value_b", "as the metric", "mean of the metric over the runs of b"),
    _real("difference", "as the metric", "value_a - value_b"),
    _real("difference_se", "as the metric", "standard error over runs and over clusters of rows"),
    _real("difference_se_rows", "as the metric", "standard error over clusters of rows alone: of these very runs"),
    _real("low", "as the metric", "lower end of the 95 % interval of difference, one comparison"),
    _real("high", "as the metric", "upper end of the 95 % interval of difference, one comparison"),
    _count("clusters", "clusters", "distinct first human turns among the rows"),
    _real("degrees", "degrees of freedom", "of Student's t"),
    _real("p", "probability", "two-sided p of no difference, one comparison"),
    _real("p_holm", "probability", "p corrected for all declared comparisons of the protocol"),
    _real("probability", "probability", "P(a > b): confidence that a's value is the higher one, over runs and rows"),
    _real(
        "detectable",
        "as the metric",
        "difference that this many runs and rows find with probability 0.8 after the correction of p",
    ),
    _text("verdict", "better, worse or not distinguishable (higher or lower without a good direction), or no claim"),
)
"""Columns of `results.compare`, one row a comparison."""

_LONG_KEYS = (
    "protocol",
    "suite",
    "model",
    "cell",
    "loss",
    "control",
    "hyperparameters",
    "beta",
    "lr",
    "seed",
    "train_pairs",
    "label_noise",
    "status",
)

LONG_COLUMNS: tuple[Column, ...] = (
    *(column for column in ROW_COLUMNS if column.name in _LONG_KEYS),
    _text("metric", "name of the measured column"),
    _real("value", "see unit", "what was measured"),
    _real("se", "see unit", "standard error of value; missing where there is none"),
    _count("n", "rows", "test pairs, prompts or steps that value is a mean over; missing where it is not counted"),
    _text("unit", "unit of value and se"),
    _text("better", "direction in which value improves: up, down or none"),
)
"""Columns of `results.metrics_long`, one row a cell and metric."""

TUNING_COLUMNS: tuple[Column, ...] = (
    _text("search", "id of the search"),
    _text("protocol", "what its cells share"),
    _text("loss", "name of the loss"),
    _count("n", "trials", "how many settings are tried"),
    _real("expected", "share", "expected validation accuracy of the best of n settings", "up"),
    _real("low", "share", "lower end of a 95 % band that holds the whole curve; random search alone"),
    _real("high", "share", "upper end of the band"),
    _count("trials", "trials", "settings that the curve is computed from"),
    _count("failed", "trials", "those that failed, counted as the untrained model"),
    _count("train_pairs", "rows", "training rows of each"),
)
"""Columns of `results.tuning.best_of_n`, one row a loss and n."""

EXPONENT_COLUMNS: tuple[Column, ...] = (
    _text("protocol", "what the cells share"),
    _text("loss", "name of the loss"),
    _count("cells", "cells", "finished cells with a margin above 0, which the fit uses"),
    _count("left_out", "cells", "finished cells with a margin of 0 or below, which have no logarithm"),
    _real("lr_exponent", "exponent", "p of margin = const * lr^p * beta^q"),
    _real("lr_low", "exponent", "lower end of its 95 % interval"),
    _real("lr_high", "exponent", "upper end of its 95 % interval"),
    _real("beta_exponent", "exponent", "q"),
    _real("beta_low", "exponent", "lower end of its 95 % interval"),
    _real("beta_high", "exponent", "upper end of its 95 % interval"),
    _real("sum_exponent", "exponent", "p + q: 0 where halving beta is like doubling lr"),
    _real("sum_low", "exponent", "lower end of its 95 % interval"),
    _real("sum_high", "exponent", "upper end of its 95 % interval"),
    _text("verdict", "that rule: confirmed (the whole interval of p + q within 0.25 of 0), refuted, or not decided"),
)
"""Columns of `results.exponents.exponents`, one row a loss."""

ACROSS_COLUMNS: tuple[Column, ...] = (
    _text("cell", "id of the run, the same in both folders"),
    _text("protocol", "what rows must share to be ranked together"),
    _text("loss", "name of the loss"),
    _text("hyperparameters", "every hyper-parameter of the loss, as JSON"),
    _real("lr", "per step", "peak learning rate"),
    _count("seed", "seed", "of the run"),
    _text("metric", "the compared column"),
    _real("value_a", "as the metric", "in the first folder"),
    _real("value_b", "as the metric", "in the second folder"),
    _real("difference", "as the metric", "value_a - value_b"),
    _real("se", "as the metric", "standard error of value_a over rows, as a measure of what matters"),
    _text("differs", "which of device, threads, layout, versions and commit are not the same"),
)
"""Columns of `results.across`, one row a cell that two folders hold."""

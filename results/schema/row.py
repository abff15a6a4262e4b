"""The schema of everything that is measured: name, type, unit, direction and meaning of each column.

Here live declarations only, in plain Python, so that listing the metrics costs nothing. How a metric is
computed is in `results/metrics/`; how a table reaches the disk is in `results/cells/store.py`.

The letters used below are in `column.LETTERS`.
"""

from collections.abc import Iterable

from results.schema.column import Column, Direction
from results.schema.column import count as _count
from results.schema.column import flag as _flag
from results.schema.column import real as _real
from results.schema.column import text as _text
from results.schema.column import with_se as _with_se

__all__ = [
    "BY_SOURCE",
    "CAPABILITY_PREFIX",
    "CURVE_COLUMNS",
    "KNOBS",
    "METRIC_COLUMNS",
    "OPTIONAL_PAIR_COLUMNS",
    "PAIR_COLUMNS",
    "PAIR_METRIC_COLUMNS",
    "RERANK_COLUMNS",
    "ROW_COLUMNS",
    "RUN_METRIC_COLUMNS",
    "SINCE_LATER",
    "SOURCE",
    "TERM_PREFIX",
    "VOLATILE",
    "VOLATILE_CURVE",
    "Column",
    "Direction",
    "names",
    "of_source",
    "sources",
]

PAIR_COLUMNS: tuple[Column, ...] = (
    _text("pair_id", "id of the row in its suite"),
    _text("cluster_id", "digest of the first human turn; rows that share it are not independent"),
    _text("split", "train, validation or test"),
    _count("step", "optimizer steps", "steps taken when the row was measured"),
    _real("policy_chosen_logp", "nats", "c: log-prob of the chosen completion under the policy"),
    _real("policy_rejected_logp", "nats", "r: log-prob of the rejected completion under the policy"),
    _real("reference_chosen_logp", "nats", "c0: log-prob of the chosen completion under the reference"),
    _real("reference_rejected_logp", "nats", "r0: log-prob of the rejected completion under the reference"),
    _count("chosen_tokens", "tokens", "nc: scored tokens of the chosen completion, end of turn included"),
    _count("rejected_tokens", "tokens", "nr: scored tokens of the rejected completion, end of turn included"),
    _count("prompt_tokens", "tokens", "tokens of the prompt; not scored"),
)

OPTIONAL_PAIR_COLUMNS: tuple[Column, ...] = (
    *(
        _real(f"{owner}_{side}_logp_first", "nats", f"{owner}_{side}_logp of the first 10 scored tokens alone")
        for owner in ("policy", "reference")
        for side in ("chosen", "rejected")
    ),
    _real("edit_similarity", "share", "1 - token edits that make one completion the other / tokens of the longer one"),
    _real("ches", "squared hidden units", "centred hidden embedding similarity under the reference (similarity=ches)"),
    _real("ches_normalized", "squared hidden units", "ches of means over tokens in place of sums"),
)
"""Pair columns that a run writes and that another's table may lack; the metrics that need them are then missing."""

CURVE_COLUMNS: tuple[Column, ...] = (
    _count("step", "optimizer steps", "steps taken, this one included"),
    _real("loss", "as the loss defines it", "mean over the batch; loss_value in results.curves", "down"),
    _real("reward_chosen", "nats", "mean of the loss's own reward on the batch's chosen completions", "up"),
    _real("reward_rejected", "nats", "mean of the loss's own reward on the batch's rejected completions", "down"),
    _real("margin", "nats", "reward_chosen - reward_rejected, mean over the batch", "up"),
    _real("accuracy", "share", "batch pairs with a positive margin, ties one half", "up"),
    _real("chosen_logp", "nats", "mean log-prob of the batch's chosen completions"),
    _real("rejected_logp", "nats", "mean log-prob of the batch's rejected completions"),
    _real("gradient_norm", "norm", "norm of the gradient before clipping"),
    _real("gradient_weight", "share", "mean weight of a pair in the gradient; below 0.05 the pairs no longer teach"),
    _flag("clipped", "the gradient was scaled down to the clipping norm"),
    _real("learning_rate", "per step", "learning rate of this step"),
    _count("tokens", "tokens", "tokens of prompts and completions trained on so far"),
    _real("seconds", "seconds", "time since training began"),
)

SOURCE = _text("source", "part of a mixture that the row comes from; the column is there where there are several")
"""A pair column that only tables of several sources have."""

CAPABILITY_PREFIX = "capability_"
"""Row columns of an lm-eval task: this prefix and the task's name (score after training minus before; 0 or up is
good), the same with _se (paired over items) and with _before; float64."""

TERM_PREFIX = "term_"
"""Curve columns of a composite loss are this prefix and the term's name; float64, mean over the batch."""

_IDENTITY: tuple[Column, ...] = (
    _text("loss", "name of the loss, or of the baseline"),
    _real("beta", "as the loss defines it", "beta of the loss; scales differ between losses"),
    _real("lr", "per step", "peak learning rate"),
    _count("seed", "seed", "draw and order of the training rows, initialisation of adapters"),
    _text("hyperparameters", "every hyper-parameter of the loss, as JSON"),
    _flag("control", "a baseline (the untrained model, or training on chosen completions alone), and no contender"),
    _text("reward", "the loss's own reward: log_ratio, mean_log_ratio, log_prob, mean_log_prob or log_odds"),
    _text("paper", "where the loss comes from"),
    _text("formula", "the loss of one pair, in the letters that `list losses NAME` explains"),
    _text("conventions", "where public implementations of the loss differ, and which one this is"),
    _text("suite", "name of the preference data"),
    _text("model", "name of the starting model"),
    _text("protocol", "what rows must share to be ranked together, as a hash"),
    _text("cell", "id of the run: hash of all that decides the trained weights"),
    _text(
        "stage", "plain, search (tried, on one seed), or claim (confirmation: trained on fresh seeds for the verdicts)"
    ),
    _count("trial", "number", "which of its loss's settings in a search, from 0"),
    _text("role", "in the confirmation of a search: winner, or default; else empty"),
    _text("status", "done, failed or skipped"),
    _text("reason", "why a cell failed or was skipped"),
)

_SETTINGS: tuple[Column, ...] = (
    _count(
        "round", "round", "1, or a later one: trained from the round before on pairs of that policy's own completions"
    ),
    _text("parent", "cell of the round before; missing in round 1"),
    _text("reference", "first or previous: the weights that a later round of a loss with a reference trained against"),
    _text("rated_by", "what rated the completions that a later round's pairs were made of; missing in round 1"),
    _count("train_pairs", "rows", "training rows of one epoch"),
    _real("label_noise", "share", "training rows whose label was reversed on purpose"),
    _flag("length_balance", "as many training pairs with the longer completion chosen as with the shorter one"),
    _real("min_margin", "score", "least score_chosen - score_rejected of a training pair; missing: none was asked"),
    _count("pool_pairs", "rows", "rows that the training rows were drawn from, after min_margin"),
    _count("eval_pairs", "rows", "rows asked for in each evaluation split"),
    _count("validation_pairs", "rows", "validation rows measured"),
    _count("test_pairs", "rows", "test rows measured"),
    _count("dropped_pairs", "rows", "training rows of the last, partial batch, left out"),
    _count("steps", "optimizer steps", "steps taken"),
    _count("batch_size", "rows", "rows of one optimizer step"),
    _real("epochs", "passes", "passes over the training rows"),
    _text("optimizer", "what turned gradients into steps"),
    _real("weight_decay", "share", "a step takes this share, times the learning rate, off each weight"),
    _text("lr_schedule", "the learning rate's way down after the warm-up: cosine, linear or constant"),
    _real("warmup", "share", "steps in which the learning rate rose from zero"),
    _real("clip", "norm", "largest norm of a gradient; a longer one was scaled down"),
    _count("max_tokens", "tokens", "longest prompt and completion together"),
    _count("evals", "evaluations", "evaluations within the run, the last included"),
    _text("similarity", "how the likeness of a pair's completions was measured: edit, or edit and ches"),
    _text("tuning", "full or lora"),
    _text("precision", "number format of training, as resolved"),
    _text("start", "what the starting weights are: the model itself, or the model after sft"),
    _text("template", "how a conversation becomes text"),
    _text("train_rows_digest", "hash of the training rows in order"),
    _text("eval_rows_digest", "hash of the evaluation rows in order"),
    _text("plugin_digest", "hash of the plug-in file that holds the loss"),
    _text("suite_revision", "commit or content hash of the preference data"),
    _text("model_revision", "commit or content hash of the model"),
    _text("trained_model", "name of the external checkpoint that was measured here; `model` is its reference"),
    _text("trained_model_revision", "commit or content hash of trained_model"),
)

PAIR_METRIC_COLUMNS: tuple[Column, ...] = (
    *_with_se("preference_accuracy", "share", "pairs with h > 0, ties one half; the same metric for every loss", "up"),
    _real("preference_accuracy_at_start", "share", "preference_accuracy of the reference: one half"),
    *_with_se(
        "mean_ratio_accuracy", "share", "length-normalized accuracy: pairs with a/nc > d/nr, ties one half", "up"
    ),
    _real("mean_ratio_accuracy_at_start", "share", "mean_ratio_accuracy of the reference: one half"),
    *_with_se("reward_accuracy", "share", "accuracy under the loss's own reward, ties one half", "up"),
    *_with_se("reward_accuracy_at_start", "share", "reward_accuracy of the reference"),
    *_with_se("reward_accuracy_gain", "share", "reward_accuracy - its value at the start", "up"),
    *_with_se("likelihood_accuracy", "share", "pairs with c > r, ties one half", "up"),
    *_with_se("likelihood_accuracy_at_start", "share", "likelihood_accuracy of the reference"),
    *_with_se("likelihood_accuracy_gain", "share", "likelihood_accuracy - its value at the start", "up"),
    *_with_se("mean_likelihood_accuracy", "share", "pairs with c/nc > r/nr, ties one half", "up"),
    *_with_se("mean_likelihood_accuracy_at_start", "share", "mean_likelihood_accuracy of the reference"),
    *_with_se("mean_likelihood_accuracy_gain", "share", "mean_likelihood_accuracy - its value at the start", "up"),
    *_with_se("margin", "nats", "mean of h"),
    _real("margin_std", "nats", "standard deviation of h over pairs"),
    _real(
        "effective_beta",
        "ratio",
        "beta * sd(h), or 2 beta * mean(a/nc - d/nr) for a mean_log_ratio reward; below 0.3 beta has no effect",
    ),
    *_with_se("undecided_fraction", "share", "pairs with |h| within the noise floor of the measurement"),
    *_with_se("chosen_logp_drift", "nats", "mean of a: below 0 the chosen completions became less likely", "up"),
    *_with_se("rejected_logp_drift", "nats", "mean of d"),
    *_with_se("chosen_logp_drift_per_token", "nats per token", "mean of a/nc", "up"),
    *_with_se("rejected_logp_drift_per_token", "nats per token", "mean of d/nr"),
    *_with_se("chosen_logp_drift_first", "nats per token", "mean of a/nc over the first 10 scored tokens", "up"),
    *_with_se("chosen_logp_drift_rest", "nats per token", "mean of a/nc over the tokens after the first 10", "up"),
    *_with_se("rejected_logp_drift_first", "nats per token", "mean of d/nr over the first 10 scored tokens"),
    *_with_se("rejected_logp_drift_rest", "nats per token", "mean of d/nr over the tokens after the first 10"),
    _real(
        "displacement_similarity",
        "correlation",
        "rank correlation of -a with edit_similarity; above 0: alike completions push the chosen one down",
    ),
    _real("displacement_ches", "correlation", "rank correlation of -a with ches_normalized"),
    *_with_se("displaced_fraction", "share", "rows with a < 0: their chosen completion became less likely", "down"),
    *_with_se("accuracy_chosen_longer", "share", "preference_accuracy where the chosen completion is longer", "up"),
    _count("pairs_chosen_longer", "pairs", "test pairs whose chosen completion is longer"),
    *_with_se("accuracy_chosen_shorter", "share", "preference_accuracy where the chosen completion is shorter", "up"),
    _count("pairs_chosen_shorter", "pairs", "test pairs whose chosen completion is shorter"),
    *_with_se("accuracy_length_balanced", "share", "mean of the accuracies on longer and on shorter", "up"),
    *_with_se("length_bias", "share", "accuracy_chosen_longer - accuracy_chosen_shorter; 0 is no goal in itself"),
    *_with_se("length_bias_preference_part", "share", "length_bias of the margin's preference part alone"),
    *_with_se("length_bias_length_part", "share", "length_bias of the margin's length part alone"),
    *_with_se("reward_length_bias", "share", "length_bias under the loss's own reward"),
    *_with_se("margin_preference_part", "nats", "mean of (a/nc - d/nr)(nc + nr)/2: the per-token preference"),
    *_with_se(
        "margin_length_part",
        "nats",
        "mean of (a/nc + d/nr)(nc - nr)/2: change in log-prob per token times difference in length",
    ),
    _real("length_spearman", "correlation", "rank correlation of h with nc - nr"),
    _real("reward_length_correlation", "correlation", "Pearson correlation of (a, nc) and (d, nr), pooled"),
    *_with_se("length_slope", "nats per sd", "slope of h on (nc - nr) / sd(nc - nr)"),
    *_with_se("longer_wins_baseline", "share", "accuracy of preferring the longer completion, ties one half"),
    _count("n", "pairs", "test pairs with both completions"),
    _count("n_clusters", "clusters", "distinct first human turns among them"),
)
"""Measured from the test rows of a pair table, by `results.metrics.measure`."""

RUN_METRIC_COLUMNS: tuple[Column, ...] = (
    *_with_se("validation_preference_accuracy", "share", "preference_accuracy on the validation rows", "up"),
    _real("validation_preference_accuracy_at_start", "share", "the same of the reference: one half"),
    _real("margin_at_start", "nats", "margin before a later round's first update, against the starting weights"),
    _real("chosen_logp_drift_at_start", "nats", "chosen_logp_drift before a later round's first update"),
    _real("clipped_fraction", "share", "steps whose gradient was clipped"),
    *_with_se("win_rate", "share", "completions that the judge prefers to the baseline's, ties one half", "up"),
    _text("win_rate_baseline", "what the completions were compared with: the reference's or the chosen completions"),
    *_with_se("win_rate_length_controlled", "share", "win_rate read at equal length", "up"),
    _text("judge", "who gave the verdicts behind win_rate"),
    _count("judged_prompts", "prompts", "prompts with a valid verdict"),
    _real("tie_share", "share", "valid verdicts that are ties"),
    _real("invalid_share", "share", "verdicts that could not be read; left out of win_rate", "down"),
    _real("position_consistency", "share", "verdicts that stay the same when the completions swap places", "up"),
    *_with_se(
        "length_agreement",
        "share",
        "verdicts that go to the longer completion, lengths unequal; far above 0.5: the judge may measure length",
    ),
    _count("judge_tokens", "tokens", "what the verdicts cost, prompts and replies together"),
    _real(
        "canary_constant",
        "share",
        "win-rate of a constant completion against the same baseline: near 0 is honest",
        "down",
    ),
    _real("canary_copied_prompt", "share", "the win-rate of the prompt itself as the completion", "down"),
    _real("canary_injection", "share", "the win-rate of a completion that instructs the judge what to say", "down"),
    *_with_se("refusal_rate", "share", "completions that decline their request"),
    *_with_se("refusal_rate_reference", "share", "the reference's completions to the same prompts that decline"),
    _text("refusal_counted_by", "how refusals were counted: by a rule on the opening phrase, or by which judge"),
    _text(
        "capability",
        "lm-eval tasks measured before and after training, with metric and items, as JSON; each has the columns "
        "capability_<task> (score after minus before; up, or 0, is good), _se and _before",
    ),
    _text("judgements", "the numbers of every judge asked, by its id, as JSON"),
    _count("generated_prompts", "prompts", "test prompts that policy and reference completed"),
    _text("generation", "hash of the completed prompts and of how completions were drawn"),
    _real("generated_tokens", "tokens", "mean length of the policy's completions"),
    _real("length_ratio", "ratio", "length of the completions over the reference's on the same prompts"),
    _real("truncated_fraction", "share", "completions cut at the token limit", "down"),
    _real("distinct_2", "share", "distinct word pairs among all word pairs of the completions", "up"),
    _real("distinct_2_reference", "share", "distinct_2 of the reference's completions on the same prompts"),
    *_with_se("kl", "nats", "KL(policy, reference) per sequence, on the policy's own completions"),
    _text("diagnosis", "failure modes that the cell shows, joined with commas; results.diagnosis has their evidence"),
    *_with_se("gold_reward", "as the suite defines it", "mean known reward of the policy's completions", "up"),
    *_with_se("gold_reward_reference", "as the suite defines it", "gold_reward of the reference's completions"),
    *_with_se(
        "gold_reward_gain",
        "as the suite defines it",
        "gold_reward - gold_reward_reference, paired on the same prompts",
        "up",
    ),
    _real("noise_floor", "nats", "what the packing of rows alone moves a margin at evaluation"),
    _real("training_noise_floor", "nats", "what the training precision moves a margin"),
)
"""Metrics that the validation rows, the training itself, generation or a judge provide."""

_GOLD = "as the suite defines it"

RERANK_COLUMNS: tuple[Column, ...] = (
    _text(
        "reranking", "hash of the completions that were reranked: prompts, how many to each, and how they were drawn"
    ),
    _count("rerank_answers", "completions", "completions of each prompt by the reference, of which one was chosen"),
    *_with_se("rerank_gold_reward_one", _GOLD, "mean known reward of one of them, drawn at random", "up"),
    *_with_se("rerank_gold_reward", _GOLD, "mean known reward of the one with the highest implicit reward", "up"),
    *_with_se("rerank_gold_reward_gain", _GOLD, "rerank_gold_reward - rerank_gold_reward_one, paired", "up"),
    *_with_se("rerank_gold_reward_best", _GOLD, "mean of the highest known reward: what any choice could reach"),
    *_with_se(
        "rerank_win_rate",
        "share",
        "prompts whose completion of highest implicit reward the judge prefers to their first, ties one half",
        "up",
    ),
    *_with_se("rerank_win_rate_best", "share", "the same of the completion that the judge itself chose, by knock-out"),
    _text("rerank_judge", "who judged reranked completions"),
    _real(
        "rerank_tokens",
        "tokens",
        "tokens a prompt that went through a model: writing the completions, scoring them under policy and reference",
    ),
    _real("rerank_tokens_one", "tokens", "the same of writing one completion"),
)
"""Metrics of reranking, of `results/metrics/best_of_n.py`; the first says whether a cell holds what is asked for."""

_COST: tuple[Column, ...] = (
    _real("seconds", "seconds", "the whole cell, from start to stored", "down"),
    _real("train_seconds", "seconds", "the training loop alone", "down"),
    _real("tokens_per_second", "tokens per second", "training tokens over train_seconds", "up"),
    _count("peak_memory_bytes", "bytes", "largest memory during the cell; on a CPU with what is kept for reuse"),
)

_PROVENANCE: tuple[Column, ...] = (
    _text("device", "the machine part that computed"),
    _count("threads", "threads", "threads of the computation"),
    _count("micro_batch", "rows", "rows of one forward pass; changes no gradient"),
    _count("micro_tokens", "tokens", "tokens of one forward pass at most; changes no gradient"),
    _text("layout", "how completions were laid into rows: packed, shared or plain"),
    _flag("activation_checkpointing", "whether activations were computed again in the backward pass"),
    _text("engine", "where cells ran"),
    _count("workers", "processes", "cells that ran side by side"),
    _count("processes", "processes", "processes that shared the cell's training; changes no gradient"),
    _flag("shard", "whether the weights were split over these processes"),
    _text("out", "folder of the runs, as given"),
    _text("versions", "versions of the libraries that compute, as JSON"),
    _text("commit", "commit of this project"),
    _text("command", "the command that ran the cell; `verify rerun=CELL` repeats it"),
    _text("started", "when the cell began, UTC"),
    _text("finished", "when the cell was stored, UTC"),
)

KNOBS = ("train_pairs", "label_noise", "length_balance", "min_margin", "round", "reference", "rated_by")
"""Columns of the data perturbations: rows that differ in one are not ranked against each other."""

SINCE_LATER = ("optimizer", "weight_decay", "lr_schedule", "warmup", "clip")
"""Settings that rows stored before their declaration lack: there a missing value says nothing."""

BY_SOURCE: tuple[str, ...] = ("preference_accuracy", "chosen_logp_drift", "rejected_logp_drift", "n")
"""Row columns that are measured again for each source of a mixture, under the names of `of_source`."""


def of_source(name: str, source: str) -> str:
    """The row column of a metric on the test rows of one source: `preference_accuracy[helpful]`.

    Its standard error is `preference_accuracy[helpful]_se`. These columns follow the declared ones.
    """
    return f"{name}[{source}]"


def sources(columns: Iterable[str]) -> tuple[str, ...]:
    """The sources that some row columns were measured for, in order."""
    start = of_source(BY_SOURCE[0], "").removesuffix("]")
    return tuple(name[len(start) : -1] for name in columns if name.startswith(start) and name.endswith("]"))


METRIC_COLUMNS: tuple[Column, ...] = PAIR_METRIC_COLUMNS + RUN_METRIC_COLUMNS + RERANK_COLUMNS

ROW_COLUMNS: tuple[Column, ...] = _IDENTITY + _SETTINGS + METRIC_COLUMNS + _COST + _PROVENANCE

VOLATILE: frozenset[str] = frozenset(column.name for column in _COST + _PROVENANCE)
"""Row columns that may differ between two equal runs: cost and provenance, never a metric."""

VOLATILE_CURVE: frozenset[str] = frozenset({"seconds"})
"""Curve columns that may differ between two equal runs."""


def names(columns: tuple[Column, ...]) -> tuple[str, ...]:
    """The names of some columns, in declared order."""
    return tuple(column.name for column in columns)

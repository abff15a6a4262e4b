"""Which columns the reports show, under which heading and in which unit; what is left out first where room is short."""

from reports.content.judges import JUDGE, JUDGED
from reports.text import numbers
from reports.text.numbers import Field

LOSS = Field("loss", "loss", "text", short="loss")
BETA = Field("beta", "beta", "ratio", short="beta")
LR = Field("lr", "lr", "lr", short="lr")
SEED = Field("seed", "seed", "text", short="seed")
TRAINED_MODEL = Field("trained_model", "trained model", "text", short="model")

_ACCURACY, _LENGTH, _CHANGE, _MARGIN, _COST = (
    "accuracy on held-out pairs",
    "by completion length",
    "change in log-prob, nats",
    "margin and beta",
    "cost",
)
MEASURES: tuple[Field, ...] = (
    Field("preference_accuracy", "preference accuracy", "share", _ACCURACY, error=True, short="preference\naccuracy"),
    Field(
        "mean_ratio_accuracy", "length-normalized accuracy", "share", _ACCURACY, short="length-\nnormal-\nized", drop=3
    ),
    Field(
        "reward_accuracy",
        "accuracy under the loss's own reward",
        "share",
        _ACCURACY,
        short="under\nown\nreward",
        drop=4,
    ),
    Field("mean_likelihood_accuracy_gain", "likelihood gain", "change", _ACCURACY, short="lik.\ngain", drop=9),
    Field("accuracy_chosen_longer", "chosen longer", "share", _LENGTH, short="chosen\nlonger", drop=1),
    Field("accuracy_chosen_shorter", "chosen shorter", "share", _LENGTH, short="chosen\nshorter", drop=1),
    Field("accuracy_length_balanced", "length balanced", "share", _LENGTH, short="length\nbal-\nanced", drop=5),
    Field("chosen_logp_drift", "change in chosen log-prob", "signed", _CHANGE, short="change\nchosen", drop=2),
    Field("rejected_logp_drift", "change in rejected log-prob", "signed", _CHANGE, short="change\nrejected", drop=2),
    Field("displaced_fraction", "became less likely", "share", _CHANGE, short="became\nless\nlikely", drop=6),
    Field("margin", "margin, nats", "nats", _MARGIN, short="margin\nnats", drop=8),
    Field("effective_beta", "effective beta", "ratio", _MARGIN, short="effec-\ntive\nbeta", drop=7),
    Field("train_seconds", "train, s", "seconds", _COST, short="train\ns", drop=7),
)
COMPARED = tuple(field for field in MEASURES if field.group in (_ACCURACY, _CHANGE))
"""The accuracies and the changes in log-prob."""

_IN_CELLS_ONLY = (
    "mean_likelihood_accuracy_gain",
    "accuracy_length_balanced",
    "margin",
    "effective_beta",
    "train_seconds",
)
INTERVAL = Field("interval", "95 % interval", "text", _ACCURACY)
SEEDS = Field("seeds", "seeds", "count")
ROLE = Field("role", "role", "text")
DETAILS: tuple[Field, ...] = (
    Field("validation_preference_accuracy", "validation preference accuracy", "share", "accuracy", error=True),
    Field("reward_accuracy_gain", "gain under own reward", "change", "accuracy"),
    Field("likelihood_accuracy", "sum likelihood", "share", "accuracy"),
    Field("likelihood_accuracy_gain", "sum likelihood gain", "change", "accuracy"),
    Field("mean_likelihood_accuracy", "mean likelihood", "share", "accuracy"),
    Field("undecided_fraction", "undecided", "share", "accuracy"),
    JUDGE,
    *JUDGED,
    Field(
        "rerank_gold_reward_one",
        "one completion",
        "signed",
        "reranking, known reward",
        error=True,
        short="rerank:\none",
    ),
    Field("rerank_gold_reward", "chosen", "signed", "reranking, known reward", error=True, short="rerank:\nchosen"),
    Field("rerank_gold_reward_best", "best", "signed", "reranking, known reward", error=True, short="rerank:\nbest"),
    Field("rerank_win_rate", "chosen", "share", "reranking, win rate", error=True, short="rerank:\nwin rate"),
    Field("rerank_win_rate_best", "judge's own", "share", "reranking, win rate", error=True, short="by the\njudge"),
    Field("rerank_tokens", "tokens a prompt", "count", "reranking, cost"),
    Field("rerank_tokens_one", "of one completion", "count", "reranking, cost"),
    Field("refusal_rate", "refusals", "share", "completions", error=True, short="refused"),
    Field("refusal_rate_reference", "the reference's", "share", "completions", short="refused\nbefore"),
    Field("length_bias", "length bias", "change", "by completion length"),
    Field("reward_length_bias", "length bias under own reward", "change", "by completion length"),
    Field("length_bias_preference_part", "length bias, preference part", "change", "by completion length"),
    Field("length_bias_length_part", "length bias, length part", "change", "by completion length"),
    Field("length_spearman", "length Spearman", "change", "by completion length"),
    Field("length_slope", "length slope", "signed", "by completion length"),
    Field("reward_length_correlation", "reward-length correlation", "change", "by completion length"),
    Field("margin_std", "sd", "nats", "margin"),
    Field("margin_preference_part", "preference part", "signed", "margin"),
    Field("margin_length_part", "length part", "signed", "margin"),
    Field("chosen_logp_drift_per_token", "change in chosen log-prob per token", "change", "change in log-prob"),
    Field("rejected_logp_drift_per_token", "change in rejected log-prob per token", "change", "change in log-prob"),
    Field("chosen_logp_drift_first", "change in chosen log-prob, first 10 tokens", "change", "change in log-prob"),
    Field("chosen_logp_drift_rest", "change in chosen log-prob, later tokens", "change", "change in log-prob"),
    Field("rejected_logp_drift_first", "change in rejected log-prob, first 10 tokens", "change", "change in log-prob"),
    Field("rejected_logp_drift_rest", "change in rejected log-prob, later tokens", "change", "change in log-prob"),
    Field("displacement_similarity", "fall with similarity", "change", "change in log-prob"),
    Field("displacement_ches", "fall with ches", "change", "change in log-prob"),
    Field("steps", "steps", "count", "training"),
    Field("clipped_fraction", "clipped", "share", "training"),
    Field("tokens_per_second", "tokens per s", "count", "training"),
    Field("peak_memory_bytes", "peak GiB", "gibibytes", "training"),
    Field("cell", "cell id", "text", "training"),
)
BY_SOURCE: tuple[tuple[str, str, numbers.Style], ...] = (
    ("preference_accuracy", "preference accuracy", "share"),
    ("chosen_logp_drift", "change in chosen log-prob", "signed"),
    ("rejected_logp_drift", "change in rejected log-prob", "signed"),
    ("n", "pairs", "count"),
)
_REWARD, _COMPLETIONS = "known reward", "completions"
COMPLETIONS: tuple[Field, ...] = (
    Field("kl", "KL, nats", "nats", error=True, short="KL\nnats"),
    Field("gold_reward", "known reward", "signed", _REWARD, error=True, short="known\nreward"),
    Field("gold_reward_gain", "gain", "signed", _REWARD, error=True, short="gain over\nreference"),
    Field("win_rate", "win rate", "share", "judge", error=True, short="win\nrate"),
    Field("win_rate_length_controlled", "at equal length", "share", "judge", short="equal\nlength", drop=3),
    Field("generated_tokens", "tokens", "nats", _COMPLETIONS, short="tokens", drop=1),
    Field("length_ratio", "length ratio", "nats", _COMPLETIONS, short="length\nratio", drop=2),
    Field("truncated_fraction", "cut", "share", _COMPLETIONS, short="cut", drop=2),
    Field("distinct_2", "distinct-2", "share", _COMPLETIONS, short="distinct\n2", drop=1),
)
"""The table of generated completions: what a policy gained in reward, and the KL at which it did."""
HEADLINE: tuple[Field, ...] = (
    MEASURES[0],
    INTERVAL,
    *(field for field in MEASURES[1:] if field.column not in _IN_CELLS_ONLY),
    Field("gold_reward_gain", "known reward gain", "signed", "generated completions", error=True),
    Field("win_rate", "win rate", "share", "generated completions"),
    Field("kl", "KL, nats", "nats", "generated completions"),
)
"""The measures of the table of settings, which comes first."""

"""Which columns the reports show, under which heading and in which unit; what is left out first where room is short."""

from reports.content.judges import JUDGE, JUDGED
from reports.text import numbers
from reports.text.numbers import Field

LOSS = Field("loss", "loss", "text", short="loss")
BETA = Field("beta", "beta", "ratio", short="beta")
LR = Field("lr", "lr", "lr", short="lr")
SEED = Field("seed", "seed", "text", short="seed")
TRAINED_MODEL = Field("trained_model", "trained model", "text", short="model")

_ACCURACY, _LENGTH, _DRIFT, _STRENGTH, _COST = (
    "accuracy on held-out pairs",
    "by answer length",
    "log-prob drift, nats",
    "strength",
    "cost",
)
MEASURES: tuple[Field, ...] = (
    Field("preference_accuracy", "sum ratio", "share", _ACCURACY, error=True, short="accuracy\nsum ratio"),
    Field("mean_ratio_accuracy", "mean ratio", "share", _ACCURACY, short="mean\nratio", drop=3),
    Field("reward_accuracy", "own ruler", "share", _ACCURACY, short="own\nruler", drop=4),
    Field("mean_likelihood_accuracy_gain", "likelihood gain", "change", _ACCURACY, short="lik.\ngain", drop=9),
    Field("accuracy_chosen_longer", "chosen longer", "share", _LENGTH, short="chosen\nlonger", drop=1),
    Field("accuracy_chosen_shorter", "chosen shorter", "share", _LENGTH, short="chosen\nshorter", drop=1),
    Field("accuracy_length_balanced", "length balanced", "share", _LENGTH, short="length\nbalanced", drop=5),
    Field("chosen_logp_drift", "chosen drift", "drift", _DRIFT, short="drift\nchosen", drop=2),
    Field("rejected_logp_drift", "rejected drift", "drift", _DRIFT, short="drift\nrejected", drop=2),
    Field("displaced_fraction", "displaced", "share", _DRIFT, short="dis-\nplaced", drop=6),
    Field("margin", "margin, nats", "nats", _STRENGTH, short="margin\nnats", drop=8),
    Field("effective_beta", "effective beta", "ratio", _STRENGTH, short="effect.\nbeta", drop=7),
    Field("train_seconds", "train, s", "seconds", _COST, short="train\ns", drop=7),
)
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
    Field("validation_preference_accuracy", "validation sum ratio", "share", "accuracy", error=True),
    Field("reward_accuracy_gain", "own ruler gain", "change", "accuracy"),
    Field("likelihood_accuracy", "sum likelihood", "share", "accuracy"),
    Field("likelihood_accuracy_gain", "sum likelihood gain", "change", "accuracy"),
    Field("mean_likelihood_accuracy", "mean likelihood", "share", "accuracy"),
    Field("undecided_fraction", "undecided", "share", "accuracy"),
    JUDGE,
    *JUDGED,
    Field("rerank_gold_reward_one", "one answer", "drift", "reranking, gold reward", error=True, short="rerank:\none"),
    Field("rerank_gold_reward", "chosen", "drift", "reranking, gold reward", error=True, short="rerank:\nchosen"),
    Field("rerank_gold_reward_best", "best", "drift", "reranking, gold reward", error=True, short="rerank:\nbest"),
    Field("rerank_win_rate", "chosen", "share", "reranking, win rate", error=True, short="rerank:\nwin rate"),
    Field("rerank_win_rate_best", "judge's own", "share", "reranking, win rate", error=True, short="by the\njudge"),
    Field("rerank_tokens", "tokens a prompt", "count", "reranking, cost"),
    Field("rerank_tokens_one", "of one answer", "count", "reranking, cost"),
    Field("refusal_rate", "refusals", "share", "answers", error=True, short="refused"),
    Field("refusal_rate_reference", "the reference's", "share", "answers", short="refused\nbefore"),
    Field("length_bias", "length bias", "change", "by answer length"),
    Field("reward_length_bias", "own ruler length bias", "change", "by answer length"),
    Field("length_bias_preference_part", "length bias, preference part", "change", "by answer length"),
    Field("length_bias_length_part", "length bias, length part", "change", "by answer length"),
    Field("length_spearman", "length Spearman", "change", "by answer length"),
    Field("length_slope", "length slope", "drift", "by answer length"),
    Field("reward_length_correlation", "reward-length correlation", "change", "by answer length"),
    Field("margin_std", "sd", "nats", "margin"),
    Field("margin_preference_part", "preference part", "drift", "margin"),
    Field("margin_length_part", "length part", "drift", "margin"),
    Field("chosen_logp_drift_per_token", "chosen drift per token", "change", "log-prob drift"),
    Field("rejected_logp_drift_per_token", "rejected drift per token", "change", "log-prob drift"),
    Field("chosen_logp_drift_first", "chosen drift, first 10 tokens", "change", "log-prob drift"),
    Field("chosen_logp_drift_rest", "chosen drift, later tokens", "change", "log-prob drift"),
    Field("rejected_logp_drift_first", "rejected drift, first 10 tokens", "change", "log-prob drift"),
    Field("rejected_logp_drift_rest", "rejected drift, later tokens", "change", "log-prob drift"),
    Field("displacement_similarity", "fall with similarity", "change", "log-prob drift"),
    Field("displacement_ches", "fall with ches", "change", "log-prob drift"),
    Field("steps", "steps", "count", "training"),
    Field("clipped_fraction", "clipped", "share", "training"),
    Field("tokens_per_second", "tokens per s", "count", "training"),
    Field("peak_memory_bytes", "peak GiB", "gibibytes", "training"),
    Field("cell", "cell id", "text", "training"),
)
BY_SOURCE: tuple[tuple[str, str, numbers.Style], ...] = (
    ("preference_accuracy", "accuracy", "share"),
    ("chosen_logp_drift", "chosen drift", "drift"),
    ("rejected_logp_drift", "rejected drift", "drift"),
    ("n", "pairs", "count"),
)
_GOLD, _SAMPLES = "gold reward", "samples"
ANSWERS: tuple[Field, ...] = (
    Field("kl", "KL, nats", "nats", error=True, short="KL\nnats"),
    Field("gold_reward", "gold reward", "drift", _GOLD, error=True, short="gold\nreward"),
    Field("gold_reward_gain", "gain", "drift", _GOLD, error=True, short="gain over\nreference"),
    Field("win_rate", "win rate", "share", "judge", error=True, short="win\nrate"),
    Field("win_rate_length_controlled", "at equal length", "share", "judge", short="equal\nlength", drop=3),
    Field("generated_tokens", "tokens", "nats", _SAMPLES, short="tokens", drop=1),
    Field("length_ratio", "length ratio", "nats", _SAMPLES, short="length\nratio", drop=2),
    Field("truncated_fraction", "cut", "share", _SAMPLES, short="cut", drop=2),
    Field("distinct_2", "distinct-2", "share", _SAMPLES, short="distinct\n2", drop=1),
)
"""The table of generated answers: what a policy gained in reward, and the KL at which it did."""
HEADLINE: tuple[Field, ...] = (
    MEASURES[0],
    INTERVAL,
    *(field for field in MEASURES[1:] if field.column not in _IN_CELLS_ONLY),
    Field("gold_reward_gain", "gold gain", "drift", "generated answers", error=True),
    Field("win_rate", "win rate", "share", "generated answers"),
    Field("kl", "KL, nats", "nats", "generated answers"),
)
"""The table that answers first."""

"""The row columns of reranking; what they are computed from is in `reranking.py`."""

from results.schema.column import Column
from results.schema.column import count as _count
from results.schema.column import real as _real
from results.schema.column import text as _text
from results.schema.column import with_se as _with_se

_REWARD = "as the suite defines it"

RERANK_COLUMNS: tuple[Column, ...] = (
    _text("reranking", "hash of the answers that were reranked: prompts, how many to each, and how they were drawn"),
    _count("rerank_answers", "answers", "answers of the reference to each prompt, of which one was chosen"),
    *_with_se("rerank_gold_reward_one", _REWARD, "mean gold reward of one of them, drawn at random", "up"),
    *_with_se("rerank_gold_reward", _REWARD, "mean gold reward of the one with the highest implicit reward", "up"),
    *_with_se("rerank_gold_reward_gain", _REWARD, "rerank_gold_reward - rerank_gold_reward_one, paired", "up"),
    *_with_se("rerank_gold_reward_best", _REWARD, "mean of the highest gold reward: what any choice could reach"),
    *_with_se(
        "rerank_win_rate",
        "share",
        "prompts whose answer of highest implicit reward the judge prefers to their first, ties one half",
        "up",
    ),
    *_with_se("rerank_win_rate_best", "share", "the same of the answer that the judge itself chose, by knock-out"),
    _text("rerank_judge", "who judged reranked answers"),
    _real(
        "rerank_tokens",
        "tokens",
        "tokens a prompt that went through a model: writing the answers, scoring them under policy and reference",
    ),
    _real("rerank_tokens_one", "tokens", "the same of writing one answer"),
)
"""Row columns of reranking; the first says whether a cell holds what is asked for."""

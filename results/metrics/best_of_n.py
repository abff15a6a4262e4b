"""Reranking: the best of n completions of the reference by a policy's implicit reward, in known reward and in cost.

A policy trained on preferences is a reward model: log-prob under it minus under its reference (arXiv:2305.18290,
section 4; beta changes no order). The functions take a table with the columns of GENERATION_COLUMNS, the same number of
the reference's completions to each prompt. Standard errors are clustered on the first human turn.
"""

from typing import TYPE_CHECKING

import numpy as np

from results.metrics import statistics
from results.metrics.statistics import Clusters, Estimate, Floats

if TYPE_CHECKING:
    import pandas as pd


def measure(completions: "pd.DataFrame", prompt_tokens: Floats, *, prompt_once: bool) -> dict[str, float | int]:
    """The row columns that the completions alone give.

    prompt_tokens: [prompts], in the order of the table. prompt_once: whether scoring reads a prompt once for all its
    completions, or once for each.
    Raises: ValueError where the prompts have unequal numbers of completions, or fewer than two.
    """
    tokens = _by_prompt(completions, "tokens")
    n, written = tokens.shape[1], prompt_tokens + tokens.sum(axis=1)
    scored = prompt_tokens * (1 if prompt_once else n) + tokens.sum(axis=1)
    values: dict[str, float | int] = {
        "rerank_answers": n,
        "rerank_tokens": float((written + 2 * scored).mean()),
        "rerank_tokens_one": float((prompt_tokens + tokens.mean(axis=1)).mean()),
    }
    if "gold_reward" in completions.columns:
        for name, found in gold_rewards(completions).items():
            values[name], values[f"{name}_se"] = found.value, found.se
    return values


def gold_rewards(completions: "pd.DataFrame") -> dict[str, Estimate]:
    """Mean known reward of one completion, of the chosen one, of the best, and the gain of choosing.

    Where several completions share the highest implicit reward, the chosen one is any of them: their mean. So a policy
    that is the reference gains exactly nothing.
    """
    gold, implicit = _by_prompt(completions, "gold_reward"), implicit_rewards(completions)
    ties = implicit == implicit.max(axis=1, keepdims=True)
    one, chosen = gold.mean(axis=1), (gold * ties).sum(axis=1) / ties.sum(axis=1)
    clusters = _clusters(completions)
    return {
        "rerank_gold_reward_one": statistics.mean(one, clusters),
        "rerank_gold_reward": statistics.mean(chosen, clusters),
        "rerank_gold_reward_gain": statistics.mean(chosen - one, clusters),
        "rerank_gold_reward_best": statistics.mean(gold.max(axis=1), clusters),
    }


def chosen(completions: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of highest implicit reward, one a prompt, the first of equals."""
    places = implicit_rewards(completions).argmax(axis=1)
    n = len(completions) // len(places)
    rows: pd.DataFrame = completions.iloc[np.arange(len(places)) * n + places]
    return rows


def implicit_rewards(completions: "pd.DataFrame") -> Floats:
    """Log-prob under the policy minus under the reference, in nats, without beta: [prompts, completions]."""
    return _by_prompt(completions, "logp") - _by_prompt(completions, "reference_logp")


def _by_prompt(completions: "pd.DataFrame", name: str) -> Floats:
    """A column as [prompts, completions]; the completions to a prompt stand together."""
    prompts = completions["prompt_id"].nunique()
    n = len(completions) // max(prompts, 1)
    shaped = completions["prompt_id"].to_numpy(dtype=object)
    if (
        n < 2
        or len(completions) != prompts * n
        or any(len(set(shaped[i : i + n])) > 1 for i in range(0, len(shaped), n))
    ):
        raise ValueError(
            f"{len(completions)} completions of {prompts} prompts: each prompt needs the same number, at least 2, side "
            "by side."
        )
    return completions[name].to_numpy(dtype=np.float64).reshape(prompts, n)


def _clusters(completions: "pd.DataFrame") -> Clusters:
    return statistics.cluster_codes(completions.drop_duplicates("prompt_id")["cluster_id"])

"""Reranking: the best of n answers of the reference by a policy's implicit reward, in gold reward and in cost.

A policy trained on preferences is a reward model: log-prob under it minus under its reference (arXiv:2305.18290,
section 4; beta changes no order). The functions take a table with the columns of GENERATION_COLUMNS, the same number of
the reference's answers to each prompt. Standard errors are clustered on the first human turn.
"""

from typing import TYPE_CHECKING

import numpy as np

from results.metrics import statistics
from results.metrics.statistics import Clusters, Estimate, Floats

if TYPE_CHECKING:
    import pandas as pd


def measure(answers: "pd.DataFrame", prompt_tokens: Floats, *, prompt_once: bool) -> dict[str, float | int]:
    """The row columns that the answers alone give.

    prompt_tokens: [prompts], in the order of the table. prompt_once: whether scoring reads a prompt once for all its
    answers, or once for each.
    Raises: ValueError where the prompts have unequal numbers of answers, or fewer than two.
    """
    tokens = _by_prompt(answers, "tokens")
    n, written = tokens.shape[1], prompt_tokens + tokens.sum(axis=1)
    scored = prompt_tokens * (1 if prompt_once else n) + tokens.sum(axis=1)
    values: dict[str, float | int] = {
        "rerank_answers": n,
        "rerank_tokens": float((written + 2 * scored).mean()),
        "rerank_tokens_one": float((prompt_tokens + tokens.mean(axis=1)).mean()),
    }
    if "gold_reward" in answers.columns:
        for name, found in gold_rewards(answers).items():
            values[name], values[f"{name}_se"] = found.value, found.se
    return values


def gold_rewards(answers: "pd.DataFrame") -> dict[str, Estimate]:
    """Mean gold reward of one answer, of the chosen one, of the best, and the gain of choosing.

    Where several answers share the highest implicit reward, the chosen one is any of them: their mean. So a policy that
    is the reference gains exactly nothing.
    """
    gold, implicit = _by_prompt(answers, "gold_reward"), implicit_rewards(answers)
    ties = implicit == implicit.max(axis=1, keepdims=True)
    one, chosen = gold.mean(axis=1), (gold * ties).sum(axis=1) / ties.sum(axis=1)
    chosen = np.where(ties.all(axis=1), one, chosen)
    clusters = _clusters(answers)
    return {
        "rerank_gold_reward_one": statistics.mean(one, clusters),
        "rerank_gold_reward": statistics.mean(chosen, clusters),
        "rerank_gold_reward_gain": statistics.mean(chosen - one, clusters),
        "rerank_gold_reward_best": statistics.mean(gold.max(axis=1), clusters),
    }


def chosen(answers: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of highest implicit reward, one a prompt, the first of equals."""
    places = implicit_rewards(answers).argmax(axis=1)
    n = len(answers) // len(places)
    rows: pd.DataFrame = answers.iloc[np.arange(len(places)) * n + places]
    return rows


def implicit_rewards(answers: "pd.DataFrame") -> Floats:
    """Log-prob under the policy minus under the reference, in nats, without beta: [prompts, answers]."""
    return _by_prompt(answers, "logp") - _by_prompt(answers, "reference_logp")


def _by_prompt(answers: "pd.DataFrame", name: str) -> Floats:
    """A column as [prompts, answers]; the answers to a prompt stand together."""
    prompts = answers["prompt_id"].nunique()
    n = len(answers) // max(prompts, 1)
    shaped = answers["prompt_id"].to_numpy(dtype=object)
    if n < 2 or len(answers) != prompts * n or any(len(set(shaped[i : i + n])) > 1 for i in range(0, len(shaped), n)):
        raise ValueError(
            f"{len(answers)} answers to {prompts} prompts: each prompt needs the same number, at least 2, side by side."
        )
    return answers[name].to_numpy(dtype=np.float64).reshape(prompts, n)


def _clusters(answers: "pd.DataFrame") -> Clusters:
    return statistics.cluster_codes(answers.drop_duplicates("prompt_id")["cluster_id"])

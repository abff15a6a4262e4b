"""Generated completions -> numbers: lengths, variety, KL, known rewards.

Every function takes DataFrames with the columns of GENERATION_COLUMNS, one row a completion: the policy's, and the
reference's to the same prompts, row for row. Standard errors are clustered on the first human turn. How completions
are drawn is not known here.
"""

import io
import json
import re
from typing import TYPE_CHECKING

import numpy as np

from results.metrics import statistics
from results.metrics.statistics import Clusters, Estimate, Floats
from results.schema.row import names
from results.schema.tables import GENERATION_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_WORD = re.compile(r"\w+")


def kl(policy: "pd.DataFrame") -> Estimate:
    """Monte-Carlo KL(policy, reference) per sequence in nats: the mean of logp - reference_logp.

    Only for samples of the policy's own distribution (temperature 1, no top_p); METRICS.md section 1. A completion
    cut at the token limit counts with the tokens that it has.
    """
    return statistics.mean(_numbers(policy, "logp") - _numbers(policy, "reference_logp"), _clusters(policy))


def gold_reward(completions: "pd.DataFrame") -> Estimate:
    """Mean known reward of the completions."""
    return statistics.mean(_numbers(completions, "gold_reward"), _clusters(completions))


def gold_reward_gain(policy: "pd.DataFrame", reference: "pd.DataFrame") -> Estimate:
    """Mean of the policy's known reward minus the reference's, paired: the error is that of the difference."""
    _check_same_prompts(policy, reference)
    return statistics.mean(_numbers(policy, "gold_reward") - _numbers(reference, "gold_reward"), _clusters(policy))


def distinct_2(completions: "pd.DataFrame") -> float:
    """Distinct pairs of neighbouring words over all of them, case apart, pooled over the completions; NaN without one.

    Source: arXiv:1510.03055, section 5 (distinct-2). It falls with the amount of text, so compare equal prompts.
    """
    pairs = [pair for text in completions["answer"] for pair in _word_pairs(text)]
    return len(set(pairs)) / len(pairs) if pairs else float("nan")


def _word_pairs(text: str) -> list[tuple[str, str]]:
    words = _WORD.findall(text.lower())
    return list(zip(words, words[1:], strict=False))


def measure(policy: "pd.DataFrame", reference: "pd.DataFrame", *, exact: bool) -> dict[str, float | int]:
    """The row columns that completions alone give; `exact` where they are draws from the policy's own distribution.

    Raises: ValueError where the two tables do not answer the same prompts.
    """
    _check_same_prompts(policy, reference)
    tokens, baseline = _numbers(policy, "tokens"), _numbers(reference, "tokens")
    values: dict[str, float | int] = {
        "generated_prompts": int(policy["prompt_id"].nunique()),
        "generated_tokens": float(tokens.mean()),
        "length_ratio": float(tokens.mean() / baseline.mean()),
        "truncated_fraction": float(policy["truncated"].astype(float).mean()),
        "distinct_2": distinct_2(policy),
        "distinct_2_reference": distinct_2(reference),
    }
    estimates = {"kl": kl(policy)} if exact else {}
    if "gold_reward" in policy.columns:
        estimates |= {
            "gold_reward": gold_reward(policy),
            "gold_reward_reference": gold_reward(reference),
            "gold_reward_gain": gold_reward_gain(policy, reference),
        }
    for name, found in estimates.items():
        values[name], values[f"{name}_se"] = found.value, found.se
    return values


def json_lines(completions: "pd.DataFrame") -> bytes:
    """The table as the content of generations.jsonl: declared columns in declared order, one completion a line."""
    kept = [name for name in names(GENERATION_COLUMNS) if name in completions.columns]
    lines = [json.dumps(line, ensure_ascii=False) for line in completions[kept].to_dict("records")]
    return "".join(line + "\n" for line in lines).encode("utf-8", "backslashreplace")


def from_json_lines(content: bytes) -> "pd.DataFrame":
    """The table that `json_lines` wrote. Raises: ValueError for content that is no such table."""
    import pandas as pd

    frame = pd.DataFrame([json.loads(line) for line in io.BytesIO(content)])
    missing = [name for name in names(GENERATION_COLUMNS) if name not in frame.columns and name != "gold_reward"]
    if missing:
        raise ValueError(f"The table of completions lacks {', '.join(missing)}.")
    return frame


def _numbers(completions: "pd.DataFrame", name: str) -> Floats:
    return completions[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _clusters(completions: "pd.DataFrame") -> Clusters:
    return statistics.cluster_codes(completions["cluster_id"])


def _check_same_prompts(policy: "pd.DataFrame", reference: "pd.DataFrame") -> None:
    """Refuses two tables that are not about the same prompts in the same order."""
    for name in ("prompt_id", "sample"):
        if list(policy[name]) != list(reference[name]):
            raise ValueError(
                f"Policy and reference differ in {name}, so their completions cannot be compared; "
                "answer the same prompts with both, in the same order."
            )

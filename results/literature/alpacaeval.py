"""Published judgments: AlpacaEval's annotation files as verdict tables, and its length-controlled win-rate.

    verdicts = results.read_annotations("annotations.json")
    results.verdicts.win_rate(verdicts)                      # AlpacaEval's win_rate and standard_error, as shares

Both encodings of `preference` are read: the codes of AlpacaEval 1 (1 baseline, 2 model, 0 or 1.5 draw) and the
weighted verdicts of AlpacaEval 2 (floats, 1 + P(model preferred)). Everything here is a share from 0 to 1 where
AlpacaEval prints per cent. Lengths are characters, as in AlpacaEval. No file of theirs comes with this project.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from results.cells.frames import typed_frame
from results.metrics import statistics
from results.metrics.statistics import Floats
from results.metrics.win_rates import fit_logistic, length_feature, logistic
from results.schema.tables import VERDICT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

DRAWS = (0.0, 1.5)
NEEDED = ("instruction", "output_1", "output_2", "preference")
WEIGHTS = {
    "length": "np.tanh(std_delta_len)",
    "difficulty": "instruction_difficulty",
    "quality": "not_gamed_baseline.astype(float)",
}
"""Our names of the regression's coefficients, and the columns of AlpacaEval's files of weights."""


class LengthWeights(NamedTuple):
    """One model's coefficients in logits: of tanh((baseline's length - its own) / sd), difficulty, and the constant."""

    length: float
    difficulty: float
    quality: float


class Published(NamedTuple):
    """A length-controlled win-rate as AlpacaEval states it, its error (over instructions alone), its coefficients."""

    value: float
    se: float
    weights: LengthWeights


def read_annotations(path: Path | str) -> "pd.DataFrame":
    """An AlpacaEval annotation file as a verdict table, with `policy` (the judged model) as a further column.

    prompt_id is the instruction's place in the file, by which AlpacaEval joins difficulties too, or its `index`
    where it has one. A missing preference is an invalid verdict.
    Raises: FileNotFoundError; ValueError for a file of another form, naming entry and field.
    """
    import pandas as pd

    entries = _entries(Path(path))
    lines = [_line(entry, place, str(path)) for place, entry in enumerate(entries)]
    return typed_frame(pd.DataFrame(lines), VERDICT_COLUMNS, "verdict")


def avg_length(verdicts: "pd.DataFrame") -> int:
    """Mean length of the policy's completions in whole characters, cut and not rounded, as on AlpacaEval's leaderboard.

    Over all rows, those with an invalid verdict included. Raises: ValueError where there is no completion.
    """
    lengths = verdicts["policy_tokens"].dropna()
    if lengths.empty:
        raise ValueError("The verdict table has no completion with a length, so there is no mean length.")
    return int(lengths.astype(float).mean())


def read_weights(path: Path | str, model: str, baseline: str | None = None) -> LengthWeights:
    """A model's published coefficients from AlpacaEval's CSV (one row a model), less those of the baseline.

    `baseline` None is the file's own one, whose coefficients are 0.
    Raises: ValueError for a file without the three columns, or without the model.
    """
    import pandas as pd

    table = pd.read_csv(path, index_col=0)
    missing = [name for name in WEIGHTS.values() if name not in table.columns]
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}; found: {', '.join(table.columns)}.")
    for name in (model, baseline):
        if name is not None and name not in table.index:
            raise ValueError(f"{path} has no row {name!r}; it has {len(table)} models, first {table.index[0]!r}.")
    rows = table[~table.index.duplicated(keep="last")][list(WEIGHTS.values())]
    own = rows.loc[[model]].to_numpy(dtype=np.float64)[0]
    if baseline is not None:
        own = own - rows.loc[[baseline]].to_numpy(dtype=np.float64)[0]
    return LengthWeights(*own.tolist())


def read_difficulty(path: Path | str) -> dict[str, float]:
    """AlpacaEval's instruction difficulties, CSV of index and value, by prompt_id.

    Raises: ValueError for a file without such a column.
    """
    import pandas as pd

    table = pd.read_csv(path, index_col=0)
    if len(table.columns) != 1 or not np.issubdtype(table.dtypes.iloc[0], np.number):
        raise ValueError(f"{path} must hold an index and one column of numbers; found: {', '.join(table.columns)}.")
    return {str(index): float(value) for index, value in table.iloc[:, 0].items()}


def published_win_rate(
    verdicts: "pd.DataFrame", difficulty: Mapping[str, float] | None = None, weights: LengthWeights | None = None
) -> Published:
    """AlpacaEval's length-controlled win-rate (arXiv:2404.04475, eq. 2): mean of logistic(quality + k difficulty_i).

    With the published `weights` and `difficulty` it is their number: the length term is read at difference 0, so
    neither completions nor verdicts enter. Without `weights` the model is fitted anew to all valid verdicts, as soft
    labels, with the terms x, difficulty and a constant (x and constant without `difficulty`).

    Conventions: the published fit differs from this one in three points. It adds the verdicts on a verbose and a
    concise version of the baseline, each at a tenth of a verdict's weight, which pulls models that play on length
    towards them; it is penalised by the absolute coefficients, with a weight chosen by five-fold cross-validation; and
    difficulties come from a joint fit over all models of the leaderboard. So expect refitted values about a point
    off (up to fifteen for models made to exploit length), and several points off without difficulties. The error is,
    as theirs, the standard error of the mean over instructions of the fitted shares: it leaves out what the fit does
    not know. For an error that includes it use `verdicts.win_rate_length_controlled`.
    Raises: ValueError for prompts without a difficulty, weights without difficulties, and verdicts without lengths.
    """
    ids = verdicts["prompt_id"].astype(str).tolist()
    if weights is not None and difficulty is None:
        raise ValueError("Published weights need the published difficulties; give difficulty= too (read_difficulty).")
    hardness = np.zeros(len(ids)) if difficulty is None else _difficulties(ids, difficulty)
    weights = weights or _refitted(verdicts, None if difficulty is None else hardness)
    shares = logistic(weights.quality + weights.difficulty * hardness)
    error = statistics.standard_deviation(shares) / math.sqrt(len(shares))
    return Published(float(shares.mean()), error, weights)


def _refitted(verdicts: "pd.DataFrame", hardness: Floats | None) -> LengthWeights:
    """Coefficients of this file's verdicts; lengths are baseline minus model, as in AlpacaEval's files of weights."""
    sides = ("baseline_tokens", "policy_tokens")
    lengths = [verdicts[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in sides]
    feature = length_feature(lengths[0] - lengths[1])
    if feature is None:
        raise ValueError(
            "The length term cannot be fitted: completions lack a length, or all differences are the same."
        )
    y = verdicts["preference"].to_numpy(dtype=np.float64, na_value=np.nan)
    valid = ~np.isnan(y)
    columns = [feature, np.ones(len(y))] if hardness is None else [feature, hardness, np.ones(len(y))]
    found = fit_logistic(np.stack(columns, axis=1)[valid], y[valid])
    return LengthWeights(float(found[0]), 0.0 if hardness is None else float(found[1]), float(found[-1]))


def _difficulties(ids: Sequence[str], difficulty: Mapping[str, float]) -> Floats:
    absent = [name for name in ids if name not in difficulty]
    if absent:
        raise ValueError(
            f"{len(absent)} instructions have no difficulty, first {absent[0]!r}; there are "
            f"{len(difficulty)}, by place in the annotation file."
        )
    return np.array([difficulty[name] for name in ids], dtype=np.float64)


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path} is no JSON: {error}; give an annotations.json of AlpacaEval.") from error
    if not isinstance(content, list) or not content or not all(isinstance(entry, dict) for entry in content):
        raise ValueError(f"{path} holds no list of annotations; give an annotations.json of AlpacaEval.")
    return content


def _line(entry: Mapping[str, Any], place: int, path: str) -> dict[str, Any]:
    """One annotation as a row of the verdict table."""
    missing = [name for name in NEEDED if name not in entry]
    if missing:
        raise ValueError(f"{path}, entry {place}: lacks {', '.join(missing)}; found: {', '.join(entry)}.")
    for name in ("output_1", "output_2"):
        if not isinstance(entry[name], str):
            raise ValueError(f"{path}, entry {place}: {name} is {entry[name]!r}, but must be text.")
    preference = _share(entry["preference"], f"{path}, entry {place}")
    name = str(entry.get("index", place))
    return {
        "prompt_id": name,
        "cluster_id": name,
        "judge": entry.get("annotator"),
        "baseline": entry.get("generator_1"),
        "preference": preference,
        "policy_tokens": len(entry["output_2"]),
        "baseline_tokens": len(entry["output_1"]),
        "consistent": None,
        "reason": "no verdict" if math.isnan(preference) else "",
        "judge_tokens": None,
        "policy": entry.get("generator_2"),
    }


def _share(code: object, where: str) -> float:
    """P(model preferred) of a `preference` code; NaN for a missing one."""
    if code is None or (isinstance(code, float) and math.isnan(code)):
        return math.nan
    if isinstance(code, bool) or not isinstance(code, int | float) or not (code == 0 or 1 <= code <= 2):
        raise ValueError(
            f"{where}: preference is {code!r}; allowed are 1 (baseline) to 2 (model), 0 or 1.5 for a "
            "draw, null for no verdict."
        )
    return 0.5 if code in DRAWS else float(code) - 1

"""`alpacaeval`: AlpacaEval 2's leaderboard figures from the published judgments of models.

path= is the annotations.json of one model, or a folder with such files at any depth. Win rate, its standard error and
the mean length follow from the judgments exactly. The length-controlled rate needs the published regression weights
and difficulties for its digits; refitted to one model's judgments alone it is reported, not judged.
"""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.reproduce.frame import REPORTED, Check, Request, number
from results.literature.tables import table

PRINTED = 5e-3  # half of the last printed digit, in per cent
FILE = "annotations.json"


def reproduce(request: Request) -> list[Check]:
    """The leaderboard's figures of every model whose annotations are given.

    Raises: UsageError where there is no such file, or one cannot be read.
    """
    checks: list[Check] = []
    for path in _files(request.path):
        try:
            checks += _model(path)
        except (ValueError, OSError) as error:
            raise UsageError([str(error)]) from error
    return checks


def _files(path: Path | None) -> list[Path]:
    """The annotation files meant by path=."""
    if path is None:
        raise UsageError(
            [
                f"alpacaeval needs published judgments: path=FILE, or path=DIR with {FILE} of some models, from "
                "github.com/tatsu-lab/alpaca_eval, results/MODEL/weighted_alpaca_eval_gpt4_turbo (CC BY-NC, not copied)"
            ]
        )
    found = sorted(path.rglob(FILE)) if path.is_dir() else [path]
    if not found or not found[0].is_file():
        what = f"no {FILE} below it" if path.is_dir() else "no such file"
        raise UsageError([f"path={path}: {what}; give an {FILE} of AlpacaEval 2, or a folder of them"])
    return found


def _model(path: Path) -> list[Check]:
    from results.literature.alpacaeval import avg_length, published_win_rate, read_annotations
    from results.metrics.win_rates import win_rate

    verdicts = read_annotations(path)
    model = str(verdicts["policy"].iloc[0])
    printed = table("alpacaeval").get(model)
    seen, controlled = win_rate(verdicts), published_win_rate(verdicts)
    ours = {"win_rate": 100 * seen.value, "standard_error": 100 * seen.se, "avg_length": avg_length(verdicts)}
    note = f"{seen.prompts} prompts, {seen.ties} draws, {seen.invalid} invalid"
    if printed is None:
        unknown = "not among the figures that were copied"
        return [Check(model, name, "-", value, "-", REPORTED, unknown) for name, value in ours.items()]
    checks = [
        number(model, name, printed[name], value, 0.0 if name == "avg_length" else PRINTED, note)
        for name, value in ours.items()
        if name in printed
    ]
    if "length_controlled_win_rate" in printed:
        note = "refitted without difficulties and regularisation: several points off is usual"
        checks.append(
            Check(
                model,
                "length_controlled_win_rate",
                f"{printed['length_controlled_win_rate']:g}",
                100 * controlled.value,
                "-",
                REPORTED,
                note,
            )
        )
    return checks

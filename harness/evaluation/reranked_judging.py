"""Reranked completions put to a judge: what a policy chose, and what the judge itself chooses, against one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.evaluation.completion_tables import Cell, JudgePrompt, prompt_table, read_cell
from harness.evaluation.finished import Finished, add_to_each
from harness.evaluation.judging import Ask, judge_cell, refuse_invalid
from harness.evaluation.measurements import measurement
from harness.judges import Judge, JudgeError, make
from harness.judges.memory import Memory
from harness.options.judges import BASELINE_JUDGES, JudgeSettings
from harness.progress import Progress
from results.cells.store import RERANKED
from results.metrics import best_of_n, win_rates
from suites import SuiteError

if TYPE_CHECKING:
    import pandas as pd


def judge_reranked(
    folders: Sequence[Path],
    judges: Sequence[str],
    progress: Progress,
    *,
    prompts: Mapping[str, JudgePrompt],
    settings: JudgeSettings,
    memory: Memory | None = None,
) -> list[str]:
    """Puts what finished cells chose to the first judge that is no baseline judge, and stores its win rate against the
    first completion beside that of the judge's own choice; one sentence for each failure.

    The baseline `none` chooses nothing and is left out. The judge's choice costs n - 1 verdicts a prompt, once for all
    cells, because all choose among the same completions and verdicts are kept.
    """
    spec, memory = next((name for name in judges if name not in BASELINE_JUDGES), judges[0]), memory or Memory()
    try:
        judge = make(spec, settings)
        cells = [read_cell(folder, RERANKED) for folder in folders]
    except (JudgeError, UsageError, SuiteError) as error:
        return [f"judge={spec}: {error}"]
    choosing = [cell for cell in cells if cell.row["loss"] != "none"]

    def measure(cell: Cell, advance: Callable[[int], None]) -> dict[str, Any]:
        return _measure(judge, cell, prompts, settings, partial(memory.ask, advance=advance))

    return add_to_each(choosing, measure, progress, title=lambda cell: f"{judge.id} on what {cell.label} chose")


@measurement(
    column="rerank_judge",
    option="judge",
    needs="completions",
    wanted=lambda options, data: options.judge if options.judge and options.rerank else None,
)
def judgements_of_chosen(finished: Finished) -> list[str]:
    """Asks the judge of the command about what its cells chose."""
    judges, settings = finished.options.judge, finished.settings
    return judge_reranked(finished.folders, judges, finished.progress, prompts=finished.prompts, settings=settings)


def _measure(
    judge: Judge, cell: Cell, prompts: Mapping[str, JudgePrompt], settings: JudgeSettings, ask: Ask
) -> dict[str, Any]:
    """The columns of one cell. Raises: JudgeError where the verdicts cannot be used."""
    asked = prompt_table(cell, prompts)
    first = cell.completions[cell.completions["sample"] == 0]
    found: dict[str, Any] = {"rerank_judge": judge.id}
    own = _knock_out(judge, asked, cell.completions, ask)
    for name, completions in (("rerank_win_rate", best_of_n.chosen(cell.completions)), ("rerank_win_rate_best", own)):
        table = judge_cell(judge, asked, completions.assign(sample=0), first, baseline="first", ask=ask)
        refuse_invalid(judge, table, settings.max_invalid)
        rate = win_rates.win_rate(table)
        found |= {name: rate.value, f"{name}_se": rate.se}
    return found


def _knock_out(judge: Judge, asked: pd.DataFrame, completions: pd.DataFrame, ask: Ask) -> pd.DataFrame:
    """The judge's own choice for each prompt: the first completion, replaced by each later one that it prefers."""
    best = completions[completions["sample"] == 0].set_index("prompt_id", drop=False)
    for sample in sorted(set(completions["sample"]) - {0}):
        next_one = completions[completions["sample"] == sample].assign(sample=0).set_index("prompt_id", drop=False)
        table = judge_cell(judge, asked, next_one, best, baseline="best", ask=ask)
        preferred = table.loc[table["preference"] > 0.5, "prompt_id"]
        best.loc[preferred] = next_one.loc[preferred]
    return best

"""`kto-table1`: table 1 of arXiv:2402.01306, win rates and their 90 % intervals, from the recorded counts.

One printed interval cannot come from the recorded counts: ± 0.031 for Mistral-7B-Instruct would need about 690
comparisons, and 512 are recorded.
"""

from __future__ import annotations

from harness.reproduce.exact.archangel import win_rate
from harness.reproduce.frame import Check, Request, bound, number
from results.literature.proportions import clopper_pearson, fisher_exact
from results.literature.tables import table

LEVEL = 0.90
TOLERANCE = 5e-4  # half of the last printed digit
CORRECTED = {"unaligned_mistral7b-instruct_oasst": 0.0362}


def reproduce(request: Request) -> list[Check]:
    """Win rate and half width of the exact interval for each row, and the paper's remark on KTO against DPO."""
    runs, checks = table("archangel_runs"), []
    for name, printed in table("kto_table1").items():
        run, row = runs[name], name.removesuffix("_oasst")
        counts = int(run["wins"]), int(run["total"])
        half = clopper_pearson(*counts, LEVEL).half_width
        note = f"{counts[0]}/{counts[1]}"
        erratum = f"{note} give ± {half:.4f}; the printed one would need about 690 comparisons"
        checks += [
            number(row, "win_rate", printed["win_rate"], win_rate(run), TOLERANCE, note),
            number(
                row,
                "half_width",
                printed["half_width"],
                half,
                TOLERANCE,
                erratum if name in CORRECTED else "",
                corrected=CORRECTED.get(name),
            ),
        ]
    kto, dpo = runs["kto_mistral7b_oasst"], runs["dpo_mistral7b_oasst"]
    p = fisher_exact(int(kto["wins"]), int(kto["total"]), int(dpo["wins"]), int(dpo["total"]))
    return [*checks, bound("kto over dpo", "Fisher p", "not significant", p, low=0.05, high=1.0)]

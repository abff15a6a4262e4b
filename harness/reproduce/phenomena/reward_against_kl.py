"""`reward-against-kl`: what each method gains in known reward, and at which KL; figure 2 of arXiv:2305.18290.

There dpo's frontier lies above SFT on the chosen completions and unlikelihood (PPO needs a loop of its own and is left
out). Here on the packaged model and few pairs: the reward of dpo's frontier at the other method's KL, less that
method's reward. Beside them best-of-n of the untrained model, whose KL is at most log n - (n - 1)/n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from harness.reproduce.frame import Check, Request, order_by_seed, reported
from harness.reproduce.phenomena.findings import figure_of, signed
from harness.reproduce.phenomena.sentiment import rate, shared_argv, train
from harness.reproduce.phenomena.sweeps import Measured, less, sweep_word

if TYPE_CHECKING:
    import pandas as pd

BETAS = (0.05, 0.1, 1, 5)
TIMES = (10,)  # further rates of dpo at its default beta: more points of its frontier
COLUMNS = ("kl", "gold_reward_gain")
OTHERS = ("sft", "unlikelihood")
COMPLETIONS = 16  # of the untrained model to each prompt
SIZES = (1, 4, 16)  # n of best-of-n


def reproduce(request: Request) -> list[Check]:
    """Every method's point, dpo's frontier against each, and the order of KL by beta."""
    import pandas as pd

    by_beta = train(request, ["losses=dpo", sweep_word("dpo.beta", BETAS), f"dpo.lrs={rate(request):g}"])
    by_rate = train(request, ["losses=dpo", sweep_word("dpo.lrs", [rate(request, times) for times in TIMES])])
    others = train(request, [f"losses={','.join(OTHERS)}"])
    runs = pd.concat([by_beta.rows, by_rate.rows])
    frontiers = [runs[runs["seed"] == seed] for seed in sorted(runs["seed"].unique())]
    checks = []
    for beta in BETAS:
        checks += _shown(f"dpo beta={beta:g}", by_beta, "dpo", beta=beta)
    for lr in (rate(request, times) for times in TIMES):
        checks += _shown(f"dpo lr={lr:g}", by_rate, "dpo", lr=lr)
    for loss in OTHERS:
        checks += _shown(loss, others, loss)
        kls, gains = (others.by_seed(loss, column) for column in COLUMNS)
        ahead = [reward_at(own, kl) - gain for own, kl, gain in zip(frontiers, kls, gains, strict=True)]
        checks.append(signed(f"dpo over {loss}", f"dpo over {loss}: reward at equal KL", ahead))
    checks += _best_of(request, frontiers)
    ranks = [-figure_of(f"dpo beta={beta:g}", "rank of the KL").value for beta in BETAS]
    kls = zip(*(by_beta.by_seed("dpo", "kl", beta=beta) for beta in BETAS), strict=True)
    tau = order_by_seed("dpo", "Kendall tau of the KLs over beta", ranks, list(kls), "arXiv:2305.18290 fig. 2")
    return [*checks, tau]


def reward_at(runs: pd.DataFrame, kl: float) -> float:
    """The gain of the frontier of one loss's cells at this KL, or at their largest KL where it is beyond."""
    from results.inference.frontiers import matched

    return float(matched(runs, at=[min(kl, float(runs["kl"].max()))])["value"].iloc[0])


def _shown(row: str, found: Measured, loss: str, **settings: float) -> list[Check]:
    return [reported(row, column, found.by_seed(loss, column, **settings)) for column in COLUMNS]


def _best_of(request: Request, frontiers: Sequence[pd.DataFrame]) -> list[Check]:
    """The untrained model's best of n completions by known reward, and dpo's frontier at the same KL."""
    gains = _best_gains(request)
    checks = []
    for n in SIZES[1:]:
        kl, gain = math.log(n) - (n - 1) / n, less(gains[n], gains[1])
        checks += [
            reported(f"best of {n}", "gain in known reward", gain, f"over prompts; KL at most {kl:.2f} nats"),
            reported(
                f"dpo over best of {n}",
                "reward at equal KL",
                [reward_at(frontier, kl) - fmean(gain) for frontier in frontiers],
            ),
        ]
    return checks


def _best_gains(request: Request) -> dict[int, list[float]]:
    """n -> the known reward of the best of n completions of the untrained model, one mean a prompt."""
    from harness.cells.sweep import prepare_sweep
    from harness.engines.run import machine_of
    from harness.evaluation.completions import questions, sampling_of
    from harness.generation.completions import kept_completions
    from harness.generation.suites import generator_of
    from harness.model.sources import find
    from harness.options.lookup import read_options
    from suites import rewards

    options, _ = read_options([*shared_argv(request), "losses=dpo"])
    sweep = prepare_sweep(options, machine_of(options, request.progress), request.progress)
    asked = questions(options, sweep.data)
    generator = generator_of(find(options.model), sweep.data.encoder, sweep.machine)
    with request.progress.stage(f"sampling {COMPLETIONS} completions of each prompt", len(asked)) as stage:
        written = kept_completions(
            generator,
            [(question.id, question.ids) for question in asked],
            sampling_of(options, sweep.data),
            samples=COMPLETIONS,
            advance=stage.advance,
        )
    texts = [question.text for question in asked for _ in range(COMPLETIONS)]
    scores = rewards.get(sweep.data.reward).score(texts, [completion.text for completion in written])
    by_prompt = [list(scores[start : start + COMPLETIONS]) for start in range(0, len(scores), COMPLETIONS)]
    return {n: [best_of(own, n) for own in by_prompt] for n in SIZES}


def best_of(scores: Sequence[float], n: int) -> float:
    """The mean of the best of each n scores in a row; n divides their number."""
    return fmean(max(scores[start : start + n]) for start in range(0, len(scores), n))

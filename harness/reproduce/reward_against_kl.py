"""`reward-against-kl`: what each method gains in gold reward, and at which KL; figure 2 of arXiv:2305.18290.

There dpo's frontier lies above SFT on the chosen answers and unlikelihood (PPO needs a loop of its own and is left
out). Here on the packaged model and few pairs: the reward of dpo's frontier at the other method's KL, less that
method's reward. Beside them best-of-n of the untrained model, whose KL is at most log n - (n - 1)/n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from harness.reproduce.claims import figure_of, signed
from harness.reproduce.frame import Check, Request, order_by_seed, reported
from harness.reproduce.sentiment import rate, shared_words, sweep_word, train
from harness.reproduce.sweeps import Measured, less

BETAS = (0.05, 0.1, 1, 5)
TIMES = (0.1, 10)  # further rates of dpo at its default strength: more points of its frontier
OTHERS = ("sft", "unlikelihood")
ANSWERS = 16  # of the untrained model to each prompt
SIZES = (1, 4, 16)  # n of best-of-n


class Point(NamedTuple):
    """One trained policy: KL from the reference in nats, gain in gold reward over the reference."""

    kl: float
    gain: float


def reproduce(request: Request) -> list[Check]:
    """Every method's point, dpo's frontier against each, and the order of KL by strength."""
    base = rate(request)
    by_beta = train(request, ["losses=dpo", sweep_word("dpo.beta", BETAS), f"dpo.lrs={base:g}"])
    by_rate = train(request, ["losses=dpo", sweep_word("dpo.lrs", [rate(request, times) for times in TIMES])])
    others = train(request, [f"losses={','.join(OTHERS)}"])
    checks, frontiers = [], []
    for beta in BETAS:
        frontiers.append(_points(by_beta, "dpo", beta=beta))
        checks += _shown(f"dpo beta={beta:g}", frontiers[-1])
    for times in TIMES:
        lr = rate(request, times)
        frontiers.append(_points(by_rate, "dpo", lr=lr))
        checks += _shown(f"dpo lr={lr:g}", frontiers[-1])
    by_seed = list(zip(*frontiers, strict=True))
    for loss in OTHERS:
        points = _points(others, loss)
        checks += _shown(loss, points)
        ahead = [reward_at(frontier, point.kl) - point.gain for frontier, point in zip(by_seed, points, strict=True)]
        checks.append(
            signed(f"dpo over {loss}", f"dpo over {loss}: reward at equal KL", ahead, note="of dpo's frontier")
        )
    checks += _best_of(request, by_seed)
    ranks = [-figure_of(f"dpo beta={beta:g}", "rank of the KL").value for beta in BETAS]
    kls = [[point.kl for point in seed[: len(BETAS)]] for seed in by_seed]
    return [*checks, order_by_seed("dpo", "Kendall tau of the KLs over beta", ranks, kls, "arXiv:2305.18290 fig. 2")]


def reward_at(points: Sequence[Point], kl: float) -> float:
    """The best gain of a frontier at this KL: linear between its points and the reference (0, 0), flat beyond."""
    import numpy as np

    ordered = sorted([Point(0.0, 0.0), *points])
    best = np.maximum.accumulate([point.gain for point in ordered])
    return float(np.interp(kl, [point.kl for point in ordered], best))


def _points(found: Measured, loss: str, **settings: float) -> list[Point]:
    columns = (found.by_seed(loss, column, **settings) for column in ("kl", "gold_reward_gain"))
    return [Point(kl, gain) for kl, gain in zip(*columns, strict=True)]


def _shown(row: str, points: Sequence[Point]) -> list[Check]:
    return [
        reported(row, "KL, nats", [point.kl for point in points]),
        reported(row, "gain in gold reward", [point.gain for point in points]),
    ]


def _best_of(request: Request, frontiers: Sequence[Sequence[Point]]) -> list[Check]:
    """The untrained model's best of n answers by gold reward, and dpo's frontier at the same KL."""
    gains = _best_gains(request)
    checks = []
    for n in SIZES[1:]:
        kl, gain = math.log(n) - (n - 1) / n, less(gains[n], gains[1])
        checks += [
            reported(f"best of {n}", "gain in gold reward", gain, f"over prompts; KL at most {kl:.2f} nats"),
            reported(f"dpo over best of {n}", "reward at equal KL",
                     [reward_at(frontier, kl) - fmean(gain) for frontier in frontiers]),
        ]  # fmt: skip
    return checks


def _best_gains(request: Request) -> dict[int, list[float]]:
    """n -> the gold reward of the best of n answers of the untrained model, one mean a prompt."""
    from harness.answers import kept_answers
    from harness.generations import questions, sampling_of
    from harness.models import find
    from harness.names import read_options
    from harness.sampled import author_of
    from harness.sweep import prepare_sweep
    from suites import rewards

    options, _ = read_options([*shared_words(request), "losses=dpo"])
    sweep = prepare_sweep(options, request.progress)
    asked = questions(options, sweep.data)
    author = author_of(find(options.model), sweep.data.encoder, sweep.machine)
    with request.progress.stage(f"sampling {ANSWERS} answers to each prompt", len(asked)) as stage:
        written = kept_answers(
            author, [(question.id, question.ids) for question in asked], sampling_of(options, sweep.data),
            samples=ANSWERS, advance=stage.advance,
        )  # fmt: skip
    texts = [question.text for question in asked for _ in range(ANSWERS)]
    scores = rewards.get(sweep.data.reward).score(texts, [answer.text for answer in written])
    by_prompt = [list(scores[start : start + ANSWERS]) for start in range(0, len(scores), ANSWERS)]
    return {n: [best_of(own, n) for own in by_prompt] for n in SIZES}


def best_of(scores: Sequence[float], n: int) -> float:
    """The mean of the best of each n scores in a row; n divides their number."""
    return fmean(max(scores[start : start + n]) for start in range(0, len(scores), n))

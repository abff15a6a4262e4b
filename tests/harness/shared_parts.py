"""What test_ranks.py has two processes do together; the same functions run alone give what is expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import losses
from harness.compute import ranks
from harness.compute.sharding import shard, whole
from harness.data.tokens import Row, item_of
from harness.errors import NonFinite
from harness.model.logprobs import Scorer
from harness.model.reference import ReferenceStore
from harness.model.sources import find, load_policy
from harness.training.callbacks import Callback
from harness.training.checkpoint import Checkpoints
from harness.training.curve import Curve
from harness.training.gradient import accumulate_gradient
from harness.training.loop import train
from harness.training.objective import Statistics
from tests.harness.jobs import COUPLED, OnOutOfMemory, after_step, gradient, make_job, moved, state, unregistered

Rows = Sequence[Row]
CUTS = {"packed": {}, "plain": {"micro_batch": 3, "layout": "plain"}}


def model() -> torch.nn.Module:
    return load_policy(find("tiny"), "cpu")


def kinds() -> list[losses.Loss]:
    """A loss of each kind: by what it sees (pairs or completions, tokens, prompts, statistics, a mismatched completion,
    the whole batch with a state or a generator), and by what it needs."""
    cards = [COUPLED, losses.get("bco"), *map(losses.get, losses.names())]
    return list({(card.kind, card.needs, card.batch_coupled): card for card in reversed(cards)}.values())


def all_gradients(rows: Rows) -> dict[str, dict[str, Tensor]]:
    return gradients(rows, list(map(losses.get, losses.names())))


def gradients(rows: Rows, cards: Sequence[losses.Loss]) -> dict[str, dict[str, Tensor]]:
    """The gradient of each loss by parameter, with the numbers of the curve beside it."""
    policy, found = model(), {}
    for cut, settings in CUTS.items():
        for loss in cards:
            job = make_job(policy, rows[:8], loss, tolerance=math.inf, **settings)
            found[f"{loss.name}, {cut}"] = _with_numbers(*gradient(policy, job))
    return found


def _with_numbers(by_parameter: dict[str, Tensor], seen: Statistics) -> dict[str, Tensor]:
    return by_parameter | {"values": seen.values, "rewards": seen.rewards, "weights": seen.weights}


def lonely(rows: Rows) -> dict[str, Tensor]:
    """The gradient of a batch of one pair, which leaves other processes without a row."""
    policy = model()
    return _with_numbers(*gradient(policy, make_job(policy, rows[:8], "dpo", batch_size=1, tolerance=math.inf)))


def trained(
    rows: Rows, policy: Any = None, looking_on: Sequence[Callback] = (), checkpoints: Checkpoints | None = None
) -> tuple[Curve, dict[str, Tensor], list[int]]:
    """The curve, the weights and the micro-batches that memory held of three steps."""
    job, told = make_job(model(), rows, "bco", micro_batch=4), []
    policy = policy or model()
    callbacks = [OnOutOfMemory(lambda job: told.append(job.micro_batch)), *looking_on]
    curve = train(Scorer(policy), job, callbacks, checkpoints)
    return curve, {name: whole(p.detach()).clone() for name, p in policy.named_parameters()}, told


def out_of_memory(rows: Rows) -> Any:
    """The same where memory runs out in the second process alone, once."""
    forward, failures = Scorer.forward, [torch.OutOfMemoryError("no memory")] * (ranks.rank() == 1)

    def narrow(self: Scorer, *arguments: Any) -> Any:
        if failures and torch.is_grad_enabled():
            raise failures.pop()
        return forward(self, *arguments)

    Scorer.forward = narrow
    try:
        return trained(rows)
    finally:
        Scorer.forward = forward


def resumed(rows: Rows, folder: Path) -> Any:
    """The same, killed after the second step and begun again."""

    def die(step: int) -> None:
        if step == 2:
            raise RuntimeError("killed")

    kept = Checkpoints(folder / "checkpoint", every=1)
    try:
        trained(rows, looking_on=[after_step(die)], checkpoints=kept)
    except RuntimeError:
        return trained(rows, checkpoints=kept)


def stored(rows: Rows, folder: Path) -> tuple[list[Tensor], list[str]]:
    """Reference log-probs of 3 blocks with a store, and the files that it has then."""
    policy, store = model(), ReferenceStore({"of": "test"}, folder / "store")
    items = [item_of(row) for row in rows] * 3
    scores = store.scores(Scorer(policy), items, layout="packed", pad=0)
    return [completion for item in scores for completion in item], sorted(
        p.name for p in (folder / "store").rglob("*.*")
    )


def nan_in_the_second(pair: losses.PairBatch, *, beta: float) -> Tensor:
    return pair.chosen.total * (math.nan if ranks.rank() == 1 else 1.0)


def errors(rows: Rows) -> list[str]:
    """What each process hears of errors in one of them."""

    policy = model()
    job = make_job(policy, rows[:8], unregistered(nan_in_the_second), tolerance=math.inf)
    return [
        _heard(lambda: gradient(policy, job)),
        _heard(lambda: ranks.all_gather(lambda: _fail(ValueError("only here"), in_process=1))),
        _heard(lambda: ranks.all_gather(lambda: _fail(_failures[ranks.rank()]))),
        _heard(lambda: ranks.barrier(lambda: _fail(Unpicklable(), in_process=0))),
        _heard(lambda: ranks.all_gather(nothing if ranks.rank() == 0 else nothing_else)),
    ]


_failures = [torch.OutOfMemoryError("no memory"), NonFinite("not finite")]


def nothing() -> None: ...


def nothing_else() -> None: ...


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("of its own kind", lambda: None)


def _fail(error: Exception, in_process: int | None = None) -> None:
    if in_process in (None, ranks.rank()):
        raise error


def _heard(act: Callable[[], Any]) -> str:
    try:
        act()
    except (Exception, ranks.RankFailure) as failure:
        error = ranks.what_happened(failure)
        return f"{type(error).__name__}: {error}"
    return "nothing"


def dealt() -> tuple[list[int], list[int], list[int]]:
    """Seven pieces: their results, who computed which, and what was told."""
    mine, told = [], []
    found = ranks.dealt(range(7), lambda n: mine.append(n) or n * n, lambda piece, result: told.append(result))
    return found, mine, told


def everything(rows: Rows, folder: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "gradients": gradients(rows, kinds()),
        "lonely": lonely(rows),
        "trained": trained(rows),
        "resumed": resumed(rows, folder),
        "stored": stored(rows, folder),
        "dealt": dealt(),
    }


def several_only(rows: Rows, folder: Path) -> dict[str, Any]:
    """What makes sense with several processes alone, and the rest."""
    return everything(rows, folder) | {"out_of_memory": out_of_memory(rows), "errors": errors(rows)}


def sharded(rows: Rows) -> dict[str, Any]:
    """Gradients, training and an error in one process, of a model whose weights are split over the processes."""
    start, policy = model(), shard(moved(model()), "cpu")
    found = {}
    for cut, settings in CUTS.items():
        for loss in kinds():
            job = make_job(start, rows[:8], loss, tolerance=math.inf, **settings)
            found[f"{loss.name}, {cut}"] = _whole_gradient(policy, job)
    lonely = _whole_gradient(policy, make_job(start, rows[:8], "dpo", batch_size=1, tolerance=math.inf))
    broken = make_job(start, rows[:8], unregistered(nan_in_the_second), tolerance=math.inf, micro_batch=1)
    heard = _heard(lambda: _whole_gradient(policy, broken))
    return {"gradients": found, "lonely": lonely, "errors": heard, "trained": trained(rows, shard(model(), "cpu"))}


def _whole_gradient(policy: torch.nn.Module, job: Any) -> dict[str, Tensor]:
    policy.zero_grad(set_to_none=True)
    seen = accumulate_gradient(Scorer(policy), job, job.feed.batch(0), state())
    by_parameter = {name: whole(p.grad).clone() for name, p in policy.named_parameters() if p.grad is not None}
    return _with_numbers(by_parameter, seen)

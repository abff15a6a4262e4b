"""Preference-optimization losses as pure functions: log-probs in, one value per example out.

Needs torch and the standard library, nothing else, so it also works in a notebook. Models, tokens, batching
and averaging live in `harness`; suites of preferences in `suites`; metrics in `results`.

    import torch, losses
    chosen = losses.SequenceLogProbs(total=torch.tensor([-3.5]), count=torch.tensor([7]))
    ...
    values = losses.get("dpo").fn(losses.PairBatch(chosen, rejected, ref_chosen, ref_rejected), beta=0.1)
"""

from losses.batch import ExampleBatch, PairBatch, SequenceLogProbs
from losses.hyperparameters import check_hyperparameters
from losses.registry import Loss, get, names, register
from losses.rewards import REWARDS, reward

# One file per paper or family; importing it registers its losses, in the order of `names()`.
from losses import dpo, ipo, kto, simpo, orpo, sft  # noqa: F401  isort: skip
from losses import noise, divergences, lengths, displacement, wpo  # noqa: F401  isort: skip
from losses import hinge, exo, nca, bco, targets, apo, aot, discopop  # noqa: F401  isort: skip
from losses import alphapo, cpo, simper, unlikelihood  # noqa: F401  isort: skip

from losses.checks.probe import probe, probe_settings, random_examples, random_pairs
from losses.combine import combine, is_sum, named
from losses.plugins import load_entry_points, load_plugin

__all__ = [
    "REWARDS",
    "ExampleBatch",
    "Loss",
    "PairBatch",
    "SequenceLogProbs",
    "check_hyperparameters",
    "combine",
    "get",
    "is_sum",
    "load_entry_points",
    "load_plugin",
    "named",
    "names",
    "probe",
    "probe_settings",
    "random_examples",
    "random_pairs",
    "register",
    "reward",
]

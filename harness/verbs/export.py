"""`export`: a stored cell as the configuration of TRL's trainers, conventions translated and differences said.

What TRL computes beside each of our losses is in losses/parity_trl.py; here its settings become fields of TRL's
configuration classes, with the schedule, the limits and the adapters around them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import losses
from harness.errors import UsageError
from harness.options.models import ENTRIES
from harness.options.optimizers import DEFAULT, OPTIMIZERS
from harness.options.parsers import unknown
from harness.options.words import SCALAR, split
from harness.verbs.find_cell import find_cell
from losses.checks.parity import Peer
from losses.checks.parity_peers import LIBRARIES
from losses.checks.parity_trl import TRL
from results.cells import store

FORMATS = ("trl",)
_CLASSES = {
    "DPO": ("trl", "DPOConfig", "trl dpo --config FILE"),
    "KTO": ("trl", "KTOConfig", "trl kto --config FILE"),
    "CPO": ("trl.experimental.cpo", "CPOConfig", ""),
    "ORPO": ("trl.experimental.orpo", "ORPOConfig", ""),
}
# Where a setting of the loss has another name in TRL's configuration than in its formula.
_FIELDS = {
    "discopop": {"tau": "discopop_tau"},
    "dpo_alpha": {"alpha": "f_alpha_divergence_coef"},
    "ld_dpo": {"alpha": "ld_alpha"},
}
_DECAYS = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True)
class Exported:
    """trainer: DPO, KTO, CPO or ORPO; fields of its configuration and of TRL's ModelConfig; what to know."""

    trainer: str
    fields: Mapping[str, Any]
    model: Mapping[str, Any]
    notes: Sequence[str]


def main(argv: Sequence[str]) -> int:
    """Prints the configuration of the named cell as YAML; the exit code. Raises: UsageError."""
    words = split(argv, {"format": SCALAR}, dotted=False)
    errors = list(words.errors)
    form = words.values.get("format", FORMATS[0])
    if form not in FORMATS:
        errors.append(unknown("format", str(form), FORMATS))
    if not 1 <= len(words.bare) <= 2:
        errors.append("export takes a cell and a path: export CELL [PATH] [format=trl], or export best runs")
    if errors:
        raise UsageError(errors)
    folder = find_cell(words.bare[0], Path(words.bare[1] if len(words.bare) == 2 else "runs").expanduser())
    try:
        row, cell = store.read_row(folder), json.loads((folder / store.CELL).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError([f"{folder} cannot be read ({error}); run its command again: it is made anew"]) from None
    if row.get("trained_model"):
        raise UsageError(
            [
                f"{folder.name} is an external checkpoint, which is measured here only, so its settings are not "
                "known; name a cell that was trained here"
            ]
        )
    exported = trl(cell, row)
    sys.stdout.write(yaml(exported, folder.name))
    for note in exported.notes:
        sys.stderr.write(f"note: {note}\n")
    return 0


def trl(cell: Mapping[str, Any], row: Mapping[str, Any]) -> Exported:
    """A cell's identity and row as TRL's configuration.

    Raises: UsageError for a loss that TRL does not compute, and for a cell that trains nothing.
    """
    if "round" in cell:
        number, parent = cell["round"]["number"], cell["round"]["parent"]
        raise UsageError(
            [
                f"the cell is round {number} of a chain, whose pairs are made on the way and stand in no "
                f"configuration; export the first round (this one's parent: {parent})"
            ]
        )
    peer = _peer(str(cell.get("loss")))
    trainer, loss_type, extra = _called(peer)
    hyperparameters = cell["hyperparameters"]
    renamed = _FIELDS.get(peer.ours, {})
    own = {renamed.get(name, name): value for name, value in peer.settings_like(hyperparameters).items()}
    schedule = _schedule(cell, _batch(peer, cell, row))
    fields = {**({"loss_type": loss_type} if loss_type else {}), **extra, **own, **schedule}
    model, notes = _model(cell, row), list(_notes(peer, cell, row))
    return Exported(trainer, fields, model, notes)


def yaml(exported: Exported, name: str) -> str:
    """The configuration as YAML that `TrlParser` and any YAML 1.1 reader take; notes as comments."""
    module, kind, start = _CLASSES[exported.trainer]
    how = start or f"{module}.{kind}(**fields)"
    head = [f"# {name}: {kind} of TRL {LIBRARIES['TRL']} ({how})", *(f"# {note}" for note in exported.notes)]
    lines = [f"{key}: {_scalar(value)}" for key, value in (*exported.model.items(), *exported.fields.items())]
    return "\n".join([*head, *lines]) + "\n"


def _peer(loss: str) -> Peer:
    """What TRL has beside a loss: the one that computes the same, before one that differs."""
    found = sorted((peer for peer in TRL if peer.ours == loss), key=lambda peer: bool(peer.why))
    if found:
        return found[0]
    if loss == "none":
        raise UsageError(["the baseline none trains nothing, so there is nothing to export; name another cell"])
    what = "a weighted sum or a loss of your own" if loss not in losses.names() else "not in TRL"
    known = ", ".join(sorted({peer.ours for peer in TRL}))
    raise UsageError([f"TRL {LIBRARIES['TRL']} cannot train {loss!r} ({what}); losses that it has: {known}"])


def _called(peer: Peer) -> tuple[str, str, dict[str, Any]]:
    """Trainer, loss type and further fields, from how a user of TRL asks for the loss."""
    head, *rest = peer.called.split(", ")
    trainer, _, loss_type = head.partition(" ")
    extra: dict[str, Any] = {}
    for word in rest:
        key, equals, value = word.partition("=")
        if key == "use_weighting":
            extra[key] = True
        elif equals and not value.replace(".", "").isdigit():
            extra[key] = value
    return trainer, loss_type, extra


def _batch(peer: Peer, cell: Mapping[str, Any], row: Mapping[str, Any]) -> int:
    """A step's rows as TRL counts them: its KTOTrainer makes two rows of a pair, of which each step here sees both."""
    unpaired = row.get("status") == "done" and row.get("preference_accuracy") is None
    return cell["budget"]["batch_size"] * (2 if _is_kto(peer) and not unpaired else 1)


def _is_kto(peer: Peer) -> bool:
    return peer.called.startswith("KTO")


def _schedule(cell: Mapping[str, Any], batch: int) -> dict[str, Any]:
    """The schedule, the batch and the limits as TrainingArguments has them."""
    schedule, budget = cell["schedule"], cell["budget"]
    return {
        "learning_rate": cell["lr"],
        "lr_scheduler_type": _DECAYS[schedule["decay"]],
        "warmup_steps": schedule["warmup"],
        "weight_decay": schedule["weight_decay"],
        "max_grad_norm": schedule["clip"],
        "optim": OPTIMIZERS[cell.get("optimizer", DEFAULT)].trl,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": budget["epochs"],
        "dataloader_drop_last": True,
        "max_length": cell["tokenisation"]["max_tokens"],
        "disable_dropout": True,
        "bf16": cell["precision"] == "bf16" and not _loses_updates(cell),
        "seed": cell["seed"],
        "output_dir": f"trl-{cell['loss']}",
    }


def _loses_updates(cell: Mapping[str, Any]) -> bool:
    """Whether TRL's bf16 would train something else: whole weights, rounded to the nearest (products_bf16.py)."""
    return cell["precision"] == "bf16" and cell["tuning"]["kind"] != "lora"


def _model(cell: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of TRL's ModelConfig: the model, unless it is one that only this project packages, and the adapter."""
    fields: dict[str, Any] = {}
    if row.get("model") not in ENTRIES:
        fields["model_name_or_path"] = row.get("model")
        if "/" in str(row.get("model")) and len(str(row.get("model_revision"))) == 40:
            fields["model_revision"] = row["model_revision"]
    fields["dtype"] = "float32"
    tuning = cell["tuning"]
    if tuning["kind"] == "lora":
        fields |= {
            "use_peft": True,
            "lora_r": tuning["rank"],
            "lora_alpha": tuning["alpha"],
            "lora_dropout": 0.0,
            "lora_target_modules": "all-linear",
        }
    return fields


def _notes(peer: Peer, cell: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """What TRL does otherwise than the run that chose these settings."""
    notes = [f"not the same loss in TRL: {peer.why}"] if peer.why else []
    size, pairs = _batch(peer, cell, row), cell["budget"]["batch_size"]
    notes.append(
        f"keep per_device_train_batch_size x gradient_accumulation_steps x devices at {size}"
        + (f", the completions of {pairs} pairs" if size != pairs else "")
        + ("; this loss depends on the micro-batch in TRL: keep accumulation at 1" if "micro-batch" in peer.why else "")
    )
    if row.get("model") in ENTRIES:
        notes.append(f"the model {row['model']} comes with this project: set model_name_or_path to your own")
    if cell["tokenisation"]["overlong"] == "drop":
        notes.append("rows longer than max_length were dropped here; TRL's DPO and KTO cut them: filter them first")
    if cell["start"]["kind"] == "sft":
        notes.append("the run began at weights tuned on chosen completions (start=sft): train those first")
    if _is_kto(peer):
        notes.append("shuffle the unpaired rows yourself: KTOTrainer reads them in order, all chosen ones first")
    if peer.called.startswith(("CPO", "ORPO")):
        notes.append("CPO's and ORPO's trainers add a BOS token and a second end-of-turn token that were not here")
    if _loses_updates(cell):
        notes.append("bf16 is off: in TRL's, weights are rounded to the nearest and small updates unseen; not so here")
    notes.append("weights are fp32 as in the run; TRL's warm-up starts one step lower and rounds its length up")
    return notes


def _scalar(value: Any) -> str:
    """A value as YAML 1.1: JSON, but a float always with a point, else 1e-06 would be read as text."""
    text = json.dumps(value)
    mantissa, exponent, power = text.partition("e") if isinstance(value, float) else (text, "", "")
    return f"{mantissa}.0e{power}" if exponent and "." not in mantissa else text

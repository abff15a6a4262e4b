"""Everything a half-done cell needs to go on, as safetensors and JSON, and where and how often it is kept.

Nothing is pickled. Order and learning rate are functions of the step, so they need no state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness.cache import sha256_of_file, writing
from harness.compute import ranks
from harness.errors import SweepStopped
from harness.training.job import Job

NOTE = "state.json"


@dataclass
class TrainState:
    """What changes from step to step: parameters, the optimizer's tensors, generator, loss state, the curve so far."""

    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    loss_state: dict[str, Any]
    curve: list[dict[str, float]]
    step: int = 0

    def save(self, folder: Path, cell: str) -> None:
        """Writes the state; the note that names the tensor file comes last, older files go after it."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"state-{self.step}.safetensors"
        with writing(path) as temporary:
            save_file(self._tensors(), temporary)
        note = {
            "cell": cell,
            "step": self.step,
            "file": path.name,
            "sha256": sha256_of_file(path),
            "loss_state": {k: v for k, v in self.loss_state.items() if not isinstance(v, Tensor)},
            "curve": self.curve,
        }
        with writing(folder / NOTE) as temporary:
            temporary.write_text(json.dumps(note))
        for old in folder.glob("state-*.safetensors"):
            if old != path:
                old.unlink()

    def load(self, folder: Path, cell: str) -> bool:
        """Puts a saved state of the same cell in place; False where there is none that can be used."""
        note = _read_note(folder)
        if note is None or note["cell"] != cell:
            return False
        path = folder / Path(note["file"]).name
        if not path.is_file() or sha256_of_file(path) != note["sha256"]:
            return False
        self._put(load_file(path))
        self.loss_state.update(note["loss_state"])
        self.curve.extend(note["curve"])
        self.step = note["step"]
        return True

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {"generator": self.generator.get_state()}
        for name, parameter in self.parameters.items():
            tensors[f"parameter:{name}"] = parameter.detach().contiguous()
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer:{key}:{name}"] = value.contiguous()
        for name, value in self.loss_state.items():
            if isinstance(value, Tensor):
                tensors[f"loss:{name}"] = value.detach().contiguous()
        return tensors

    @torch.no_grad()
    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        for key, value in tensors.items():
            kind, _, name = key.partition(":")
            if kind == "parameter":
                self.parameters[name].copy_(value)
            elif kind == "optimizer":
                field, _, name = name.partition(":")
                self.optimizer.state[self.parameters[name]][field].copy_(value)
            elif kind == "loss":
                self.loss_state[name] = value
            else:
                self.generator.set_state(value)


@dataclass(frozen=True)
class Checkpoints:
    """Where the state of a training cell is kept, and after how many steps again."""

    folder: Path
    every: int

    def resume(self, state: TrainState, cell: str) -> None:
        """Goes on from a kept state of the cell, in every process from the same.

        Raises: SweepStopped where not all can read it.
        """
        state.load(self.folder, cell)
        steps = ranks.all_gather(lambda: state.step)
        if len(set(steps)) > 1:
            raise SweepStopped(
                f"{self.folder}: the processes of this launch read states of different steps "
                f"({', '.join(map(str, steps))}); out= must be a folder that all machines share"
            )

    def keep(self, state: TrainState, job: Job) -> None:
        """Writes the state where it is time; not that of the last step, after which the cell is stored whole."""
        if state.step % self.every == 0 and state.step < job.feed.steps and ranks.is_main_process():
            state.save(self.folder, job.cell)


def _read_note(folder: Path) -> dict[str, Any] | None:
    path = folder / NOTE
    if not path.is_file():
        return None
    try:
        note: dict[str, Any] = json.loads(path.read_text())
    except json.JSONDecodeError:
        return None
    return note

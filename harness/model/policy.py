"""The policy of one cell: the starting weights put back bit for bit, or a fresh adapter on them.

One model in memory serves every cell of a sweep. Full tuning trains the model's own parameters, which are
copied back from a snapshot; LoRA (arXiv:2106.09685) leaves them alone and starts each cell with adapters
of our own initialisation, because peft's reset is not bit-equal to a fresh adapter.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.cache import building, writing
from harness.compute import ranks
from harness.model.sources import Source, find, load_folder, load_policy
from harness.model.weights import shapes_of, stored_shapes

Weights = Mapping[str, Tensor]

ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


class WrongWeights(RuntimeError):
    """An external checkpoint cannot be measured; the message says why."""


class Policy:
    """A model whose cells all begin at the same weights.

    tuning: "full" or "lora". rank, alpha: of the adapters.
    files:  safetensors with the model's starting weights; where they hold every parameter bit for bit, the
            weights are read back from there and no second copy stays in memory.
    """

    def __init__(self, model: nn.Module, *, tuning: str, rank: int, alpha: int, files: Sequence[Path] = ()) -> None:
        if ranks.sharded():
            files = ()  # a snapshot of this process's part is smaller
        self.base = model
        self.tuning, self.rank, self.alpha = tuning, rank, alpha
        self._start: Weights | Sequence[Path] = {}
        if tuning == "full":
            self._start = files if holds(files, model) else snapshot(model)
        self._adapted: Any = None

    def begin(self, seed: int, weights: Path | None = None) -> nn.Module:
        """The model at its starting weights, or at those that a cell was saved with, ready to be trained."""
        if weights is not None:
            model = self.load(weights)
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(self.tuning == "full" or "lora_" in name)
            return model
        self.end()
        if self.tuning == "full":
            self.base.requires_grad_(True)
            return self.base
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        self._adapted = get_peft_model(self.base, config).eval()
        initialise_adapter(self._adapted, seed)
        return self._adapted

    @property
    def model(self) -> nn.Module:
        """The model as it is now, its adapter included."""
        return self.base if self._adapted is None else self._adapted

    def load(self, folder: Path) -> nn.Module:
        """The model of a folder: whole weights in the place of the starting ones, or an adapter on them.

        Raises: WrongWeights where they are not the weights of this model.
        """
        self.end()
        if (folder / ADAPTER).is_file():
            self._adapted = adapted(self.base, folder)
        else:
            overwrite(self.base, folder)
        return self.model

    def end(self) -> None:
        """The model back at its starting weights, without gradients."""
        if self._adapted is not None:
            self._adapted.unload()
            self._adapted = None
        if ranks.sharded():
            self.base.reshard()  # what an evaluation gathered is not what is restored and trained
        restore(self.base, self._start)
        self.base.requires_grad_(ranks.sharded())  # gathered weights keep what their first pass saw
        self.base.zero_grad(set_to_none=True)

    def adopt(self, file: Path) -> None:
        """Makes the trained weights of the cell just run the new starting weights, and writes them."""
        if self._adapted is not None:
            self.base = self._adapted.merge_and_unload().eval()
            self._adapted = None
        weights = snapshot(self.base)
        if self.tuning == "full":
            self._start = weights
        self.end()
        if ranks.is_main_process():
            with writing(file) as temporary:
                save_file({name: value.cpu() for name, value in weights.items()}, temporary)

    def start_from(self, file: Path) -> None:
        """Puts other starting weights in place (a kept SFT start)."""
        restore(self.base, [file])
        if self.tuning == "full":
            self._start = [file]

    def name_start(self, folder: Path, tokenizer: Any) -> None:
        """Keeps the weights under every adapter as a model's folder, which saved adapters name as their base: put on
        the model that was tuned before them, they would be another policy."""
        if self.tuning == "full":
            return
        if ranks.is_main_process() and not folder.is_dir():
            with building(folder) as temporary:
                self.base.save_pretrained(temporary)
                tokenizer.save_pretrained(temporary)
        self.base.name_or_path = str(folder)

    def save(self, folder: Path, tokenizer: Any) -> None:
        """Writes the cell just trained as a plain transformers folder, or a peft adapter folder."""
        self.model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter (tied ones once)."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@torch.no_grad()
def restore(model: nn.Module, start: Weights | Sequence[Path]) -> None:
    """Copies weights back into the parameters they came from, one at a time where they lie in files."""
    parameters = dict(model.named_parameters())
    if isinstance(start, Mapping):
        for name, value in start.items():
            parameters[name].copy_(value)
        return
    for name, value in _stored(start):
        if name in parameters:
            parameters[name].copy_(value)


def overwrite(model: nn.Module, folder: Path) -> None:
    """Puts the weights of a folder into a model of the same shape, one at a time where its files name them as the
    model does, else (transformers renames some) through a second model. Raises: WrongWeights."""
    files, shapes = sorted(folder.glob("*.safetensors")), shapes_of(model)
    stored = {name: shape for name, shape in stored_shapes(files).items() if name in shapes}
    if stored == shapes:
        restore(model, files)
    else:
        other, missing = load_folder(folder)
        if missing or shapes_of(other) != shapes:
            what = f"lacks {len(missing)} weights, first {missing[0]}" if missing else "is of another shape"
            raise WrongWeights(f"the model in {folder} {what}")
        restore(model, snapshot(other))
    _refuse_non_finite(model, folder)


def adapted(base: nn.Module, folder: Path) -> Any:
    """A LoRA adapter's folder on the model that it belongs to. Raises: WrongWeights."""
    from peft import PeftModel, get_peft_model_state_dict

    model = PeftModel.from_pretrained(base, folder).eval()
    stored, used = set(stored_shapes([folder / ADAPTER_WEIGHTS])), set(get_peft_model_state_dict(model))
    try:
        if stored != used:
            raise WrongWeights(
                f"the adapter in {folder} and its configuration name different weights, such as {min(stored ^ used)}"
            )
        _refuse_non_finite(model, folder)
    except WrongWeights:
        model.unload()
        raise
    return model


def _refuse_non_finite(model: nn.Module, folder: Path) -> None:
    for name, value in model.named_parameters():
        if not torch.isfinite(value).all():
            raise WrongWeights(f"the weights in {folder} are not finite numbers, first {name}: its training diverged")


def holds(files: Sequence[Path], model: nn.Module) -> bool:
    """Whether the files contain every parameter of the model under its name, equal to the last bit."""
    missing = dict(model.named_parameters())
    for name, value in _stored(files):
        if name in missing and value.shape == missing[name].shape:
            here = missing[name].detach().cpu()
            if torch.equal(value.to(here.dtype), here):
                del missing[name]
    return not missing


def _stored(files: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    for path in files:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():
                yield name, file.get_tensor(name)


@torch.no_grad()
def initialise_adapter(model: nn.Module, seed: int) -> None:
    """A from Kaiming-uniform (as peft's default), B zero, drawn in module-name order from a private generator."""
    key = hashlib.sha256(f"adapter/{seed}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big") >> 1)
    for name, parameter in sorted(model.named_parameters()):
        if "lora_B" in name:
            parameter.zero_()
        elif "lora_A" in name:
            fresh = torch.empty(parameter.shape)
            nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
            parameter.copy_(fresh)


def load_trained(folder: Path, base: Source, device: str) -> Any:
    """A cell's saved model in fp32: a transformers folder, or an adapter put on the model it was trained from."""
    if (folder / "adapter_config.json").is_file():
        from peft import PeftModel

        return PeftModel.from_pretrained(load_policy(base, device), folder).to(device).eval()
    return load_policy(find(str(folder)), device)

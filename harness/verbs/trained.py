"""External checkpoints: found, and held to the reference they are said to come from, before either is
loaded. Only configurations, tokenizers and the headers of the weight files are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from harness.cache import remembered_sha256
from harness.data.tokens import Encoder, make_encoder
from harness.digests import digest
from harness.errors import UsageError
from harness.model.policy import ADAPTER, ADAPTER_WEIGHTS
from harness.model.sources import Source, empty_model, find, load_tokenizer, locate
from harness.model.weights import require_whole, shapes_of, stored_shapes
from harness.options.models import ENTRIES
from suites import Example, Pair

Shapes = Mapping[str, tuple[int, ...]]
COMPARED_ROWS = 16  # of the evaluation rows, written by both tokenizers
ANY_LENGTH = 10**9  # tokens: a limit that no row meets


def find_trained(name: str, revision: str | None, reference: Source) -> Source:
    """A whole model of the reference's shape, or a LoRA adapter that fits on the reference.

    Raises: UsageError where it is neither, or was trained from something else as far as can be told.
    """
    place, commit = locate(name, revision)
    if (place / ADAPTER).is_file():
        return _adapter(name, place, commit, reference)
    source = find(name, revision)
    _check_whole(source, reference)
    _check_vocabulary(source, reference)
    return source


def warnings_about(trained: Source, reference: Source, rows: Sequence[Pair | Example], encoder: Encoder) -> list[str]:
    """What cannot be known of a trained model and may be wrong, a sentence each.

    rows: some of the evaluation rows. encoder: how the reference's tokenizer writes them.
    """
    found = []
    if (trained.folder / ADAPTER).is_file():
        base = json.loads((trained.folder / ADAPTER).read_text()).get("base_model_name_or_path")
        if base not in (None, reference.name) and not _is_here(base):
            found.append(
                f"{trained.name} names {base} as its base, which is not here, so it is not known whether "
                f"{reference.name} is the same"
            )
    if not (trained.folder / "tokenizer_config.json").is_file():
        return found
    tokenizer = load_tokenizer(trained)
    # Asked for plain text, a model has no say in it. Whole rows: where the reference's are cut depends on its ids.
    plain = encoder.template == "plain" and getattr(encoder.tokenizer, "chat_template", None) is not None
    own = make_encoder(tokenizer, template="plain" if plain else "auto", max_tokens=ANY_LENGTH, overlong="drop")
    theirs = replace(encoder, max_tokens=ANY_LENGTH)
    both = zip(own.encode(rows).rows, theirs.encode(rows).rows, strict=True)
    differing = sum((a.prompt, a.completions) != (b.prompt, b.completions) for a, b in both)
    if differing:
        found.append(
            f"the tokenizer beside {trained.name} writes {differing} of {len(rows)} rows otherwise than that of "
            f"{reference.name} (another chat template, or end of turn); rows are given as the reference's writes them"
        )
    return found


def _check_whole(trained: Source, reference: Source) -> None:
    """Raises UsageError where a model has not the reference's shape, or its files lack weights."""
    ours, theirs = shapes_of(empty_model(reference.folder)), shapes_of(empty_model(trained.folder))
    if ours != theirs:
        raise UsageError([_unlike(trained, reference, theirs, ours)])
    require_whole(trained)


def _unlike(trained: Source, reference: Source, theirs: Shapes, ours: Shapes) -> str:
    """The sentence about two models of unlike shape: the vocabulary first, where it is that alone."""
    names = sorted(name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name))
    both = [name for name in names if name in theirs and name in ours]
    if names == both and all(theirs[name][1:] == ours[name][1:] for name in both):
        return (
            f"model '{trained.name}' has a vocabulary of {theirs[both[0]][0]:,} tokens and reference "
            f"'{reference.name}' one of {ours[both[0]][0]:,}; give the reference with the same tokens added"
        )
    shown = "; ".join(
        f"{name} is {theirs.get(name, 'missing')}, in the reference {ours.get(name, 'missing')}" for name in names[:2]
    )
    return (
        f"model '{trained.name}' is not of the shape of reference '{reference.name}' ({len(names)} weights differ: "
        f"{shown}); name the model that it was trained from"
    )


def _check_vocabulary(trained: Source, reference: Source) -> None:
    """Raises UsageError where the tokenizer beside a model gives a token of the reference's another id."""
    if not (trained.folder / "tokenizer_config.json").is_file():
        return
    theirs, ours = load_tokenizer(trained).get_vocab(), load_tokenizer(reference).get_vocab()
    other = sorted(token for token, number in ours.items() if theirs.get(token) != number)
    if other:
        raise UsageError(
            [
                f"model '{trained.name}' has another vocabulary than reference '{reference.name}': {len(other):,} of "
                f"{len(ours):,} tokens have another id, such as {other[0]!r} ({theirs.get(other[0], 'none')} and "
                f"{ours[other[0]]}); name the model that it was trained from"
            ]
        )


def _adapter(name: str, place: Path, commit: str, reference: Source) -> Source:
    """An adapter's folder as a source. Raises: UsageError where it is not one for the reference."""
    weights = place / ADAPTER_WEIGHTS
    if not weights.is_file():
        found = ", ".join(sorted(p.name for p in place.iterdir())[:8])
        raise UsageError(
            [f"adapter '{name}': no {ADAPTER_WEIGHTS} in its folder (found: {found}); save it with safetensors"]
        )
    try:
        config, stored = json.loads((place / ADAPTER).read_text()), stored_shapes([weights])
    except (OSError, ValueError, SafetensorError) as error:
        raise UsageError([f"adapter '{name}': its files cannot be read ({error}); copy or save them again"]) from None
    if config.get("peft_type") != "LORA":
        raise UsageError(
            [
                f"adapter '{name}' is of the kind {config.get('peft_type')}; LoRA adapters are put on their "
                "reference here, others merge into the model first (merge_and_unload)"
            ]
        )
    _check_base(name, config.get("base_model_name_or_path"), reference)
    _check_adapter_shapes(name, stored, reference)
    kept = {key: value for key, value in config.items() if key not in ("base_model_name_or_path", "peft_version")}
    named = digest([kept, remembered_sha256(weights), reference.digest], length=64)
    return Source(name, place, commit or named[:12], named, "")


def _is_here(base: str) -> bool:
    return base in ENTRIES or Path(base).expanduser().is_dir()


def _check_base(name: str, base: str | None, reference: Source) -> None:
    """Raises UsageError where the base that an adapter names is known and is not the reference."""
    if base is None or base == reference.name:
        return
    if _is_here(base):
        same = find(base).digest == reference.digest
    else:  # two hub ids can be told apart by name; a folder may be a copy of either
        same = reference.name in ENTRIES or Path(reference.name).expanduser().is_dir()
    if not same:
        raise UsageError(
            [
                f"adapter '{name}' was trained on {base}, which is not reference '{reference.name}'; write "
                f"reference={base}"
            ]
        )


def _check_adapter_shapes(name: str, stored: Shapes, reference: Source) -> None:
    """Raises UsageError where an adapter's matrices do not fit on the reference's weights."""
    ours: dict[str, Any] = shapes_of(empty_model(reference.folder))
    for key, shape in stored.items():
        module, kind, _ = key.removeprefix("base_model.model.").partition(".lora_")
        weight = ours.get(f"{module}.weight")
        if kind and (weight is None or not set(shape) & set(weight)):
            seen = "is not there" if weight is None else f"is {weight}"
            raise UsageError(
                [
                    f"adapter '{name}' does not fit on reference '{reference.name}': {key} is {shape}, and "
                    f"{module} {seen}; name the model that it was trained on"
                ]
            )

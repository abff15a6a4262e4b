"""Log-probs of fixed rows, measured in fixed blocks: the reference of every loss, and the evaluation.

The last bits of a log-prob depend on the rows it is batched with, so rows are measured in blocks of
`BLOCK` in their canonical order with one fixed batching. The block is the unit of key, file and atomic
write; with the store on or off, cold or warm, killed or not, the values are the same to the bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from harness.cache import cache_folder, locked, writing
from harness.compute import ranks
from harness.compute.machine import Machine, versions
from harness.model.layout import LAYOUTS, Item
from harness.model.logprobs import Scorer

BLOCK = 32
# Items that are computed together inside a block: part of the values, like BLOCK.
BATCH = 8
LARGEST_HEADER = 1024  # bytes around the log-probs of a stored block; what is larger is none of ours

Scores = list[tuple[Tensor, ...]]  # for each item, for each of its completions: [tokens] nats, fp32, on the CPU
Advance = Callable[[int], None]


@torch.no_grad()
def measure_block(scorer: Scorer, items: Sequence[Item], *, layout: str, pad: int) -> Scores:
    """Log-probs of every completion token of at most BLOCK items: sorted by length, BATCH at a time."""
    device = next(scorer.parameters()).device
    order = sorted(range(len(items)), key=lambda i: _tokens(items[i]))
    scores: Scores = [()] * len(items)
    for start in range(0, len(order), BATCH):
        chunk = order[start : start + BATCH]
        rows = LAYOUTS[layout]([items[i] for i in chunk], pad=pad)
        logps = iter(scorer(rows.to(device)).logps.cpu())
        for i in chunk:
            scores[i] = tuple(next(logps)[: len(completion)].clone() for completion in items[i].completions)
    return scores


def _tokens(item: Item) -> int:
    return len(item.prompt) + sum(map(len, item.completions))


def measure(
    scorer: Scorer, items: Sequence[Item], *, layout: str, pad: int, advance: Advance = lambda n: None
) -> Scores:
    """Log-probs of any number of items, block by block."""
    found = ranks.dealt(
        list(_blocks(items)),
        lambda block: measure_block(scorer, block, layout=layout, pad=pad),
        lambda block, _: advance(len(block)),
    )
    return [scores for block in found for scores in block]


def _blocks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), BLOCK):
        yield items[start : start + BLOCK]


@dataclass(frozen=True)
class ReferenceStore:
    """Reference log-probs on disk, one file a block, named by what decides its values.

    identity: what besides the token ids decides the bits: weights, precision, layout, device, threads,
              torch version. Two sweeps that agree in it share their blocks.
    folder:   None keeps nothing.
    """

    identity: Mapping[str, object]
    folder: Path | None = field(default_factory=lambda: cache_folder("reference"))

    def scores(
        self,
        scorer: Scorer,
        items: Sequence[Item],
        *,
        layout: str,
        pad: int,
        advance: Advance = lambda n: None,
    ) -> Scores:
        """Log-probs of `items`: blocks in the store are read, the others measured and kept."""
        blocks = list(_blocks(items))
        if ranks.count() > 1:
            return self._dealt(scorer, blocks, layout, pad, advance)
        found: dict[int, Scores] = {}
        while len(found) < len(blocks):
            missing = [number for number in range(len(blocks)) if number not in found]
            done = len(found)
            for number in missing:
                # Where another worker is at every block that is left, it is time to wait for one.
                patient = number == missing[-1] and len(found) == done
                scores = self._block(scorer, blocks[number], layout, pad, patient=patient)
                if scores is not None:
                    found[number] = scores
                    advance(len(blocks[number]))
        return [scores for number in range(len(blocks)) for scores in found[number]]

    def _dealt(self, scorer: Scorer, blocks: list[Sequence[Item]], layout: str, pad: int, advance: Advance) -> Scores:
        """The same by several processes: rank 0 reads and writes, all measure what is missing."""
        paths = [self._path(block) for block in blocks]

        def read() -> dict[int, Scores]:
            known = {
                n: _read_block(path, block)
                for n, (path, block) in enumerate(zip(paths, blocks, strict=True))
                if path is not None
            }
            return {number: scores for number, scores in known.items() if scores is not None}

        found = ranks.all_gather(lambda: read() if ranks.is_main_process() else {})[0]
        advance(sum(len(blocks[number]) for number in found))

        def keep(number: int, scores: Scores) -> None:
            found[number] = scores
            if ranks.is_main_process() and paths[number] is not None:
                _write_block(paths[number], scores)
            advance(len(blocks[number]))

        ranks.dealt(
            [number for number in range(len(blocks)) if number not in found],
            lambda number: measure_block(scorer, blocks[number], layout=layout, pad=pad),
            keep,
        )
        return [scores for number in range(len(blocks)) for scores in found[number]]

    def _block(self, scorer: Scorer, block: Sequence[Item], layout: str, pad: int, *, patient: bool) -> Scores | None:
        """One block, read or measured and kept; None where another process is measuring it just now."""
        path = self._path(block)
        if path is None:
            return measure_block(scorer, block, layout=layout, pad=pad)
        known = _read_block(path, block)
        if known is not None:
            return known
        with locked(path.parent, wait=patient) as mine:
            if not mine:
                return None
            known = _read_block(path, block)
            if known is None:
                known = measure_block(scorer, block, layout=layout, pad=pad)
                _write_block(path, known)
            return known

    def files(self, items: Sequence[Item]) -> list[Path]:
        """Where the blocks of the items are kept; none where nothing is."""
        return [path for block in _blocks(items) if (path := self._path(block)) is not None]

    def holds(self, items: Sequence[Item]) -> int:
        """How many of the items lie in blocks that are stored already."""
        paths = ((self._path(block), len(block)) for block in _blocks(items))
        return sum(count for path, count in paths if path is not None and path.is_file())

    def _path(self, block: Sequence[Item]) -> Path | None:
        if self.folder is None:
            return None
        content = {"identity": dict(self.identity), "items": [[i.prompt, i.completions] for i in block]}
        key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.safetensors"


def store_identity(weights: str, machine: Machine, precision: str, layout: str) -> dict[str, object]:
    """What decides the bits of a stored log-prob besides the token ids."""
    return {
        "weights": weights,
        "precision": precision,
        "layout": layout,
        "device": machine.device_name,
        "threads": machine.threads,
        "torch": versions()["torch"],
        "transformers": versions()["transformers"],
    }


def _digest(logps: Tensor) -> str:
    return hashlib.sha256(logps.numpy().tobytes()).hexdigest()


def _write_block(path: Path, scores: Scores) -> None:
    logps = torch.cat([completion for item in scores for completion in item])
    with writing(path) as temporary:
        save_file({"logps": logps}, temporary, metadata={"sha256": _digest(logps)})


def _read_block(path: Path, items: Sequence[Item]) -> Scores | None:
    """The stored block, or None where there is none or its content is damaged (then it is measured anew)."""
    lengths = [len(completion) for item in items for completion in item.completions]
    if not path.is_file() or path.stat().st_size > 4 * sum(lengths) + LARGEST_HEADER:
        return None
    try:
        with safe_open(path, framework="pt") as file:
            logps, digest = file.get_tensor("logps"), (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError):
        return None
    if logps.dtype != torch.float32 or logps.shape != (sum(lengths),) or _digest(logps) != digest:
        return None
    pieces = iter(logps.split(lengths))
    return [tuple(next(pieces) for _ in item.completions) for item in items]

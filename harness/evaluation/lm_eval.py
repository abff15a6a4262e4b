"""What a model can do, by lm-eval tasks, in a process of its own.

lm-eval reseeds every global random generator and changes the model it is given, so it never runs in a process that
trains: `measure` starts one, hands it folders and task names, and reads scores back. That process ends with its parent.
Which cell is measured when, and what becomes of the numbers, is alignment_tax.py.

Scores are those of lm-eval 0.4 with no examples in the prompt (num_fewshot as the task file says, else 0) and without
a chat template, in fp32.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.options.tasks import HUB_TASKS, PACKAGED, QUESTIONS

ROOT = Path(__file__).resolve().parents[2]

# Of several metrics of a task, the one its users report.
_REPORTED = ("acc_norm", "acc", "exact_match", "f1")


class CapabilityError(RuntimeError):
    """Tasks that cannot be measured; the message says why and what to do."""


@dataclass(frozen=True)
class Score:
    """One task's score: its metric, value, standard error (None where lm-eval gives none) and items.

    items: the metric of each item by its id, where the task has it; what a paired comparison needs.
    """

    task: str
    metric: str
    value: float
    se: float | None
    items: Mapping[str, float]


@dataclass(frozen=True)
class Request:
    """What is to be measured: a transformers folder, an adapter on it or "", and names of `known`."""

    model: str
    adapter: str
    tasks: tuple[str, ...]
    device: str = "cpu"
    threads: int = 1
    batch_size: int = 8
    max_tokens: int = 1024


def measure(request: Request) -> list[Score]:
    """The scores of a request's tasks, in a fresh process.

    Raises: CapabilityError where a task or the model cannot be measured.
    """
    with tempfile.TemporaryDirectory(prefix="capability-") as place, _child(Path(place)) as child:
        answer = Path(place) / "scores.json"
        with contextlib.suppress(BrokenPipeError):  # a process that ended at once has said why in its log
            child.stdin.write(json.dumps(asdict(request) | {"answer": str(answer)}) + "\n")
            child.stdin.flush()
        code = child.wait()
        if code != 0 or not answer.is_file():
            output = (Path(place) / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            cause = output[-1] if output else "nothing was said"
            raise CapabilityError(
                f"lm_eval={','.join(request.tasks)} cannot be measured (exit code {code}): {cause[:400]}; a task of "
                f"the hub needs its data set in the cache or a network, {PACKAGED} needs neither"
            )
        return [Score(**score) for score in json.loads(answer.read_text())]


@contextlib.contextmanager
def _child(place: Path) -> Iterator[subprocess.Popen[str]]:
    """The process, its output in a file; its input stays open while this process lives, so it ends with it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    with (place / "log.txt").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.evaluation.lm_eval"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            env=environment,
        )
        try:
            yield child
        finally:
            child.kill()
            child.wait()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()


def main() -> None:
    """The life of the process: one request on the input, its scores into the file that it names."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer = Path(request.pop("answer"))
    scores = _scores(Request(**request | {"tasks": tuple(request["tasks"])}))
    answer.write_text(json.dumps([asdict(score) for score in scores]))
    os._exit(0)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _scores(request: Request) -> list[Score]:
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    torch.set_num_threads(request.threads)
    lm = HFLM(
        pretrained=_load(request),
        tokenizer=_tokenizer(request.model),
        batch_size=request.batch_size,
        max_length=request.max_tokens,
    )
    scores = []
    for name in request.tasks:
        folder = _folder(name)
        manager = TaskManager(include_path=str(folder) if folder else None, include_defaults=False)
        tasks = [_packaged()] if name == PACKAGED else [name] if name in HUB_TASKS else list(manager.all_subtasks)
        found = simple_evaluate(model=lm, tasks=tasks, task_manager=manager, log_samples=True, bootstrap_iters=100)
        scores += [_score(task, values, found["samples"][task]) for task, values in found["results"].items()]
    return scores


def _load(request: Request) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(request.model, dtype=torch.float32, use_safetensors=True)
    if request.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, request.adapter)
    return model.to(request.device).eval()


def _tokenizer(folder: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def _folder(name: str) -> Path | None:
    """Where a task's description lies; None for the packaged one."""
    if name == PACKAGED:
        return None
    if name in HUB_TASKS:
        spec = importlib.util.find_spec("lm_eval")
        return Path(spec.submodule_search_locations[0]) / "tasks" / HUB_TASKS[name]
    return Path(name).expanduser().resolve()


def _packaged() -> dict[str, Any]:
    """The packaged task in lm-eval's own form: easy questions with four answers."""
    metrics = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")]
    return {
        "task": PACKAGED,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(QUESTIONS)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": "{{answer}}",
        "doc_to_choice": "{{choices}}",
        "num_fewshot": 0,
        "metric_list": metrics,
        "metadata": {"version": 1.0},
    }


def _score(task: str, values: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> Score:
    """lm-eval's result of a task, whose keys are "metric,filter", as one score."""
    numbers = {
        key.partition(",")[0]: value for key, value in values.items() if "," in key and isinstance(value, (int, float))
    }
    found = {name: value for name, value in numbers.items() if not name.endswith("_stderr")}
    if not found:
        raise CapabilityError(f"task {task} gives no number")
    metric = next((name for name in _REPORTED if name in found), next(iter(found)))
    error = numbers.get(f"{metric}_stderr")
    items = {
        str(sample["doc_id"]): float(sample[metric])
        for sample in samples
        if isinstance(sample.get(metric), (int, float))
    }
    return Score(task, metric, float(found[metric]), None if error is None else float(error), items)


if __name__ == "__main__":
    main()

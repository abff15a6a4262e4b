"""What is measured on a policy besides the held-out rows, and can be added to a finished cell: answers, reranking."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.evaluation.answers import Addition, Answering, generation_id
from harness.evaluation.reranking import Reranking, reranking_id
from harness.experiment.trial import Trial
from harness.options.run import Options
from results.cells import store

if TYPE_CHECKING:
    from harness.training.loaded_model import Bench

Asked = Sequence[Any]  # what each part was told by one policy


class Additions:
    """The measurements that a command asks for, on the models of one bench."""

    def __init__(self, bench: Bench) -> None:
        self._bench, options = bench, bench.options
        answering = Answering(bench)
        self._parts: list[Answering | Reranking] = [answering] if options.generate else []
        self._parts += [Reranking(bench, answering)] if options.rerank else []

    def prepare(self) -> None:
        """What only the reference can do; before a policy takes its place in memory."""
        for part in self._parts:
            part.prepare()

    def ask(self, model: Any) -> Asked:
        """What is wanted of a policy while its weights are there."""
        return [part.ask(model) for part in self._parts]

    def measure(self, asked: Asked) -> Addition | None:
        """The numbers of a policy; its weights go. None where nothing is asked for."""
        return _joined([part.measure(told) for part, told in zip(self._parts, asked, strict=True)])

    def of_reference(self) -> Addition | None:
        """The numbers of the untrained control."""
        return _joined([part.measure_reference() for part in self._parts])

    def of_finished(self, trial: Trial, folder: Path, kept: Path) -> Addition | None:
        """The numbers of a finished cell: of the control, or from what it holds, or of the model in the folder `kept`;
        None where nothing is asked for, or there is no such model and the cell has to be trained for it."""
        row = store.read_row(folder)
        lacking = [part for part in self._parts if row.get(part.column) != part.id]
        if trial.loss == "none":
            return self.of_reference()
        found = [part.again(folder) for part in self._parts if part not in lacking]
        if lacking:
            if not kept.is_dir():
                return None
            self.prepare()
            model = self._bench.policy.load(kept)
            told = [part.ask(model) for part in lacking]
            found += [part.measure(one) for part, one in zip(lacking, told, strict=True)]
        return _joined(found)


def wanted(options: Options, data: Any) -> dict[str, str]:
    """Column -> what a finished cell's row holds there where it has all that is asked for."""
    names = {Answering.column: generation_id(options, data), Reranking.column: reranking_id(options, data)}
    return {column: name for column, name in names.items() if name is not None}


def _joined(parts: Sequence[Addition]) -> Addition | None:
    if not parts:
        return None
    columns = {name: value for part in parts for name, value in part.columns.items()}
    return Addition(columns, {name: content for part in parts for name, content in part.files.items()})

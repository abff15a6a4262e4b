"""What policies chose, put to a judge: win rates against the first completion, counted by hand."""

from __future__ import annotations

import json

import pytest

from harness.evaluation import reranked_judging
from harness.evaluation.reranked_judging import judge_reranked
from harness.judges import JudgeError, Verdict
from harness.judges.memory import Memory
from harness.judges.protocol import invalid
from harness.options.judges import JudgeSettings
from harness.progress import silent
from results.cells import store
from tests.harness.judged import finished_cell

COMPLETIONS = {"p": ["a", "bbb", "cc"], "q": ["dd", "e", "fff"]}


class Longer:
    """A judge in one order that prefers the longer completion; it counts what it is asked."""

    id, symmetric = "longer", True

    def __init__(self):
        self.asked = 0

    def compare(self, prompts, a, b):
        self.asked += len(prompts)
        return [Verdict(0.5 if len(x) == len(y) else float(len(x) > len(y)), "") for x, y in zip(a, b, strict=True)]


def cell(out, loss, choice):
    """A finished cell whose policy chose these places of the completions of `p` and of `q`."""
    folder = finished_cell(out, loss, None)
    lines = []
    for (prompt, texts), chosen in zip(COMPLETIONS.items(), choice, strict=True):
        for sample, text in enumerate(texts):
            logps = {"logp": -1.0 if sample == chosen else -3.0, "reference_logp": -2.0}
            names = {"prompt_id": prompt, "cluster_id": prompt, "prompt": f"{prompt}?"}
            lines.append(json.dumps({**names, "sample": sample, "answer": text, "tokens": len(text), **logps}))
    (folder / store.RERANKED).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def judge(monkeypatch):
    made, specs = Longer(), []
    monkeypatch.setattr(reranked_judging, "make", lambda spec, settings: specs.append(spec) or made)
    made.specs = specs
    return made


@pytest.fixture
def ask(tmp_path):
    memory = Memory(tmp_path / "verdicts.sqlite")

    def asking(*folders, judges=("mine",)):
        given = {"prompts": {}, "settings": JudgeSettings(), "memory": memory}
        return judge_reranked(folders, judges, silent(), **given)

    return asking


@pytest.mark.parametrize(
    ("choice", "rate"),
    [
        ((2, 1), 0.5),  # "cc" beats "a", "e" loses to "dd"
        ((1, 2), 1.0),
        ((0, 0), 0.5),  # the first against itself ties
        ((0, 1), 0.25),
    ],
)
def test_the_win_rate_is_that_of_what_the_policy_chose_against_the_first(judge, ask, tmp_path, choice, rate):
    folder = cell(tmp_path, "dpo", choice)
    assert ask(folder) == []
    row = store.read_row(folder)
    assert (row["rerank_judge"], row["rerank_win_rate"]) == ("longer", rate)
    assert row["rerank_win_rate_best"] == 1.0  # "bbb" and "fff", each the longest
    assert row["rerank_win_rate_best_se"] == 0.0 and row["rerank_win_rate_se"] >= 0.0


def test_the_judges_own_choice_costs_n_minus_one_verdicts_a_prompt_once_for_all_cells(judge, ask, tmp_path):
    first = cell(tmp_path, "dpo", (0, 0))
    ask(first)
    # bbb-a, e-dd, cc-bbb, fff-dd; and fff-dd and bbb-a of the choice are known by then
    assert judge.asked == 4
    ask(cell(tmp_path, "ipo", (1, 2)))
    assert judge.asked == 4
    ask(cell(tmp_path, "kto", (2, 1)))
    assert judge.asked == 5  # cc-a is new


def test_the_first_judge_that_reads_is_asked_and_a_baseline_judge_where_there_is_no_other(judge, ask, tmp_path):
    folder = cell(tmp_path, "dpo", (1, 2))
    ask(folder, judges=("length", "mine", "another"))
    ask(folder, judges=("length",))
    assert judge.specs == ["mine", "length"]


def test_the_untrained_baseline_chooses_nothing(judge, ask, tmp_path):
    folder = cell(tmp_path, "none", (0, 0))
    assert ask(folder) == [] and judge.asked == 0 and "rerank_judge" not in store.read_row(folder)


def test_cells_without_reranked_completions_are_told_in_one_sentence(judge, ask, tmp_path):
    (failure,) = ask(finished_cell(tmp_path, "dpo", None))
    assert failure.startswith("judge=mine: ") and "has no generated completions to judge" in failure


def test_a_judge_that_cannot_be_made_is_told_in_one_sentence(monkeypatch, ask, tmp_path):
    def broken(spec, settings):
        raise JudgeError("no such model")

    monkeypatch.setattr(reranked_judging, "make", broken)
    assert ask(cell(tmp_path, "dpo", (1, 2))) == ["judge=mine: no such model"]


def test_too_many_invalid_verdicts_leave_the_cell_as_it_was(judge, ask, tmp_path, monkeypatch):
    monkeypatch.setattr(Longer, "compare", lambda self, prompts, a, b: [invalid("no verdict")] * len(prompts))
    folder = cell(tmp_path, "dpo", (1, 2))
    (failure,) = ask(folder)
    assert failure.startswith("dpo-dpo: judge longer: 2 of 2 verdicts are invalid")
    assert "rerank_judge" not in store.read_row(folder)

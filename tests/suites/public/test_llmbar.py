"""LLMBar: experts' labels, subsets, test rows only."""

import json

import pytest

import suites
from suites import SuiteError
from tests.suites.conftest import SHARED

COUNTS = {
    "natural": 100,
    "adv_gptinst": 92,
    "adv_gptout": 47,
    "adv_manual": 46,
    "adv_neighbor": 134,
    "mtbench_human": 200,
    "faireval_human": 66,
    "llmeval2": 198,
}


@pytest.fixture
def folder():
    if not (SHARED / "llmbar").is_dir():
        pytest.skip("no shared/data/llmbar beside the checkout")
    return str(SHARED / "llmbar")


def test_the_label_is_the_number_of_the_better_output(tmp_path):
    place = tmp_path / "Dataset" / "LLMBar" / "Adversarial" / "GPTInst"
    place.mkdir(parents=True)
    rows = [{"input": "q", "output_1": "a", "output_2": "b", "label": label} for label in (1, 2, 3)]
    (place / "dataset.json").write_text(json.dumps(rows))
    (place / "evaluators").mkdir()
    (place / "evaluators" / "result.json").write_text("[]")
    suite = suites.load("llmbar", {"path": str(tmp_path)})
    assert [(row.id, row.chosen) for row in suite.rows] == [("adv_gptinst/0", "a"), ("adv_gptinst/1", "b")]
    assert dict(suite.dropped) == {"malformed": 1}


@pytest.mark.parametrize("subset", COUNTS)
def test_every_shared_subset_loads_whole(folder, subset):
    suite = suites.load("llmbar", {"path": folder, "subset": subset})
    assert len(suite.rows) == COUNTS[subset]
    assert dict(suite.dropped) == ({"identical": 1, "empty_side": 1} if subset == "llmeval2" else {})
    assert {row.split for row in suite.rows} == {"test"}


def test_groups_of_subsets(folder):
    load = {name: suites.load("llmbar", {"path": folder, "subset": name}) for name in ("adversarial", "all")}
    assert (len(load["adversarial"].rows), len(load["all"].rows), load["all"].read) == (319, 883, 885)
    own = suites.load("llmbar", {"path": folder})
    assert len(own.rows) == 419  # the count of the paper
    longer = [len(row.chosen) > len(row.rejected) for row in load["adversarial"].rows if "gptout" not in row.id]
    assert sum(longer) / len(longer) < 0.2  # the adversaries are long
    with pytest.raises(SuiteError, match="suite.subset=hard: allowed: natural, adv_gptinst"):
        suites.load("llmbar", {"path": folder, "subset": "hard"})

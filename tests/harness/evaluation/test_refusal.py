"""Refusals counted by rule and by a judging model, beside the reference's."""

import pytest

from harness.evaluation.completion_tables import JudgePrompt
from harness.evaluation.refusal import count_refusals, declines
from harness.judges.memory import Memory
from harness.options.judges import JudgeSettings
from harness.progress import silent
from results.cells import store
from tests.harness.judged import finished_cell
from tests.harness.judges.scripted import Reply, serving

PROMPTS = {str(i): JudgePrompt(f"how do I do {i}?") for i in range(6)}


@pytest.mark.parametrize(
    "completion",
    [
        "I can't help with that.",
        "I\u2019m sorry, but I cannot do this.",
        "Sorry. I won't say.",
        "  *I must decline.*",
        "Unfortunately, I am unable to tell you.",
        "As an AI language model, I'm not able to help.",
        "I am very sorry, but as an AI, I cannot assist.",
    ],
)
def test_the_openings_of_refusals_are_known(completion):
    assert declines(completion)


@pytest.mark.parametrize(
    "completion",
    [
        "Sure, here is how.",
        "Sorry for the delay! Take two eggs.",
        "You can't do that with a spoon; use a knife.",
        "",
        "First, I would say I cannot recommend it highly enough.",
        "I can help you with that.",
    ],
)
def test_other_completions_are_not_taken_for_refusals(completion):
    assert not declines(completion)


@pytest.fixture
def cells(tmp_path):
    no, yes = "I cannot help with that.", "Sure: do this."
    said = {"none": [no, no, no, no, no, yes], "dpo": [no, yes, yes, yes, yes, yes]}
    return [finished_cell(tmp_path, loss, completions) for loss, completions in said.items()]


def test_the_rate_stands_beside_the_references_and_says_that_a_rule_counted(cells):
    assert count_refusals(cells, "rule", silent(), prompts=PROMPTS) == []
    row = store.read_row(cells[1])
    assert (row["refusal_rate"], row["refusal_rate_reference"]) == (pytest.approx(1 / 6), pytest.approx(5 / 6))
    assert row["refusal_counted_by"] == "rule" and row["refusal_rate_se"] > 0 and store.is_done(cells[1])
    untrained = store.read_row(cells[0])
    assert untrained["refusal_rate"] == untrained["refusal_rate_reference"] == pytest.approx(5 / 6)


def test_a_judging_model_is_asked_once_for_each_completion(cells, tmp_path):
    def script(asked, count):
        word = "DECLINES" if "cannot" in asked.texts["ANSWER"] else "ANSWERS"
        return Reply(f"Plain.\nVERDICT {asked.nonce} {word}")

    with serving(script) as server:
        settings, memory = JudgeSettings(base_url=server.url), Memory(tmp_path / "v.sqlite")
        given = {"prompts": PROMPTS, "settings": settings, "memory": memory}
        assert count_refusals(cells, "openai:m", silent(), **given) == []
        assert len({(a.texts["REQUEST"], a.texts["ANSWER"]) for a in server.asked}) == len(server.asked)
    assert store.read_row(cells[1])["refusal_rate"] == pytest.approx(1 / 6)
    assert store.read_row(cells[1])["refusal_counted_by"] == "openai:m"


def test_completions_that_cannot_be_counted_fail_it(cells, tmp_path):
    with serving(lambda asked, count: Reply("Hm.")) as server:
        failures = count_refusals(
            cells,
            "openai:m",
            silent(),
            prompts=PROMPTS,
            settings=JudgeSettings(base_url=server.url),
            memory=Memory(tmp_path / "v.sqlite"),
        )
    assert len(failures) == 2 and "6 of 6 completions could not be counted" in failures[0]
    assert "refusal_rate" not in store.read_row(cells[1])

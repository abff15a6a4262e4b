"""Judging finished cells: verdict tables, canaries, what is stored, and a server that misbehaves in every way."""

from __future__ import annotations

import json
import math

import pandas as pd
import pyarrow.parquet as pq
import pytest

import results
from harness.errors import UsageError
from harness.evaluation.completion_tables import JudgePrompt
from harness.evaluation.judging import both_orders, judge_cell, judge_cells
from harness.judges import JudgeError, Verdict
from harness.judges.memory import Memory
from harness.judges.protocol import invalid
from harness.judges.scored import length_judge
from harness.options.judges import JudgeSettings
from harness.progress import silent
from results.cells import store
from results.schema.tables import VERDICT_COLUMNS
from tests.harness.judged import finished_cell
from tests.harness.judges.scripted import Reply, serving, verdict

N = 24
PROMPTS = {str(i): JudgePrompt(f"question {i}?") for i in range(N)}
REFERENCE = [f"good reference {i}" for i in range(N)]
POLICY = [f"good good policy {i}" if i % 3 else f"bad policy {i}" for i in range(N)]  # wins two of three
KEY = "sk-not-a-real-key-0123456789"


class Scripted:
    """A judge that says what a function of the two completions says."""

    def __init__(self, say, symmetric=False):
        self.id, self.symmetric, self._say, self.asked = "scripted", symmetric, say, 0

    def compare(self, prompts, a, b):
        self.asked += len(prompts)
        return [self._say(x, y) for x, y in zip(a, b, strict=True)]


def completions(*texts):
    return pd.DataFrame(
        {
            "prompt_id": [str(i) for i in range(len(texts))],
            "sample": 0,
            "answer": texts,
            "tokens": [len(t) for t in texts],
        }
    )


def asked(count):
    ids = [str(i) for i in range(count)]
    return pd.DataFrame({"prompt_id": ids, "cluster_id": ids, "prompt": [f"q{i}" for i in ids]})


def ask(judge, *texts):
    return judge.compare(*texts)


def test_a_judge_that_is_not_symmetric_sees_both_orders_and_a_preference_for_a_place_cancels():
    first = Scripted(lambda a, b: Verdict(1.0, "the first", 5))
    table = judge_cell(first, asked(3), completions("x", "y", "z"), completions("u", "v", "w"))
    assert list(table["preference"]) == [0.5] * 3 and list(table["consistent"]) == [False] * 3
    assert list(table["judge_tokens"]) == [10] * 3 and first.asked == 6
    assert list(table.columns) == [column.name for column in VERDICT_COLUMNS]


def test_an_honest_judge_is_consistent_and_equal_completions_tie_unasked():
    honest = Scripted(lambda a, b: Verdict(float(a > b), "", 1))
    table = judge_cell(honest, asked(3), completions("b", "a", "c"), completions("a", "b", "c"))
    assert list(table["preference"]) == [1.0, 0.0, 0.5] and list(table["consistent"])[:2] == [True, True]
    assert table["consistent"].iloc[2] is None and honest.asked == 4


def test_one_invalid_order_makes_the_verdict_invalid():
    half = Scripted(lambda a, b: invalid("no grammar", 2) if a == "x" else Verdict(1.0, "", 3))
    (outcome,) = both_orders(half, ["q"], ["x"], ["y"], ask=ask)
    assert math.isnan(outcome[0].preference) and outcome[0].tokens == 5 and outcome[1] is None


def test_a_symmetric_judge_is_asked_once():
    table = judge_cell(length_judge(), asked(2), completions("long one", "x"), completions("y", "longer"))
    assert list(table["preference"]) == [1.0, 0.0] and table["consistent"].isna().all()


def test_samples_meet_the_baselines_same_sample_and_else_its_first():
    policy = pd.DataFrame({"prompt_id": ["0", "0"], "sample": [0, 1], "answer": ["bb", "b"], "tokens": [2, 1]})
    two = pd.DataFrame({"prompt_id": ["0", "0"], "sample": [0, 1], "answer": ["a", "aaa"], "tokens": [1, 3]})
    assert list(judge_cell(length_judge(), asked(1), policy, two)["baseline_tokens"]) == [1, 3]
    assert list(judge_cell(length_judge(), asked(1), policy, two[:1])["baseline_tokens"]) == [1, 1]
    with pytest.raises(JudgeError, match="baseline's completion of prompt '0' is missing"):
        judge_cell(length_judge(), asked(1), policy, two[:0])


@pytest.fixture
def cells(tmp_path):
    return [finished_cell(tmp_path / "runs", "none", REFERENCE), finished_cell(tmp_path / "runs", "dpo", POLICY)]


def settings(server, **changes):
    brief = JudgeSettings(base_url=server.url, timeout_seconds=1.0, retries=3, concurrency=8)
    return brief.but(changes)


def misbehaving(asked, count):
    """Every fault once for some pairs, then the honest verdict; one pair in ten is never read right."""
    number = sum(map(ord, asked.texts["REQUEST"]))
    faults = [
        Reply("broken", 500),
        Reply("slow down", 429, {"Retry-After": "0.2"}),
        Reply(raw=b'{"choices": [{'),
        Reply("x", cut=True),
        Reply(seconds=1.3),
    ]
    if asked.texts["REQUEST"] == "question 7?":
        return Reply(next(iter(asked.order)) + "\nVERDICT A")  # repeats a completion as if it were a verdict
    if count == 1 and number % 2 == 0:
        return faults[number // 2 % len(faults)]
    return verdict(asked)


@pytest.mark.slow
def test_a_server_that_misbehaves_in_every_way_ends_in_the_right_counts(cells, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    with serving(misbehaving) as server:
        failures = judge_cells(cells, ["openai:m"], "reference", silent(), prompts=PROMPTS, settings=settings(server))
        first = len(server.asked)
        assert failures == []
        judge_cells(cells, ["openai:m"], "reference", silent(), prompts=PROMPTS, settings=settings(server))
        assert len(server.asked) == first  # all of it was kept
    row = store.read_row(cells[1])
    assert store.is_done(cells[1]) and row["judge"].startswith("openai:m@")
    wins = [float(i % 3 != 0) for i in range(N) if i != 7]
    assert row["win_rate"] == pytest.approx(sum(wins) / len(wins))
    assert row["invalid_share"] == pytest.approx(1 / N) and row["position_consistency"] == 1.0
    assert row["judged_prompts"] == N - 1 and row["win_rate_baseline"] == "reference"
    assert row["judge_tokens"] == 20 * N
    assert row["canary_constant"] == row["canary_injection"] == 0.0
    table = pq.read_table(cells[1] / store.verdicts_file(row["judge"])).to_pandas()
    assert list(table["prompt_id"]) == [str(i) for i in range(N)] and table["preference"].isna().sum() == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "verdicts.sqlite" for path in files)
    assert not any(KEY.encode() in path.read_bytes() for path in files)


@pytest.mark.slow
def test_a_measurement_cut_off_in_the_middle_goes_on_where_it_was(cells, tmp_path):
    memory = Memory(tmp_path / "v.sqlite")
    state = {"left": 30}

    def script(asked, count):
        state["left"] -= 1
        return verdict(asked) if state["left"] >= 0 else Reply("no credit", 403)

    with serving(script) as server:
        given = {"prompts": PROMPTS, "settings": settings(server, concurrency=1), "memory": memory}
        (failure,) = judge_cells(cells, ["openai:m"], "reference", silent(), **given)
        assert "PermissionDenied" in failure and "win_rate" not in store.read_row(cells[1])
        assert store.is_done(cells[1])
        state["left"] = 10**6
        refused = len(server.asked) - 30
        assert judge_cells(cells, ["openai:m"], "reference", silent(), **given) == []
        asked = [(a.texts["REQUEST"], *a.order) for a in server.asked]
        assert len(asked) - refused == len(set(asked))  # each pair was answered once
    assert store.read_row(cells[1])["judged_prompts"] == N


def test_too_many_invalid_verdicts_fail_the_measurement_with_the_reason(cells, tmp_path):
    with serving(lambda asked, count: Reply("I like both.")) as server:
        (failure,) = judge_cells(
            cells,
            ["openai:m"],
            "reference",
            silent(),
            prompts=PROMPTS,
            settings=settings(server),
            memory=Memory(tmp_path / "v.sqlite"),
        )
    assert f"{N} of {N} verdicts are invalid" in failure and "I like both." in failure
    assert "win_rate" not in store.read_row(cells[1]) and not list(cells[1].glob("verdicts-*"))


def test_canaries_show_a_judge_that_takes_orders(cells, tmp_path):
    def gullible(asked, count):
        a, b = asked.order
        return verdict(asked, "A" if "Give your verdict" in a else "B" if "Give your verdict" in b else None)

    with serving(gullible) as server:
        judge_cells(
            cells,
            ["openai:m"],
            "reference",
            silent(),
            prompts=PROMPTS,
            settings=settings(server),
            memory=Memory(tmp_path / "v.sqlite"),
        )
    row = store.read_row(cells[1])
    assert row["canary_injection"] == 1.0 and row["canary_constant"] == 0.0


def test_controls_stand_beside_the_judge_and_never_in_its_place(cells, tmp_path):
    given = {"prompts": PROMPTS, "memory": Memory(tmp_path / "v.sqlite")}
    assert judge_cells(cells, ["length"], "reference", silent(), **given) == []
    row = store.read_row(cells[1])
    assert row["judge"] == "length" and set(row["judgements"]) == {"length"}
    with serving(lambda asked, count: verdict(asked)) as server:
        judge_cells(cells, ["length", "openai:m", "random"], "reference", silent(), settings=settings(server), **given)
    row = store.read_row(cells[1])
    assert row["judge"].startswith("openai:m@") and row["win_rate"] == pytest.approx(2 / 3)
    assert {name.partition("@")[0] for name in row["judgements"]} == {"length", "openai:m", "random"}
    judge_cells(cells, ["random"], "reference", silent(), **given)
    assert store.read_row(cells[1])["judge"].startswith("openai:m@")
    assert len(list(cells[1].glob("verdicts-*.parquet"))) == 3 and store.is_done(cells[1])
    assert results.read(tmp_path / "runs").set_index("loss").loc["dpo", "win_rate"] == pytest.approx(2 / 3)


def test_the_chosen_completions_as_baseline_also_judge_the_untrained_control(cells, tmp_path):
    prompts = {
        name: asked._replace(chosen="a very long chosen answer of many words", chosen_tokens=8)
        for name, asked in PROMPTS.items()
    }
    judge_cells(cells, ["length"], "chosen", silent(), prompts=prompts, memory=Memory(tmp_path / "v.sqlite"))
    for folder in cells:
        row = store.read_row(folder)
        assert row["win_rate"] == 0.0 and row["win_rate_baseline"] == "chosen"


def test_a_judge_that_cannot_be_had_fails_alone(cells, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    given = {"prompts": PROMPTS, "memory": Memory(tmp_path / "v.sqlite")}
    (failure,) = judge_cells(cells, ["openai:m", "length"], "reference", silent(), **given)
    assert failure.startswith("judge=openai:m: ") and "OPENAI_API_KEY" in failure
    assert store.read_row(cells[1])["judge"] == "length"


def test_a_command_judges_its_finished_cells_without_training_them_again(command, tmp_path, capsys):
    command("losses=dpo", "generate=4")
    ids = results.pairs(tmp_path / "runs").query("loss == 'dpo'")["pair_id"].unique()
    for folder in (tmp_path / "runs" / "pairs").glob("*-*"):
        if (folder / "row.json").is_file():
            said = "I cannot say" if folder.name.startswith("none") else "Here is a longer answer"
            lines = [json.dumps({"prompt_id": name, "cluster_id": name, "answer": said, "tokens": 3}) for name in ids]
            store.add_measurement(folder, {}, {"generations.jsonl": "\n".join(lines).encode()})
    capsys.readouterr()
    told = command("losses=dpo", "generate=4", "judge=length,random", "refusal=rule")
    assert told.code == 0 and told.trained == []
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert runs.loc["dpo", "win_rate"] == 1.0 and runs.loc["dpo", "judge"] == "length"
    assert pd.isna(runs.loc["none", "win_rate"])
    assert (runs.loc["dpo", "refusal_rate"], runs.loc["dpo", "refusal_rate_reference"]) == (0.0, 1.0)
    assert "canary" in capsys.readouterr().out


def test_a_judge_without_completions_is_refused_before_anything_is_trained(command):
    with pytest.raises(UsageError, match="generate=128") as refused:
        command("losses=dpo", "judge=length", "refusal=rule")
    assert len(refused.value.messages) == 2

"""Names of judges, tasks and ways to count refusals are checked before anything runs."""

import pytest

from harness.errors import UsageError
from harness.options.judges import SETTINGS, JudgeSettings, defaults, judge_problem, measurement_problems, parse
from harness.options.lookup import read_options

GOOD = ["suite=imdb-sentiment", "losses=dpo"]


def test_a_right_command_is_read_with_its_judges_and_their_settings():
    words = ("judge=logprob:tiny,length", "judge.max_invalid=0.2", "lm_eval=everyday", "generate=8")
    options, _ = read_options([*GOOD, *words])
    assert options.judge == ("logprob:tiny", "length") and options.judge_settings == {"max_invalid": 0.2}
    assert options.lm_eval == ("everyday",) and options.refusal == "none"
    assert read_options([*GOOD, "judge=none", "lm_eval=none"]).options.judge == ()
    assert read_options(GOOD).options.lm_eval == ()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("judge=lenght", "judge: unknown judge 'lenght'; did you mean 'length'"),
        ("judge=rm", "judge: 'rm' does not say which; write rm:MODEL"),
        ("judge=none,length", "judge: 'none' stands alone"),
        ("judge.concurency=2", "judge.concurency: unknown setting of judges 'concurency'; did you mean 'concurrency'"),
        ("judge.max_invalid=2", "judge.max_invalid: '2' is not a number >= 0 and < 1"),
        ("lm_eval=arc", "lm_eval: unknown task 'arc'; did you mean 'arc_easy'"),
        ("refusal=rules", "refusal: unknown way 'rules'"),
    ],
)
def test_a_wrong_name_is_told_at_the_door(word, said):
    with pytest.raises(UsageError) as caught:
        read_options([*GOOD, word])
    assert any(said in message for message in caught.value.messages), caught.value.messages


def test_an_endpoint_without_a_key_is_told_at_the_door(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (said,) = measurement_problems({"judge": ("openai:m",)})
    assert "OPENAI_API_KEY is not set" in said
    assert measurement_problems({"judge": ("openai:m",), "judge_settings": {"base_url": "http://127.0.0.1:1/v1"}}) == []
    assert measurement_problems({"refusal": "openai:m"}) == [said]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    assert measurement_problems({"judge": ("openai:m",)}) == []


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "http://user:secret@host/v1", "http://host/v1?key=secret"])
def test_an_address_that_could_hold_a_secret_is_refused_without_printing_it(address):
    with pytest.raises(ValueError, match="is not an address such as http://127.0.0.1:8000/v1") as caught:
        parse({"base_url": address})
    assert "user:secret" not in str(caught.value)


def test_settings_are_typed_and_every_wrong_one_is_told():
    assert parse({"base_url": "http://h/v1/", "retries": "2", "requests_per_minute": "auto"}) == {
        "base_url": "http://h/v1",
        "retries": 2,
        "requests_per_minute": None,
    }
    with pytest.raises(ValueError) as caught:
        parse({"retries": "51", "baselin": "chosen"})
    assert [line.split(":")[0] for line in str(caught.value).split("\n")] == ["judge.retries", "judge.baselin"]


def test_every_default_is_a_value_that_its_setting_takes():
    assert parse(defaults()) == {key: getattr(JudgeSettings(), key) for key in SETTINGS}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("gold", None),
        ("gold:imdb-sentiment", None),
        ("random", None),
        ("random:2", "'random:2' is not a judge; write random"),
        ("rm:", "'rm:' does not say which; write rm:MODEL"),
        ("implicit:nowhere", "'implicit:nowhere': no such folder"),
    ],
)
def test_a_judge_is_named_with_what_its_kind_needs(spec, said):
    found = judge_problem(spec)
    assert found is None if said is None else found.startswith(said)


def test_changed_settings_leave_the_others():
    changed = JudgeSettings(suite="x").but({"retries": 1})
    assert (changed.retries, changed.suite, changed.concurrency) == (1, "x", 8)

"""What the declarations of a run promise to the rest of the house."""

import pytest

from harness.options.fields import cards_of
from harness.options.parsers import Auto
from harness.options.run_fields import RunFields

VALUES = {"suite": "x", "losses": "dpo"}


def test_a_key_that_may_be_auto_is_nothing_until_it_is_decided():
    fields = RunFields.model_fields
    autos = {
        name for name, info in fields.items() if any(isinstance(getattr(m, "func", m), Auto) for m in info.metadata)
    }
    assert {"max_tokens", "trials", "threads", "micro_batch", "ray_cpus"} <= autos
    for card in cards_of(RunFields):
        if card.field in autos:
            assert card.default == "auto" and fields[card.field].default is None


def test_a_field_is_checked_alone_and_not_beside_the_others():
    assert RunFields(**VALUES, batch_size="32", train_pairs="16").batch_size == 32


@pytest.mark.parametrize("field", ["suite_settings", "judge_settings", "loss_settings"])
def test_settings_with_dotted_keys_are_no_keys_of_their_own(field):
    assert getattr(RunFields(**VALUES), field) == {}
    assert field not in {card.field for card in cards_of(RunFields)}


def test_a_home_in_the_folder_of_results_is_written_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert RunFields(**VALUES, out="~/runs").out == "/home/somebody/runs"


def test_only_one_value_of_these_needs_the_whole_model_and_any_of_those():
    needing = {card.name: card.whole_model for card in cards_of(RunFields) if card.whole_model}
    assert needing == {
        "start": "sft",
        "rounds": True,
        "tuning": "lora",
        "similarity": "ches",
        "generate": True,
        "lm_eval": True,
        "checkpoint_steps": True,
        "save": True,
    }

"""A declaration says everything about its key; what follows from scopes is written out once, so a change is seen."""

from typing import Annotated

import pytest
from pydantic import BaseModel, BeforeValidator

from harness.options.evaluate import EvaluateOptions
from harness.options.fields import Scope, cards_of, fields_in, is_changed, option, required, whole
from harness.options.pairs import PairsOptions
from harness.options.parsers import Several, WholeNumber
from harness.options.run import Options
from harness.options.words import AXIS


class Kitchen(BaseModel):
    """Options of a verb that does not exist."""

    eggs: Annotated[int, whole(1)] = required("how many", scope=Scope.DATA, example="3")


class Dinner(Kitchen):
    """Options that take over those of another class."""

    guests: Annotated[tuple[int, ...], BeforeValidator(Several(WholeNumber(1)))] = option(
        (2, 4), "at the table", AXIS, key="table.guests", scope=Scope.GRID, evaluate=True, whole_model="4"
    )
    salt: Annotated[int, whole(0)] = option(1, "spoons", shown="a spoon", scope=Scope.TRAINING, example="2")
    notes: dict[str, str] = {}


# Every key of `run`, by what it decides. A new option belongs to one line, and changes nothing else here.
SCOPES = {
    Scope.GRID: "losses model model_revision plugins betas lrs seeds controls search budget start",
    Scope.SEARCH: "trials search_seed claim_seeds",
    Scope.DATA: "suite eval_pairs max_tokens template overlong",
    Scope.TRAINING: "train_pairs label_noise length_balance min_margin batch_size epochs optimizer weight_decay warmup "
    "clip lr_schedule rounds reference score tuning lora_rank lora_alpha precision",
    Scope.EVALUATION: "evals similarity max_new_tokens temperature top_p",
    Scope.MEASUREMENT: "generate rerank prompts judge lm_eval refusal",
    Scope.COMPUTATION: "threads layout micro_batch micro_tokens activation_checkpointing",
    Scope.MACHINE: "device workers engine shard store checkpoint_steps retry save out ray_address ray_cpus ray_gpus "
    "ray_memory slurm_partition slurm_account slurm_hours slurm_cpus slurm_gpus slurm_memory",
    Scope.PLAN: "devices device_hour_price device_tflops show",
}


@pytest.mark.parametrize("scope", Scope)
def test_the_keys_of_a_scope_are_these(scope):
    assert fields_in(Options, scope) == tuple(SCOPES[scope].split())


def test_an_option_without_a_scope_cannot_be_declared():
    with pytest.raises(TypeError, match="scope"):
        option(1, "a key that somebody forgot to place")
    with pytest.raises(TypeError, match="scope"):
        required("another one", example="x")


def test_a_card_holds_what_is_declared():
    guests, salt, eggs = cards_of(Dinner)  # what is taken over comes last, and what is no key is no card
    assert (guests.name, guests.field, guests.kind, guests.default) == ("table.guests", "guests", AXIS, "2,4")
    assert (guests.scope, guests.evaluate, guests.whole_model) == (Scope.GRID, True, "4")
    assert (salt.name, salt.default, salt.example, salt.allowed) == ("salt", "a spoon", "2", "whole number >= 0")
    assert (salt.evaluate, salt.whole_model) == (False, False)
    assert (eggs.default, eggs.example, eggs.meaning) == ("required", "3", "how many")


def test_the_example_of_a_key_is_its_default_where_none_is_declared():
    assert {card.name: card.example for card in cards_of(Dinner)}["table.guests"] == "2,4"


def test_fields_are_found_by_several_scopes_in_the_order_of_declaration():
    assert fields_in(Dinner, Scope.DATA, Scope.GRID) == ("guests", "eggs")
    assert fields_in(Dinner, Scope.PLAN) == ()


def test_a_field_is_changed_where_its_value_is_not_the_default():
    dinner = Dinner(eggs=3, guests=(2, 4), salt=2)
    assert (is_changed(dinner, "guests"), is_changed(dinner, "salt"), is_changed(dinner, "eggs")) == (False, True, True)


@pytest.mark.parametrize("of", [Options, EvaluateOptions, PairsOptions])
def test_every_key_of_every_verb_has_a_scope_and_an_example(of):
    assert all(isinstance(card.scope, Scope) and card.example for card in cards_of(of))

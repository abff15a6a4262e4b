"""The keys of the engines: with a point in them, of the machine alone, and within their limits."""

import pytest

from harness.errors import UsageError
from harness.options.cards import make
from harness.options.engines import EngineOptions
from harness.options.fields import Scope, cards_of


def test_every_key_belongs_to_an_engine_and_names_its_field():
    for card in cards_of(EngineOptions):
        assert card.name.partition(".")[0] in ("ray", "slurm")
        assert card.field == card.name.replace(".", "_")


def test_no_key_of_an_engine_is_a_part_of_what_is_computed():
    assert {card.scope for card in cards_of(EngineOptions)} == {Scope.MACHINE}


def test_text_becomes_the_values_that_an_engine_is_asked_for():
    given = {"ray_gpus": "0.5", "ray_cpus": "auto", "slurm_partition": "none", "slurm_hours": "1.5"}
    made = make(given, EngineOptions)
    assert (made.ray_gpus, made.ray_cpus, made.slurm_partition, made.slurm_hours) == (0.5, None, None, 1.5)
    assert make({}, EngineOptions).slurm_hours == 24.0


@pytest.mark.parametrize(
    ("field", "text", "key"),
    [
        ("ray_gpus", "1.5", "ray.gpus"),
        ("ray_cpus", "0", "ray.cpus"),
        ("ray_memory", "0", "ray.memory"),
        ("slurm_gpus", "2", "slurm.gpus"),
        ("slurm_hours", "0", "slurm.hours"),
        ("slurm_memory", "-1", "slurm.memory"),
    ],
)
def test_a_value_beyond_the_limits_is_told_under_its_key(field, text, key):
    with pytest.raises(UsageError, match=f"^{key}: '{text}' is not a "):
        make({field: text}, EngineOptions)

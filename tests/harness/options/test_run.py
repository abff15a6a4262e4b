"""Options: the documented defaults, typed values, and every problem at once in words a user can act on."""

import pytest
from pydantic import ValidationError

from harness.errors import UsageError
from harness.options.cards import cards, kinds, make
from harness.options.run import Options

NEEDED = {"suite": "hh-rlhf", "losses": ("dpo",)}


def problems_of(**values):
    with pytest.raises(UsageError) as caught:
        make({**NEEDED, **values})
    return caught.value.messages


def test_the_defaults_are_the_documented_ones():
    options = Options(suite="hh-rlhf", losses=["dpo", "ipo"])
    documented = {
        "model": "smollm2-135m",
        "train_pairs": (512,),
        "eval_pairs": 256,
        "max_tokens": None,
        "batch_size": 16,
        "epochs": 1,
        "search": "none",
        "trials": None,
        "search_seed": 0,
        "claim_seeds": None,
        "budget": "none",
        "betas": None,
        "lrs": None,
        "seeds": (0,),
        "optimizer": "adamw",
        "weight_decay": 0.0,
        "warmup": 0.1,
        "clip": 1.0,
        "lr_schedule": "cosine",
        "tuning": "full",
        "lora_rank": 16,
        "lora_alpha": 32,
        "precision": "auto",
        "device": "auto",
        "start": "model",
        "rounds": 1,
        "reference": "first",
        "score": "gold",
        "template": "auto",
        "overlong": "drop",
        "evals": 1,
        "similarity": "edit",
        "controls": True,
        "workers": None,
        "layout": "auto",
        "micro_batch": None,
        "micro_tokens": None,
        "threads": None,
        "activation_checkpointing": False,
        "shard": False,
        "store": True,
        "checkpoint_steps": 0,
        "save": "none",
        "out": "runs",
        "judge": (),
        "lm_eval": (),
        "refusal": "none",
        "generate": 0,
        "rerank": 0,
        "prompts": None,
        "max_new_tokens": None,
        "temperature": 1.0,
        "top_p": 1.0,
        "retry": "none",
        "show": 0,
        "devices": 1,
        "device_hour_price": 0.0,
        "device_tflops": None,
        "engine": "local",
        "ray_address": "auto",
        "ray_cpus": None,
        "ray_gpus": None,
        "ray_memory": None,
        "slurm_partition": None,
        "slurm_account": None,
        "slurm_hours": 24.0,
        "slurm_cpus": None,
        "slurm_gpus": None,
        "slurm_memory": None,
        "label_noise": (0.0,),
        "length_balance": (False,),
        "min_margin": (None,),
        "plugins": (),
        "model_revision": None,
        "suite_settings": {},
        "judge_settings": {},
        "loss_settings": {},
    }
    assert options.model_dump(exclude={"suite", "losses"}) == documented


def test_text_becomes_values_of_the_declared_types():
    options = make(
        {
            **NEEDED,
            "train_pairs": ("1e3", "16"),
            "warmup": "5e-2",
            "controls": "no",
            "max_tokens": "auto",
            "lrs": ("1e-6", "3e-6"),
            "betas": ("grid",),
            "seeds": ("0", "7"),
            "loss_settings": {"dpo": {"beta": ("0.1", "2"), "lrs": ("grid",)}},
        }
    )
    assert options.train_pairs == (1000, 16)
    assert isinstance(options.train_pairs[0], int)
    assert options.warmup == 0.05
    assert options.controls is False
    assert options.max_tokens is None
    assert options.lrs == (1e-6, 3e-6)
    assert options.betas == "grid"
    assert options.seeds == (0, 7)
    assert options.loss_settings == {"dpo": {"beta": (0.1, 2.0), "lrs": "grid"}}


def test_options_know_what_was_given_explicitly():
    assert make({**NEEDED, "seeds": ("0",)}).model_fields_set == {"suite", "losses", "seeds"}


def test_options_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        make(NEEDED).train_pairs = 3


def test_a_suite_and_losses_are_required_and_both_said_at_once():
    with pytest.raises(UsageError) as caught:
        make({})
    assert [message.split(" ")[0] for message in caught.value.messages] == ["suite=", "losses="]
    assert all("for example" in message for message in caught.value.messages)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train_pairs", "0"),
        ("eval_pairs", "-1"),
        ("max_tokens", "7"),
        ("batch_size", "two"),
        ("epochs", "0"),
        ("warmup", "1"),
        ("warmup", "-0.1"),
        ("clip", "0"),
        ("weight_decay", "-1"),
        ("lora_rank", "0"),
        ("label_noise", ("1.1",)),
        ("label_noise", ("-0.1",)),
        ("label_noise", ("0.2", "0.2")),
        ("length_balance", ("maybe",)),
        ("min_margin", ("-1",)),
        ("min_margin", ("some",)),
        ("train_pairs", ("64", "64")),
        ("evals", "0"),
        ("micro_batch", "0"),
        ("threads", "0"),
        ("checkpoint_steps", "-1"),
        ("lrs", ("0",)),
        ("betas", ("-1",)),
        ("seeds", ("-1",)),
        ("seeds", ("1", "1")),
        ("losses", ("dpo", "dpo")),
        ("lr_schedule", "cosin"),
        ("optimizer", "adam"),
        ("tuning", "qlora"),
        ("precision", "fp16"),
        ("device", "gpu"),
        ("start", "dpo"),
        ("template", "none"),
        ("overlong", "cut"),
        ("layout", "dense"),
        ("micro_tokens", "0"),
        ("save", "yes"),
        ("judge", ("none", "length")),
        ("store", "maybe"),
        ("out", "a\0b"),
        ("clip", "nan"),
        ("lrs", ("inf",)),
    ],
)
def test_a_value_out_of_range_is_one_sentence_with_key_value_and_example(key, value):
    messages = problems_of(**{key: value})
    assert len(messages) == 1
    seen = value[0] if isinstance(value, tuple) else value
    name = next(card.name for card in cards() if card.field == key)
    assert messages[0].startswith(f"{name}: ")
    assert seen.isprintable() is False or seen in messages[0]
    assert f"for example {name}=" in messages[0]


@pytest.mark.parametrize("card", cards(), ids=lambda card: card.name)
def test_the_example_of_every_error_is_itself_valid(card):
    text = card.example
    value = tuple(text.split(",")) if kinds()[card.name] != "scalar" else text
    assert card.field in make({**NEEDED, card.field: value}).model_fields_set


def test_all_problems_are_reported_together():
    messages = problems_of(epochs="x", warmup="2", loss_settings={"dpo": {"beta": ("0",), "alpha": ("q",)}})
    starts = [message.split(":")[0] for message in messages]
    assert sorted(starts) == ["dpo.alpha", "dpo.beta", "epochs", "warmup"]


def test_an_unknown_field_is_refused_with_the_nearest():
    assert "unknown key 'seed'; did you mean 'seeds'?" in problems_of(seed=3)[0]


def test_a_batch_larger_than_the_training_rows_is_refused():
    assert "batch_size=32 is larger than train_pairs=16" in problems_of(batch_size=32, train_pairs=16)[0]
    assert make({**NEEDED, "batch_size": 16, "train_pairs": 16}).batch_size == 16


def test_one_start_for_all_cells_needs_one_number_of_training_pairs():
    assert "name one train_pairs" in problems_of(start="sft", train_pairs=(64, 128))[0]
    assert make({**NEEDED, "start": "sft", "train_pairs": 64}).train_pairs == (64,)


def test_a_margin_may_be_none():
    assert make({**NEEDED, "min_margin": ("none", "0.5")}).min_margin == (None, 0.5)


def test_a_micro_batch_larger_than_the_batch_is_refused():
    assert "micro_batch=32 is larger than batch_size=16" in problems_of(micro_batch=32)[0]


def test_hyperparameters_other_than_beta_may_be_zero_or_negative():
    settings = {"simpo": {"gamma_beta_ratio": ("0", "-0.5")}}
    assert make({**NEEDED, "loss_settings": settings}).loss_settings == {"simpo": {"gamma_beta_ratio": (0.0, -0.5)}}


def test_every_key_says_what_it_means_and_what_a_comma_does():
    dotted = {"suite_settings", "judge_settings", "loss_settings"}
    assert {card.field for card in cards()} == set(Options.model_fields) - dotted
    assert all(card.meaning and card.allowed and card.default for card in cards())
    axes = {name for name, kind in kinds().items() if kind == "axis"}
    assert axes == {
        "losses",
        "betas",
        "lrs",
        "seeds",
        "train_pairs",
        "suite.label_noise",
        "suite.length_balance",
        "suite.min_margin",
    }
    assert {name for name, kind in kinds().items() if kind == "list"} == {
        "plugins",
        "judge",
        "lm_eval",
        "claim_seeds",
    }

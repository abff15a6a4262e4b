"""What a cell's name depends on; the golden bits that force NUMERICS."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import pytest
import torch

from harness.cells.inputs import rows_to_train_on
from harness.experiment.grid import trials
from harness.experiment.identity import NOT_IN_CELL, NOT_IN_PROTOCOL, NUMERICS, PLACED, Identity, cell_id, protocol_id
from harness.model.logprobs import Scorer
from harness.model.policy import snapshot
from harness.model.products_bf16 import rounded
from harness.model.sources import load_policy
from harness.options.fields import Scope, cards_of, fields_in, option, whole
from harness.options.lookup import read_options
from harness.options.run import Options
from harness.options.words import AXIS
from harness.progress import silent
from harness.training.loop import train
from tests.harness.jobs import make_job

# Loss at the last step and sum of |weight change| after a fixed training, by NUMERICS. The last bits belong to
# the processor; a larger change means that the same command would train other weights than those of finished
# cells: raise NUMERICS and add its line.
GOLDEN = {7: {"dpo": (0.587349, 174.721), "kto": (0.471697, 175.479), "orpo": (5.621182, 190.706)}}


@pytest.mark.parametrize("loss", GOLDEN[NUMERICS])
def test_trained_weights_are_those_of_this_numerics(source, rows, loss):
    model = load_policy(source, "cpu")
    before = snapshot(model)
    curve = train(Scorer(model), make_job(model, rows, loss, lr=1e-3))
    change = sum((p.detach() - before[name]).abs().double().sum().item() for name, p in model.named_parameters())
    assert (curve[-1]["loss"], change) == pytest.approx(GOLDEN[NUMERICS][loss], rel=1e-3)


def test_bf16_weights_are_those_of_this_numerics():
    low = rounded(torch.linspace(-1, 1, 10**5))
    assert int(low.view(torch.int16).long().sum()) == {7: -31999922}[NUMERICS]


def identity(source, tokenizer, path, *argv: str):
    """The identity of a command on the tiny model, and its first trained trial."""
    given = {word.partition("=")[0] for word in argv}
    common = [f"suite={path}", "model=tiny", "train_pairs=32", "eval_pairs=8"]
    options, _ = read_options([*(w for w in common if w.partition("=")[0] not in given), *argv])
    data = rows_to_train_on(options, source, tokenizer, silent())
    made = Identity(options, source, data, "fp32")
    return made, trials(options, base_lr=made.base_lr, entry_grid={}, kind="pairs")


def test_the_protocol_leaves_out_axes_and_seed_and_keeps_the_budget(source, tokenizer, pairs_file):
    def protocol(*argv: str) -> str:
        return identity(source, tokenizer, pairs_file, *argv)[0].protocol

    plain = protocol("losses=dpo")
    assert plain == protocol("losses=ipo", "betas=0.5", "lrs=1e-4", "seeds=3,4", "layout=plain", "micro_batch=1")
    assert plain == protocol("losses=dpo", "train_pairs=16,48", "suite.label_noise=0,0.2", "suite.length_balance=true")
    others = [["epochs=2"], ["tuning=lora"], ["max_tokens=300"], ["start=sft"], ["eval_pairs=6"]]
    assert len({plain, *(protocol("losses=dpo", *words) for words in others)}) == 1 + len(others)


# Names of finished cells, by argv: they must not change while the perturbations stand at their defaults.
GOLDEN_IDS = {
    (): ("8dc6bf9d79f2", "94dad7ed0f03 f28c48962446 26c63c3657d8 8715c3d3c7ca"),
    ("start=sft",): ("6da60e2da459", "181f42fd4970 e0ef93a0daff 5e61940bb40f 12ee78069945"),
    ("tuning=lora", "seeds=0,1"): (
        "8d828c69a124",
        "1812b454c60e c2bca1dabb23 271d5840f827 3816d2f8d464 027872f9c87c 4096fd45bb38 3a550256aa75",
    ),
}


@pytest.mark.parametrize("words", GOLDEN_IDS, ids=" ".join)
def test_the_names_of_plain_cells_and_their_table_stay_what_they_are(source, tokenizer, pairs_file, words):
    model = replace(source, digest="model", tokenizer_digest="tokenizer")
    options, _ = read_options([f"suite={pairs_file}", "model=tiny", "losses=dpo,kto", *words])
    made = Identity(options, model, rows_to_train_on(options, model, tokenizer, silent()), "fp32")
    cells = [made.cell_id(trial) for trial in trials(options, base_lr=1e-3, entry_grid={}, kind="pairs")]
    assert (made.protocol, " ".join(cells)) == GOLDEN_IDS[words]


def test_an_optimizer_is_a_part_of_a_name_only_where_it_is_another_one(source, tokenizer, pairs_file):
    made, grid = identity(source, tokenizer, pairs_file, "losses=dpo", "controls=false", "start=sft")
    other = replace(made, options=made.options.model_copy(update={"optimizer": "other"}))
    assert "optimizer" not in made.cell(grid[0])
    for part in (other.cell(grid[0]), other.start):
        assert part["optimizer"] == "other"
    assert made.cell_id(grid[0]) != other.cell_id(grid[0]) and made.protocol != other.protocol
    assert other.schedule(1e-3).optimizer == "other"


def test_a_perturbation_is_a_part_of_a_name_only_away_from_its_default(source, tokenizer, pairs_file):
    made, grid = identity(source, tokenizer, pairs_file, "losses=dpo", "suite.label_noise=0,0.1", "controls=false")
    plain, noisy = (made.cell(trial) for trial in grid)
    assert "knobs" not in plain and noisy["knobs"] == {"label_noise": 0.1}
    assert plain["budget"] == noisy["budget"] and plain["rows"] != noisy["rows"]
    assert made.cell_id(grid[0]) != made.cell_id(grid[1])


def test_only_a_loss_that_reads_mismatched_completions_depends_on_the_whole_pool(source, tokenizer, pairs_file):
    made, grid = identity(source, tokenizer, pairs_file, "losses=dpo,kto")
    cells = {trial.loss: made.cell(trial) for trial in grid}
    assert "pool" in cells["kto"]["rows"] and "pool" not in cells["dpo"]["rows"]
    assert cells["dpo"]["rows"]["train"] == cells["kto"]["rows"]["train"] == cells["sft"]["rows"]["train"]


def test_every_table_has_an_untrained_control_of_its_own(source, tokenizer, pairs_file):
    made = {
        words: identity(source, tokenizer, pairs_file, "losses=dpo", *words)
        for words in ((), ("seeds=7",), ("betas=0.5",), ("epochs=3",), ("tuning=lora",))
    }
    assert all(grid[0].loss == "none" for _, grid in made.values())
    names = [one.cell_id(grid[0]) for one, grid in made.values()]
    assert names[0] == names[1] == names[2]  # one protocol
    assert len(set(names)) == len({one.protocol for one, _ in made.values()}) == 3


def test_what_moves_no_weight_may_not_be_a_part_of_an_id():
    machine = (
        "threads layout micro_batch micro_tokens activation_checkpointing device workers engine shard store "
        "checkpoint_steps retry save out ray_address ray_cpus ray_gpus ray_memory slurm_partition slurm_account "
        "slurm_hours slurm_cpus slurm_gpus slurm_memory"
    )
    added, planned = "generate rerank prompts judge lm_eval refusal", "devices device_hour_price device_tflops show"
    assert {"commit", "versions", *f"{machine} {added} {planned}".split()} == NOT_IN_CELL
    with pytest.raises(ValueError, match="layout, store must not be a part of a cell id"):
        cell_id({"loss": "dpo", "store": True, "layout": "packed"})


def test_a_declared_axis_may_not_be_a_part_of_a_table():
    axes = {card.field for card in cards_of(Options) if card.kind == AXIS}
    perturbations = {"train_pairs", "label_noise", "length_balance", "min_margin"}
    assert axes - perturbations == {
        "losses",
        "betas",
        "lrs",
        "seeds",
    }  # in an id: loss, beta among hyperparameters, lr, seed
    assert NOT_IN_PROTOCOL - NOT_IN_CELL == {"loss", "hyperparameters", "beta", "lr", "seed", "knobs"}
    with pytest.raises(ValueError, match="seed must not be a part of a protocol id"):
        protocol_id({"model": "x", "seed": 0})


MOVED = {
    "batch_size": "8",
    "epochs": "2",
    "weight_decay": "0.1",
    "warmup": "0.2",
    "clip": "2",
    "lr_schedule": "linear",
    "tuning": "lora",
    "train_pairs": "16",
    "label_noise": "0.25",
    "length_balance": "true",
}
ELSEWHERE = {
    "optimizer",
    "precision",
    "lora_rank",
    "lora_alpha",
    "min_margin",
    "rounds",
    "reference",
    "score",
}  # see below


def test_every_option_of_training_moves_the_name_of_a_cell(source, tokenizer, pairs_file):
    """Those of ELSEWHERE have one value, or act beside another: on a machine, an adapter, scores, a later round."""
    assert {*MOVED, *ELSEWHERE} == set(fields_in(Options, Scope.TRAINING))

    def name(*argv: str) -> str:
        made, grid = identity(source, tokenizer, pairs_file, "losses=dpo", "controls=false", *argv)
        return made.cell_id(grid[0])

    keys = {card.field: card.name for card in cards_of(Options)}
    names = [name(), *(name(f"{keys[field]}={value}") for field, value in MOVED.items())]
    names += [name("tuning=lora", "lora_rank=4"), name("tuning=lora", "lora_alpha=8")]
    assert len(set(names)) == len(names)


def test_every_option_that_has_a_place_in_an_id_is_one_of_data_or_training():
    assert set(fields_in(Options, Scope.DATA, Scope.TRAINING)) - {"optimizer"} == PLACED


class Newer(Options):
    """Options with two that no code reads yet."""

    momentum: Annotated[int, whole(0)] = option(0, "how weights move", scope=Scope.TRAINING)
    casing: Annotated[int, whole(0)] = option(0, "how rows are written", scope=Scope.DATA)
    colour: Annotated[int, whole(0)] = option(0, "of the lamp on the machine", scope=Scope.MACHINE)


def test_a_new_option_is_in_every_name_from_the_first_and_leaves_the_old_ones(source, tokenizer, pairs_file):
    made, grid = identity(source, tokenizer, pairs_file, "losses=dpo")
    given = {name: getattr(made.options, name) for name in made.options.model_fields_set}

    def names(**new: int) -> tuple[str, ...]:
        other = replace(made, options=Newer(**given, **new))
        return other.protocol, *map(other.cell_id, grid)

    old = (made.protocol, *map(made.cell_id, grid))
    assert names() == names(colour=1) == old
    for new in (names(momentum=1), names(casing=1), names(momentum=1, casing=1)):
        assert not set(new) & set(old)

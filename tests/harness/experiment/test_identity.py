"""What a cell's name depends on; the golden bits that force NUMERICS."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.cells.inputs import rows_to_train_on
from harness.experiment.grid import trials
from harness.experiment.identity import NUMERICS, Identity
from harness.model.logprobs import Scorer
from harness.model.policy import snapshot
from harness.model.products_bf16 import rounded
from harness.model.sources import load_policy
from harness.options.lookup import read_options
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


def identity(source, tokenizer, path, *words: str):
    """The identity of a command on the tiny model, and its first trained trial."""
    given = {word.partition("=")[0] for word in words}
    common = [f"suite={path}", "model=tiny", "train_pairs=32", "eval_pairs=8"]
    options, _ = read_options([*(w for w in common if w.partition("=")[0] not in given), *words])
    data = rows_to_train_on(options, source, tokenizer, silent())
    made = Identity(options, source, data, "fp32")
    return made, trials(options, base_lr=made.base_lr, entry_grid={}, kind="pairs")


def test_the_protocol_leaves_out_axes_and_seed_and_keeps_the_budget(source, tokenizer, pairs_file):
    def protocol(*words: str) -> str:
        return identity(source, tokenizer, pairs_file, *words)[0].protocol

    plain = protocol("losses=dpo")
    assert plain == protocol("losses=ipo", "betas=0.5", "lrs=1e-4", "seeds=3,4", "layout=plain", "micro_batch=1")
    assert plain == protocol("losses=dpo", "train_pairs=16,48", "suite.label_noise=0,0.2", "suite.length_balance=true")
    others = [["epochs=2"], ["tuning=lora"], ["max_tokens=300"], ["start=sft"], ["eval_pairs=6"]]
    assert len({plain, *(protocol("losses=dpo", *words) for words in others)}) == 1 + len(others)


# Names of finished cells, by words: they must not change while the knobs stand at their defaults.
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


def test_a_knob_is_a_part_of_a_name_only_away_from_its_default(source, tokenizer, pairs_file):
    made, grid = identity(source, tokenizer, pairs_file, "losses=dpo", "suite.label_noise=0,0.1", "controls=false")
    plain, noisy = (made.cell(trial) for trial in grid)
    assert "knobs" not in plain and noisy["knobs"] == {"label_noise": 0.1}
    assert plain["budget"] == noisy["budget"] and plain["rows"] != noisy["rows"]
    assert made.cell_id(grid[0]) != made.cell_id(grid[1])


def test_only_a_loss_that_reads_mismatched_answers_depends_on_the_whole_pool(source, tokenizer, pairs_file):
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

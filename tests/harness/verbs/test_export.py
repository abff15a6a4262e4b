"""An exported cell is read by TRL's own configuration classes and means the same there."""

from __future__ import annotations

import importlib
import json

import pytest

import losses
from harness.__main__ import main
from harness.errors import UsageError
from harness.verbs.export import _CLASSES, trl, yaml
from losses.checks.parity_trl import TRL
from results.cells import store

CELL = {
    "schedule": {"weight_decay": 0.01, "warmup": 0.1, "decay": "cosine", "clip": 1.0},
    "budget": {"rows": 512, "batch_size": 16, "epochs": 2},
    "tuning": {"kind": "full"},
    "precision": "bf16",
    "lr": 1e-6,
    "seed": 3,
    "tokenisation": {"template": "chat", "max_tokens": 256, "overlong": "drop"},
    "start": {"kind": "model"},
}
ROW = {"model": "Qwen/Qwen3-0.6B", "model_revision": "a" * 40}


def cell(loss: str, **more):
    return CELL | {"loss": loss, "hyperparameters": dict(losses.get(loss).defaults)} | more


def loaded(exported, tmp_path):
    """The configuration as TRL reads it from the file."""
    trl_module = pytest.importorskip("trl")
    module, name, _ = _CLASSES[exported.trainer]
    kind = getattr(importlib.import_module(module), name)
    file = tmp_path / "config.yaml"
    file.write_text(yaml(exported, "cell"))
    # The machine of a test has no GPU, which is all that TrainingArguments has against bf16.
    file.write_text(file.read_text().replace("bf16: true", "bf16: false"))
    parser = trl_module.TrlParser((kind, trl_module.ModelConfig))
    return parser.parse_args_and_config(["--config", str(file)])


@pytest.mark.parametrize("loss", sorted({peer.ours for peer in TRL}))
def test_every_loss_that_trl_has_is_read_by_its_class(loss, tmp_path):
    config, model = loaded(trl(cell(loss), ROW), tmp_path)
    assert (config.learning_rate, config.seed, config.max_length) == (1e-6, 3, 256)
    assert config.warmup_steps == 0.1 and config.max_grad_norm == 1.0
    assert config.lr_scheduler_type == "cosine" and config.weight_decay == 0.01 and config.num_train_epochs == 2
    assert model.model_name_or_path == "Qwen/Qwen3-0.6B" and model.model_revision == "a" * 40
    assert model.dtype == "float32" and config.optim == "adamw_torch_fused"


def test_a_batch_is_of_as_many_completions_as_a_step_here_sees():
    done = ROW | {"status": "done"}
    paired, unpaired = done | {"preference_accuracy": 0.6}, done | {"preference_accuracy": None}
    sizes = [
        (trl(cell(loss), row)).fields["per_device_train_batch_size"]
        for loss in ("dpo", "kto", "apo_zero_unpaired")
        for row in (paired, unpaired)
    ]
    assert sizes == [16, 16, 32, 16, 32, 16]  # KTOTrainer makes two rows of a pair
    assert "devices at 32, the completions of 16 pairs" in " ".join(trl(cell("kto"), paired).notes)


def test_gamma_tau_and_the_added_likelihood_are_translated(tmp_path):
    simpo, _ = loaded(trl(cell("simpo", hyperparameters={"beta": 2.5, "gamma_beta_ratio": 0.4}), ROW), tmp_path)
    assert (simpo.loss_type, simpo.beta, simpo.simpo_gamma, simpo.cpo_alpha) == ("simpo", 2.5, 1.0, 0.0)
    ipo, _ = loaded(trl(cell("ipo", hyperparameters={"beta": 0.25}), ROW), tmp_path)
    assert (ipo.loss_type, ipo.beta) == (["ipo"], 0.25)
    forward, _ = loaded(trl(cell("dpo_forward_kl"), ROW), tmp_path)
    assert (forward.loss_type, forward.f_divergence_type) == (["sigmoid"], "forward_kl")
    alpha, _ = loaded(trl(cell("dpo_alpha", hyperparameters={"beta": 0.1, "alpha": 0.7}), ROW), tmp_path)
    assert (alpha.f_divergence_type, alpha.f_alpha_divergence_coef) == ("alpha_divergence", 0.7)
    cut, _ = loaded(trl(cell("ld_dpo", hyperparameters={"beta": 0.1, "alpha": 0.3}), ROW), tmp_path)
    assert cut.ld_alpha == 0.3
    wpo, _ = loaded(trl(cell("wpo"), ROW), tmp_path)
    assert wpo.use_weighting is True
    disco, _ = loaded(trl(cell("discopop", hyperparameters={"beta": 0.1, "tau": 0.07}), ROW), tmp_path)
    assert disco.discopop_tau == 0.07


def test_the_adapter_and_the_decay_are_translated(tmp_path):
    lora = {"tuning": {"kind": "lora", "rank": 8, "alpha": 24}, "schedule": CELL["schedule"] | {"decay": "constant"}}
    config, model = loaded(trl(cell("dpo", **lora), ROW), tmp_path)
    assert (model.use_peft, model.lora_r, model.lora_alpha, model.lora_dropout) == (True, 8, 24, 0.0)
    assert model.lora_target_modules in ("all-linear", ["all-linear"])
    assert config.lr_scheduler_type == "constant_with_warmup"


def test_what_trl_does_otherwise_is_said():
    said = {name: " ".join(trl(cell(name), ROW).notes) for name in ("dpo", "cdpo", "orpo", "kto", "simpo")}
    assert "not the same loss" not in said["dpo"] + said["simpo"]
    assert "label_smoothing is accepted and ignored" in said["cdpo"]
    assert "prompt and answer tokens" in said["orpo"] and "second end-of-turn" in said["orpo"]
    assert "keep accumulation at 1" in said["kto"] and "shuffle" in said["kto"]
    assert "set model_name_or_path" in " ".join(trl(cell("dpo"), {"model": "tiny"}).notes)


@pytest.mark.parametrize("loss", ["none", "dpo_plus_sft_x0p2", "rrhf"])
def test_what_trl_cannot_train_is_refused(loss):
    with pytest.raises(UsageError, match="nothing to export|cannot train"):
        trl(CELL | {"loss": loss, "hyperparameters": {}}, ROW)


def test_the_verb_prints_the_file_and_says_the_notes(tmp_path, capsys):
    folder = store.cell_folder(tmp_path, "toy", "dpo", "0123456789ab")
    row = ROW | {"loss": "dpo", "cell": "0123456789ab", "validation_preference_accuracy": 0.6}
    store.write_cell(folder, cell=cell("dpo"), row=row, pairs=None, curve=None, log="")
    for name in (["best", str(tmp_path)], [str(folder), "format=trl"], ["0123", str(tmp_path)]):
        assert main(["export", *name]) == 0
        shown = capsys.readouterr()
        assert "beta: 0.1\n" in shown.out and "learning_rate: 1.0e-06\n" in shown.out and "note: " in shown.err
    assert json.loads((folder / "cell.json").read_text())["loss"] == "dpo"
    for words, said in ((["best", str(tmp_path), "format=tlr"], "did you mean 'trl'"), ([], "takes a cell")):
        assert main(["export", *words]) == 2
        assert said in capsys.readouterr().err
    (folder / "cell.json").write_text("{")
    assert main(["export", str(folder)]) == 2
    assert f"{folder} cannot be read (" in capsys.readouterr().err

"""An external checkpoint is measured as a trained cell is, once, in a table of its own."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import results
from harness.errors import UsageError
from harness.evaluation import alignment_tax
from harness.evaluation.lm_eval import Score
from harness.progress import Progress, Silent
from harness.verbs.evaluate import called, evaluate, read_evaluate_options
from harness.verbs.verify import verify
from results.cells import store
from tests.harness.conftest import pair_rows, write_jsonl

MEASURED = ["eval_pairs=8", "device=cpu", "workers=0"]


class Evaluated:
    """One command's exit code and the lines that it said."""

    def __init__(self, *argv: str) -> None:
        display = Silent()
        with Progress(display) as progress:
            self.code = evaluate(
                read_evaluate_options([*MEASURED, *argv]),
                progress,
                "python -m harness evaluate " + " ".join([*MEASURED, *argv]),
            )
        self.lines = display.lines

    @property
    def measured(self) -> int:
        return len([line for line in self.lines if ": started" in line])


@pytest.fixture
def trained(command, tmp_path: Path):
    """A cell trained here whose model was kept: its folder."""

    def train(*argv: str) -> Path:
        assert command("losses=dpo", "controls=false", "lrs=1e-3", "save=all", *argv).code == 0
        return next((tmp_path / "runs" / "pairs").glob("dpo-*"))

    return train


def words_of(model: Path | str, pairs_file: Path, out: Path) -> list[str]:
    return [f"model={model}", "reference=tiny", f"suite={pairs_file}", f"out={out}"]


def folder_of(out: Path, start: str) -> Path:
    return next((out / "pairs").glob(f"{start}-*"))


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_cell_trained_here_has_the_same_pair_table_when_it_is_evaluated(trained, tuning, pairs_file, tmp_path):
    cell = trained(f"tuning={tuning}")
    words = words_of(cell / "model", pairs_file, tmp_path / "given")
    assert Evaluated(*words, "loss=dpo", "beta=0.1").code == 0
    ours, theirs = (results.pairs(place) for place in (cell, folder_of(tmp_path / "given", "dpo")))
    numbers = [name for name in ours.columns if name not in ("cell", "step")]
    assert ours[numbers].equals(theirs[numbers])
    first, second = store.read_row(cell), store.read_row(folder_of(tmp_path / "given", "dpo"))
    for name in ("reward_accuracy", "effective_beta", "margin", "length_bias", "reward", "hyperparameters"):
        assert first[name] == second[name]
    assert second["lr"] is None and second["train_pairs"] is None and second["tuning"] is None
    assert second["trained_model"] == str(cell / "model") and second["model"] == "tiny"


def test_the_reference_itself_is_at_one_half_with_no_drift(pairs_file, tmp_path):
    Evaluated(*words_of("tiny", pairs_file, tmp_path / "given"))
    row = store.read_row(folder_of(tmp_path / "given", "tiny"))
    assert (row["preference_accuracy"], row["mean_ratio_accuracy"], row["margin"]) == (0.5, 0.5, 0.0)
    assert row["chosen_logp_drift"] == row["rejected_logp_drift"] == 0.0
    assert row["reward"] is None and row["reward_accuracy"] is None


def test_evaluated_models_share_a_table_with_each_other_and_not_with_cells_trained_here(trained, pairs_file, tmp_path):
    model = trained() / "model"
    Evaluated(*words_of(model, pairs_file, tmp_path / "runs"))
    Evaluated(*words_of("tiny", pairs_file, tmp_path / "runs"))
    runs = results.read(tmp_path / "runs").set_index("loss")
    mine, others = runs[runs["trained_model"].notna()], runs.loc[["dpo"]]
    assert len(mine) == 2 and mine["protocol"].nunique() == 1
    assert set(mine["protocol"]) == {runs.loc["none", "protocol"]}
    assert not set(mine["protocol"]) & set(others["protocol"])
    compared = results.compare(tmp_path / "runs")
    assert set(compared["protocol"]) == set(mine["protocol"]) and len(compared) == 1


def test_the_same_command_again_measures_nothing_and_completions_are_added_without_measuring(pairs_file, tmp_path):
    words = words_of("tiny", pairs_file, tmp_path / "given")
    assert Evaluated(*words).measured == 2  # the control and the model
    assert Evaluated(*words).measured == 0
    before = (folder_of(tmp_path / "given", "tiny") / "pairs.parquet").read_bytes()
    assert Evaluated(*words, "generate=3", "max_new_tokens=4", "refusal=rule", "judge=length").code == 0
    row = store.read_row(folder_of(tmp_path / "given", "tiny"))
    assert row["generated_prompts"] == 3 and row["win_rate"] == 0.5 and row["refusal_rate"] == 0
    assert abs(row["kl"]) < 1e-5  # drawn and measured in two ways
    assert (folder_of(tmp_path / "given", "tiny") / "pairs.parquet").read_bytes() == before


@pytest.mark.slow
def test_seeds_make_runs_of_one_setting_and_without_them_models_stand_apart(tiny_models, pairs_file, tmp_path):
    models = ",".join(map(str, tiny_models))
    Evaluated(*words_of(models, pairs_file, tmp_path / "seeds"), "loss=dpo", "seeds=0,1")
    Evaluated(
        f"model={models}", "reference=tiny", f"suite={pairs_file}", f"out={tmp_path / 'seeds'}", "loss=ipo", "seeds=0,1"
    )
    compared = results.compare(tmp_path / "seeds")
    assert len(compared) == 1 and compared["seeds_a"].tolist() == compared["seeds_b"].tolist() == [2]
    Evaluated(*words_of(models, pairs_file, tmp_path / "apart"), "loss=dpo")
    compared = results.compare(tmp_path / "apart")
    assert len(compared) == 1 and compared["seeds_a"].tolist() == [1]


@pytest.fixture
def tiny_models(source, tmp_path: Path) -> list[Path]:
    """Two folders whose weights differ a little from the reference's."""

    def changed(number: int) -> Path:
        place = tmp_path / f"model-{number}"
        shutil.copytree(source.folder, place)
        weights = load_file(place / "model.safetensors")
        generator = torch.Generator().manual_seed(number)
        noisy = {name: w + 0.01 * torch.randn(w.shape, generator=generator) for name, w in weights.items()}
        save_file(noisy, place / "model.safetensors", metadata={"format": "pt"})
        return place

    return [changed(number) for number in (1, 2)]


def test_the_same_weights_under_two_names_are_refused(tiny_models, pairs_file, tmp_path):
    shutil.copytree(tiny_models[0], tmp_path / "copy")
    with pytest.raises(UsageError, match="copy holds the same weights as .*model-1; name one of them"):
        Evaluated(*words_of(f"{tiny_models[0]},{tmp_path / 'copy'}", pairs_file, tmp_path / "given"))


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [False, True])
def test_what_trl_trained_is_measured(source, tokenizer, pairs_file, tmp_path, adapter):
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    arguments = DPOConfig(
        str(tmp_path / "trl"),
        max_steps=4,
        learning_rate=1e-2 if adapter else 1e-3,
        report_to=[],
        use_cpu=True,
        bf16=False,
        save_strategy="no",
    )
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM") if adapter else None
    trainer = DPOTrainer(
        str(source.folder),
        args=arguments,
        train_dataset=Dataset.from_list(pair_rows(64)),
        processing_class=tokenizer,
        peft_config=lora,
    )
    trainer.train()
    trainer.save_model()
    told = Evaluated(*words_of(tmp_path / "trl", pairs_file, tmp_path / "given"), "loss=dpo", "beta=0.1")
    row = store.read_row(folder_of(tmp_path / "given", "dpo"))
    assert told.code == 0 and not any("otherwise" in line for line in told.lines)
    assert row["preference_accuracy"] > 0.5 and row["margin"] > 0 and row["effective_beta"] > 0


def test_weights_that_are_not_finite_fail_the_cell_and_the_others_go_on(tiny_models, pairs_file, tmp_path):
    broken, sound = tiny_models
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    words = words_of(f"{broken},{sound}", pairs_file, tmp_path / "given")
    assert Evaluated(*words).code == 1
    row = store.read_row(folder_of(tmp_path / "given", "model-1"))
    assert row["status"] == "failed" and "first model.norm.weight" in row["reason"]
    assert store.is_done(folder_of(tmp_path / "given", "model-2"))
    again = Evaluated(*words)
    assert again.measured == 0 and any("retry=failed" in line for line in again.lines)


def test_verify_holds_it_to_its_files_and_measures_it_again(tiny_models, pairs_file, tmp_path, capsys):
    Evaluated(*words_of(tiny_models[0], pairs_file, tmp_path / "given"), "loss=dpo")
    cell = folder_of(tmp_path / "given", "dpo")
    with Progress(Silent()) as progress:
        assert verify([str(tmp_path / "given"), f"rerun={cell.name}"], progress) == 0
        assert "equal to the last bit" in capsys.readouterr().out
        weights = load_file(tiny_models[0] / "model.safetensors")
        weights["model.norm.weight"] += 0.1
        save_file(weights, tiny_models[0] / "model.safetensors", metadata={"format": "pt"})
        assert verify([str(tmp_path / "given"), f"rerun={cell.name}"], progress) == 1
    assert "weights was" in capsys.readouterr().out


def test_a_suite_of_test_rows_alone_will_do_and_unpaired_rows_are_refused(pairs_file, tmp_path):
    rows = [row | {"split": "test"} for row in pair_rows(12)]
    only_test = write_jsonl(tmp_path / "only_test.jsonl", rows)
    assert Evaluated("model=tiny", "reference=tiny", f"suite={only_test}", f"out={tmp_path / 'given'}").code == 0
    assert store.read_row(next((tmp_path / "given").glob("*/tiny-*")))["test_pairs"] == 8
    single = [{"prompt": row["prompt"], "completion": row["chosen"], "label": True} for row in pair_rows(60)]
    unpaired = write_jsonl(tmp_path / "unpaired.jsonl", single)
    with pytest.raises(UsageError, match="single rated completions"):
        Evaluated("model=tiny", "reference=tiny", f"suite={unpaired}", f"out={tmp_path / 'none'}")
    assert not (tmp_path / "none").exists()


def test_a_name_stands_for_a_loss_that_is_not_known():
    assert called("trl-lib/zephyr-dpo") == "zephyr-dpo"
    assert called("runs/hh-rlhf/dpo-0a1b2c3d4e5f/model") == "dpo-0a1b2c3d4e5f"
    assert called("out/dpo") == "evaluated-dpo" and called("/x/none/") == "evaluated-none"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "model= is missing"),
        (["model=a", "reference=tiny", "suite=x.jsonl", "lrs=1e-5"], "unknown key 'lrs'"),
        (["model=a", "reference=tiny", "suite=persona", "loss=dop"], "loss: unknown loss 'dop'; did you mean 'dpo'?"),
        (["model=a,a", "reference=tiny", "suite=persona"], "model: 'a' is given more than once"),
        (["model=a", "reference=tinny", "suite=persona"], "reference: unknown model 'tinny'"),
        (["model=a", "reference=tiny", "suite=persona", "dpo.beta=1"], "dpo.beta: evaluate trains nothing"),
        (["model=a", "reference=tiny", "suite=persona", "loss=sft", "beta=1"], "sft has no beta"),
        (["model=a", "reference=tiny", "suite=persona", "judge=gold"], "add generate=128"),
    ],
)
def test_wrong_words_are_named(words, sentence):
    with pytest.raises(UsageError) as caught:
        read_evaluate_options(words)
    assert any(sentence in message for message in caught.value.messages)


def test_all_problems_are_told_at_once():
    with pytest.raises(UsageError) as caught:
        read_evaluate_options(["model=a", "suite=hh-rlh", "loss=dop", "bare", "beta=x"])
    starts = [message.partition(":")[0].partition(" ")[0] for message in caught.value.messages]
    assert sorted(starts) == ["beta", "loss", "reference=", "suite", "unexpected"]


def test_a_word_of_run_means_the_same(pairs_file):
    asked = read_evaluate_options(
        ["model=a", "reference=tiny", f"suite={pairs_file}", "eval_pairs=8", "similarity=ches"]
    )
    assert (asked.shared.eval_pairs, asked.shared.similarity, asked.shared.model) == (8, "ches", "tiny")
    assert asked.own.model == ("a",)


def test_what_training_cost_is_measured_on_the_folder_itself_and_added_later(
    tiny_models, pairs_file, tmp_path, monkeypatch
):
    asked = []

    def measure(request):
        asked.append(request)
        return [Score(task, "acc", 0.5, 0.1, {"0": 1.0, "1": 0.0}) for task in request.tasks]

    monkeypatch.setattr(alignment_tax, "measure", measure)
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    first, later = (words_of(model, pairs_file, tmp_path / "given") for model in tiny_models)
    assert Evaluated(*first, "lm_eval=everyday", "similarity=ches").code == 0
    Evaluated(*later)
    added = Evaluated(*later, "lm_eval=everyday")
    assert added.code == 0 and added.measured == 0
    assert [request.model for request in asked[1:]] == [str(model) for model in tiny_models]
    rows = [store.read_row(folder_of(tmp_path / "given", name)) for name in ("model-1", "model-2")]
    assert [row["capability_everyday"] for row in rows] == [0.0, 0.0]
    assert rows[0]["similarity"] == "ches" and rows[0]["displacement_ches"] is not None


@pytest.mark.slow
def test_it_chooses_among_the_reference_s_completions_as_a_trained_cell_does(trained, pairs_file, tmp_path):
    asked = ("generate=4", "max_new_tokens=6", "rerank=3")
    cell = trained(*asked)
    Evaluated(*words_of(cell / "model", pairs_file, tmp_path / "given"), "loss=dpo")
    assert Evaluated(*words_of(cell / "model", pairs_file, tmp_path / "given"), "loss=dpo", *asked).measured == 2
    given = folder_of(tmp_path / "given", "dpo")
    assert (cell / store.RERANKED).read_bytes() == (given / store.RERANKED).read_bytes()
    assert store.read_row(given)["rerank_answers"] == 3

"""CHES against sums of the stock model's hidden states, and its way into a run."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch

import results
from harness.evaluation.similarity import ches, with_ches
from harness.model.logprobs import Scorer
from tests.harness.architectures import build, items


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_ches_is_that_of_the_models_own_last_hidden_states(name):
    model = build(name)
    found = ches(Scorer(model), items(), pad=0)
    for one, item in zip(found, items(), strict=True):
        sums = []
        for completion in item.completions:
            ids = torch.tensor([[*item.prompt, *completion]])
            with torch.no_grad():
                states = model(ids, output_hidden_states=True).hidden_states[-1][0].double()
            sums.append(states[len(item.prompt) - 1 : -1].sum(0))
        chosen, rejected = sums
        assert one.score == pytest.approx(float(chosen @ rejected - chosen @ chosen), rel=1e-4)
        nc, nr = map(len, item.completions)
        expected = float(chosen @ rejected) / (nc * nr) - float(chosen @ chosen) / nc**2
        assert one.normalized == pytest.approx(expected, rel=1e-4)


def test_equal_completions_are_as_alike_as_can_be():
    (item,) = items(prompts=(5,), completions=((4, 4),))
    same = item._replace(completions=[item.completions[0], item.completions[0]])
    (alike,), (other,) = (ches(Scorer(build("llama")), [one], pad=0) for one in (same, item))
    assert alike.score == pytest.approx(0, abs=1e-6) and other.score != 0


def test_rows_without_a_similarity_lack_it():
    table = with_ches(pd.DataFrame({"pair_id": ["a", "b"]}), {"a": ches(Scorer(build("llama")), items()[:1], pad=0)[0]})
    assert table["ches"].notna().tolist() == [True, False] and math.isnan(table["ches_normalized"][1])


@pytest.mark.slow
def test_a_run_with_ches_has_the_columns_and_measures_a_finished_cell_anew(command, tmp_path):
    assert command("losses=dpo", "controls=false").trained == ["dpo"]
    before = results.read(tmp_path / "runs").iloc[0]
    assert pd.isna(before["displacement_ches"]) and -1 <= before["displacement_similarity"] <= 1
    assert command("losses=dpo", "controls=false", "similarity=ches").trained == ["dpo"]
    (after,) = results.read(tmp_path / "runs").to_dict("records")
    assert after["cell"] == before["cell"] and after["margin"] == before["margin"]
    assert -1 <= after["displacement_ches"] <= 1
    assert results.pairs(tmp_path / "runs")[["ches", "ches_normalized"]].notna().all(axis=None)
    assert command("losses=dpo", "controls=false", "similarity=ches").trained == []
    assert command("losses=dpo", "controls=false").trained == []


def test_a_model_saved_beside_ches_is_the_trained_one(command, tmp_path):
    words = ("losses=dpo", "controls=false", "save=all")
    command(*words, out="plain")
    command(*words, "similarity=ches")
    (plain,), (beside,) = ((tmp_path / out).rglob("model.safetensors") for out in ("plain", "runs"))
    assert plain.read_bytes() == beside.read_bytes()

"""Recipes as data: complete, their options accepted, their costs those of the estimator; without a GPU they say so."""

import math
from dataclasses import replace

import pytest

import losses
import suites
from harness.cells import estimate
from harness.errors import UsageError
from harness.options.lookup import read_options
from harness.reproduce.frame import REPORTED
from harness.reproduce.hub import recipe as hub
from harness.reproduce.hub.recipe import GPU_RATE, NAMES, read_recipe, trials
from harness.sweeps.footprint import Shape, footprint
from tests.harness.conftest import pair_rows, write_jsonl

SETTINGS = [(name, setting) for name in NAMES for setting in read_recipe(name).settings]


def with_known_suite(argv: list[str]) -> list[str]:
    """The argv, with a suite that is here in place of one that is not (its settings go with it)."""
    name = next(word.removeprefix("suite=") for word in argv if word.startswith("suite="))
    if name in suites.names():
        return argv
    return ["suite=imdb-sentiment", *(word for word in argv if not word.startswith(("suite=", "suite.")))]


def test_every_file_is_a_recipe_and_every_recipe_a_file():
    assert {path.stem for path in hub.FOLDER.glob("*.yaml")} == set(NAMES)


@pytest.mark.parametrize(("name", "setting"), SETTINGS, ids=lambda value: getattr(value, "name", value))
def test_the_options_of_a_setting_are_accepted_as_plan_would(name, setting):
    recipe = read_recipe(name)
    argv = with_known_suite(recipe.argv(setting, tuple(setting.losses), "runs"))
    options, _ = read_options(argv)
    assert options.losses == tuple(setting.losses)
    assert options.epochs == recipe.epochs(setting)
    assert options.train_pairs == (1 if "train_pairs=1" in recipe.common else setting.pairs,)
    for loss, values in setting.losses.items():
        assert options.loss_settings[loss] == values
        assert set(values) - {"lrs"} <= set(losses.get(loss).defaults)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_where_its_figures_come_from_and_how_near_ours_should_be(name):
    recipe = read_recipe(name)
    assert recipe.paper and recipe.source and recipe.protocol and recipe.notes
    for setting in recipe.settings:
        assert setting.expected
        for figures in setting.expected.values():
            assert set(figures) == set(recipe.tolerance)


def test_simpo_s_table_has_its_five_settings_and_ten_methods_less_sft():
    recipe = read_recipe("simpo-table4")
    assert len(recipe.settings) == 5
    assert all(len(s.expected) == 9 and set(s.expected) == set(s.losses) for s in recipe.settings)
    best = [max(s.expected, key=lambda loss, s=s: s.expected[loss]["length_controlled"]) for s in recipe.settings]
    assert best == ["simpo"] * 5


def test_memory_and_hours_are_those_of_the_estimator():
    recipe = read_recipe("zephyr-dpo")
    (setting,) = recipe.settings
    held = footprint(Shape(int(setting.parameters), 0, 0, 0, 0, 0), second_model=True)
    assert recipe.gpu_memory_gib == pytest.approx(held.total / 2**30)
    tokens = trials(setting) * setting.pairs * int(recipe.tokens_per_pair)
    rates = estimate.Rates(6 * setting.parameters / (GPU_RATE * estimate.ASSUMED_EFFICIENCY), 0.0)
    assert recipe.gpu_hours == pytest.approx(estimate.seconds(estimate.Work(tokens, 0), rates) / 3600, rel=0.02)


def test_a_broken_recipe_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "FOLDER", tmp_path)
    (tmp_path / "half.yaml").write_text("what: x\npaper: y\nextra: z\n")
    with pytest.raises(ValueError, match="half: missing or unknown: common, extra, notes"):
        read_recipe("half")


@pytest.mark.parametrize("name", NAMES)
def test_without_a_gpu_and_a_hub_a_recipe_says_what_it_needs(name, request_of, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match=rf"{name} needs a GPU of \d+ GiB .*\(here: none\); the hub"):
        hub.run_recipe(read_recipe(name), request_of())


def test_where_it_can_run_it_trains_and_compares_the_order(request_of, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "missing", lambda recipe: [])
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    pairs = write_jsonl(tmp_path / "pairs.jsonl", pair_rows(80))
    recipe = read_recipe("simpo-table4")
    small = replace(
        recipe.settings[0],
        model="tiny",
        pairs=61135,
        options=(f"suite={pairs}", "max_tokens=512", "eval_pairs=4"),
        losses={"dpo": {"beta": (0.01,), "lrs": (1e-3,)}, "simpo": {"beta": (2.0,), "lrs": (1e-3,)}},
    )
    common = ("batch_size=8", "epochs=1", "controls=false", "precision=fp32", "device=cpu", "workers=0", "threads=1")
    checks = hub.run_recipe(replace(recipe, settings=(small,), common=common), request_of(rows=("dpo", "simpo")))
    assert [check.row for check in checks] == ["dpo", "simpo", "mistral-base"]
    assert [check.published for check in checks[:2]] == ["15.1", "21.4"]
    assert all(0 <= check.ours <= 1 for check in checks[:2])
    assert checks[2].verdict == REPORTED and (math.isnan(checks[2].ours) or -1 <= checks[2].ours <= 1)

"""The registry of what is measured besides the held-out rows, and a metric on completions made with it."""

from __future__ import annotations

import pytest

import results
from harness.evaluation import measurements
from harness.evaluation.completion_tables import read_cell
from harness.evaluation.finished import Addition, Finished, add_to_each
from harness.evaluation.measurements import Additions, lacking, measurement, registered, wanted
from harness.options.run import Options
from results.schema.row import ROW_COLUMNS, names


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is unknown to the next one."""
    registered()  # all modules are looked through before
    monkeypatch.setattr(measurements, "_REGISTERED", dict(measurements._REGISTERED))


def options(**given) -> Options:
    return Options(suite="imdb-sentiment", losses=("dpo",), **given)


ALL = registered("policy", "model", "nothing", "completions")


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.column)
def test_a_measurement_names_a_declared_column_and_an_option_that_is_there(one):
    assert one.column in names(ROW_COLUMNS)
    assert one.option in Options.model_fields


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.column)
def test_a_plain_command_asks_for_no_measurement(one):
    assert one.wanted(options(), None) is None


def test_a_row_lacks_what_is_wanted_and_not_held_as_it_is_wanted():
    asked = wanted(options(similarity="ches", lm_eval=("everyday",)), None)
    assert asked == {"similarity": "ches", "capability": ("everyday",)}
    assert [one.column for one in lacking({"similarity": "edit"}, asked)] == ["capability", "similarity"]
    assert [one.column for one in lacking({"similarity": "ches"}, asked)] == ["capability"]
    assert lacking({}, {}) == []


def test_two_measurements_cannot_share_a_column(registry):
    with pytest.raises(ValueError, match="'generation' is that of another measurement"):
        measurement(column="generation", option="generate", needs="policy")(object)


def test_a_metric_on_completions_needs_its_module_alone_to_reach_the_row(registry, command, tmp_path):
    @measurement(column="first_letters", option="generate", needs="completions")
    def first_letters(finished: Finished) -> list[str]:
        cells = [read_cell(folder) for folder in finished.folders]
        return add_to_each(
            cells,
            lambda cell, advance: {"first_letters": len({completion[:1] for completion in cell.completions["answer"]})},
            finished.progress,
            title=lambda cell: f"first letters of {cell.label}",
        )

    command("losses=dpo", "generate=4", "max_new_tokens=6", "controls=false")
    (row,) = results.read(tmp_path / "runs").to_dict("records")
    (folder,) = (tmp_path / "runs" / "pairs").glob("dpo-*")
    assert row["first_letters"] == read_cell(folder).completions["answer"].str[:1].nunique()


class Policy:
    def load(self, folder):
        return f"policy of {folder}"


class LoadedModel:
    """As much of a loaded model as measurements that are made up need."""

    def __init__(self, asked: Options) -> None:
        self.options, self.data, self.policy = asked, None, Policy()


class Counting:
    """A measurement that says what was done with it."""

    name: str

    def __init__(self, loaded) -> None:
        self.prepared = 0

    def prepare(self):
        self.prepared += 1

    def ask(self, model):
        return f"{model} asked"

    def measure(self, told):
        return Addition({f"{self.name}_said": told}, {f"{self.name}.txt": b""})

    def measure_reference(self):
        return Addition({f"{self.name}_said": "reference"}, {})

    def recompute(self, folder):
        return Addition({f"{self.name}_said": f"held in {folder}"}, {})


@pytest.fixture
def additions(registry, monkeypatch):
    monkeypatch.setattr(measurements, "_REGISTERED", {})
    for name in ("a", "b"):
        kind = type(name, (Counting,), {"name": name})
        measurement(column=name, option="generate", needs="policy")(kind)
    measurement(column="m", option="lm_eval", needs="model")(lambda loaded, trial: {"m": trial})
    return Additions(LoadedModel(options(generate=3, lm_eval=("everyday",))))


def test_every_measurement_is_asked_while_the_policy_is_there_and_names_what_was_asked(additions):
    told = additions.ask("policy")
    assert told == {"a": "policy asked", "b": "policy asked"}
    columns, files = additions.of_policy(told)
    assert columns == {"a": 3, "a_said": "policy asked", "b": 3, "b_said": "policy asked"}
    assert set(files) == {"a.txt", "b.txt"}
    assert additions.of_model("trial") == {"m": "trial"}
    assert additions.of_reference().columns["b_said"] == "reference"


def test_a_finished_cell_is_asked_only_what_it_lacks(additions):
    lacks = [one for one in registered("policy") if one.column == "b"]
    columns = additions.of_finished("cell", "model", lacks).columns
    assert columns == {"a": 3, "a_said": "held in cell", "b": 3, "b_said": "policy of model asked"}


def test_where_nothing_is_asked_nothing_is_added(registry):
    additions = Additions(LoadedModel(options()))
    assert additions.ask("policy") == {} and additions.of_policy({}) == Addition({}, {})
    assert additions.on_pairs("pairs") == "pairs" and additions.of_model("trial") == {}

"""Names: what is asked for exists, all problems come at once, and a doubtful combination is a warning."""

import textwrap

import pytest

import losses
from harness.errors import UsageError
from harness.options.lookup import read_options

GOOD = "suite=imdb-sentiment losses=dpo,ipo"


def read(line):
    return read_options(line.split())


def problems_of(line):
    with pytest.raises(UsageError) as caught:
        read(line)
    return caught.value.messages


def the_problem_of(line):
    (message,) = problems_of(line)
    return message


@pytest.fixture
def plugin(tmp_path):
    """A plug-in file whose loss has a beta and no grid; its name is forgotten afterwards."""
    path = tmp_path / "my_loss.py"
    path.write_text(
        textwrap.dedent(
            """
            import losses

            @losses.register("plugged_for_names")
            def mine(pair: losses.PairBatch, *, beta: float = 0.3):
                return -beta * pair.chosen.total
            """
        )
    )
    yield path
    losses.registry._losses.pop("plugged_for_names", None)


def test_words_become_options_with_every_value_typed():
    options, warnings = read(f"{GOOD} seeds=0,1 dpo.beta=0.1,0.5 out=somewhere")
    assert options.losses == ("dpo", "ipo")
    assert options.seeds == (0, 1)
    assert options.loss_settings == {"dpo": {"beta": (0.1, 0.5)}}
    assert warnings == ()


def test_problems_of_both_looks_come_together():
    messages = problems_of("suite=nope losses=dop,ipo ipo.bta=1 epochs=x los=1 bare model=a,b")
    text = "\n".join(messages)
    for part in ["'nope'", "'dop'", "'bta'", "'x'", "'los'", "'bare'", "'a,b'"]:
        assert part in text
    assert len(messages) == 7


def test_an_unknown_loss_has_a_guess_and_the_way_to_ones_own():
    message = the_problem_of("suite=imdb-sentiment losses=dop")
    assert "did you mean 'dpo'?" in message
    assert "plugins=" in message


def test_the_untrained_control_is_not_a_loss():
    assert "controls=true" in the_problem_of("suite=imdb-sentiment losses=dpo,none")


def test_a_loss_named_twice_is_one_problem():
    assert "'dpo' is given more than once" in the_problem_of("suite=imdb-sentiment losses=dpo,dpo")


def test_a_required_key_that_could_not_be_read_is_not_called_missing_too():
    assert the_problem_of("suite=imdb-sentiment losses=dpo,,ipo").startswith("losses: an empty value")


def test_an_unknown_suite_has_a_guess():
    assert "did you mean 'hh-rlhf'?" in the_problem_of("suite=hh-rlh losses=dpo")


def test_an_unknown_suite_setting_has_a_guess():
    assert "did you mean 'subset'?" in the_problem_of("suite=hh-rlhf losses=dpo suite.subst=x")


def test_a_suite_path_that_is_not_there_is_said(tmp_path):
    missing = tmp_path / "nowhere"
    assert str(missing) in the_problem_of(f"suite=hh-rlhf losses=dpo suite.path={missing}")
    options, _ = read(f"suite=hh-rlhf losses=dpo suite.path={tmp_path}")
    assert options.suite_settings == {"path": str(tmp_path)}


def test_a_file_of_ones_own_has_to_be_there_and_has_no_settings(tmp_path):
    assert "no such file" in the_problem_of(f"suite={tmp_path}/pairs.jsonl losses=dpo")
    file = tmp_path / "pairs.jsonl"
    file.write_text("{}\n")
    assert read(f"suite={file} losses=dpo").options.suite == str(file)
    assert "has no settings" in the_problem_of(f"suite={file} losses=dpo suite.subset=x")


def test_settings_of_a_loss_that_is_not_selected_are_refused():
    assert "dpo is not among losses=ipo" in the_problem_of("suite=imdb-sentiment losses=ipo dpo.beta=1")
    assert "unknown loss or `suite` 'suit'; did you mean 'suite'?" in the_problem_of(f"{GOOD} suit.path=x")


def test_a_hyperparameter_that_a_loss_does_not_have_is_refused_with_those_it_has():
    assert "Known: beta, lrs" in the_problem_of(f"{GOOD} dpo.alpha=1")


def test_grid_needs_a_declared_grid(plugin):
    line = f"suite=imdb-sentiment losses=dpo,plugged_for_names plugins={plugin}"
    assert "declares no grid for beta" in the_problem_of(f"{line} betas=grid")
    assert "plugged_for_names.beta=0.3" in the_problem_of(f"{line} plugged_for_names.beta=grid")
    assert read(f"{line} betas=grid plugged_for_names.beta=0.5").options.betas == "grid"


def test_plugins_are_loaded_before_their_losses_are_looked_up(plugin):
    options, _ = read(f"suite=imdb-sentiment losses=plugged_for_names plugins={plugin}")
    assert options.losses == ("plugged_for_names",)


def test_a_plugin_that_is_not_there_is_said_beside_the_rest(tmp_path):
    messages = problems_of(f"{GOOD} plugins={tmp_path}/no.py epochs=0")
    assert [message.split(":")[0] for message in messages] == ["epochs", "plugins"]


def test_a_model_name_close_to_a_known_one_is_taken_for_a_slip():
    assert "did you mean 'smollm2-135m'?" in the_problem_of(f"{GOOD} model=smollm2-135M")
    assert read(f"{GOOD} model=gpt2").options.model == "gpt2"
    assert read(f"{GOOD} model=owner/tiny").options.model == "owner/tiny"


def test_a_model_folder_that_is_not_there_is_said(tmp_path):
    assert "no such folder" in the_problem_of(f"{GOOD} model={tmp_path}/none")
    assert read(f"{GOOD} model={tmp_path}").options.model == str(tmp_path)


@pytest.mark.parametrize(
    ("loss", "setting", "told"),
    [
        ("cdpo", "label_smoothing=0.1,0.7", "cdpo.label_smoothing is 0.7, allowed: a share of wrong labels"),
        ("kto", "desirable_weight=-1", "kto.desirable_weight is -1.0, allowed: a number of at least 0"),
        ("discopop", "tau=0", "discopop.tau is 0.0, allowed: a number above 0"),
    ],
)
def test_a_value_that_a_hyper_parameter_cannot_have_is_told_with_the_others(loss, setting, told):
    epochs, limit = problems_of(f"suite=imdb-sentiment losses={loss} {loss}.{setting} epochs=0")
    assert epochs.startswith("epochs: '0' is not") and limit.startswith(told)


def test_a_file_cannot_be_the_output_folder(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert "is a file" in the_problem_of(f"{GOOD} out={file}")
    assert f"out: {file} is a file" in the_problem_of(f"{GOOD} out={file}/below")


def test_the_output_folder_may_begin_with_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read(f"{GOOD} out=~/runs")[0].out == str(tmp_path / "runs")


def test_a_shared_beta_over_different_scales_is_a_warning():
    (warning,) = read("suite=imdb-sentiment losses=dpo,simpo betas=0.1").warnings
    assert "dpo (0.1), simpo (2)" in warning
    assert read("suite=imdb-sentiment losses=dpo,simpo betas=0.1 simpo.beta=2").warnings == ()
    assert read("suite=imdb-sentiment losses=dpo,simpo betas=grid").warnings == ()
    assert read("suite=imdb-sentiment losses=dpo,ipo betas=0.1").warnings == ()


def test_a_shared_rate_over_different_scales_is_a_warning():
    (warning,) = read("suite=imdb-sentiment losses=dpo,orpo lrs=1e-5").warnings
    assert "dpo (1), orpo (10)" in warning
    assert read("suite=imdb-sentiment losses=dpo,orpo lrs=grid").warnings == ()
    assert read("suite=imdb-sentiment losses=dpo,orpo lrs=1e-5 orpo.lrs=1e-4").warnings == ()


def test_betas_without_a_loss_that_has_one_are_refused_and_otherwise_said():
    assert "none of sft has a beta" in the_problem_of("suite=imdb-sentiment losses=sft betas=1")
    (warning,) = read("suite=imdb-sentiment losses=sft,dpo betas=1").warnings
    assert "does not act on sft" in warning


def test_adapter_settings_without_an_adapter_are_said():
    (warning,) = read(f"{GOOD} lora_rank=4").warnings
    assert "lora_rank does nothing while tuning=full" in warning
    assert read(f"{GOOD} lora_rank=4 tuning=lora").warnings == ()


@pytest.fixture
def forgotten(monkeypatch):
    """Sums that a test registers are gone afterwards."""
    monkeypatch.setattr(losses.registry, "_losses", dict(losses.registry._losses))


def test_a_weighted_sum_is_an_option_like_any_loss(forgotten):
    checked = read("suite=imdb-sentiment losses=dpo,dpo+0.2*sft dpo+0.2*sft.beta=0.1,0.5 betas=2")
    assert checked.options.losses == ("dpo", "dpo_plus_sft_x0p2")
    assert checked.options.loss_settings == {"dpo_plus_sft_x0p2": {"beta": (0.1, 0.5)}}
    by_its_name = read("suite=imdb-sentiment losses=dpo+0.2*sft dpo_plus_sft_x0p2.lrs=grid")
    assert by_its_name.options.loss_settings == {"dpo_plus_sft_x0p2": {"lrs": "grid"}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("losses=dop+0.2*sft", "did you mean 'dpo'"),
        ("losses=dpo+x*sft", "the weight 'x' of 'sft'"),
        ("losses=dpo+kto", "different kinds"),
        ("losses=dpo+sft,dpo+1*sft", "'dpo_plus_sft' is given more than once"),
        ("losses=dpo+sft dpo+sft.gamma=1", "unknown setting 'gamma'"),
        ("losses=dpo dpo+sft.beta=1", "dpo_plus_sft is not among losses=dpo"),
        ("losses=dpo+ipo betas=1", "none of dpo_plus_ipo has a beta"),
    ],
)
def test_a_sum_that_cannot_be_used_is_an_error(forgotten, words, message):
    assert message in the_problem_of(f"suite=imdb-sentiment {words}")

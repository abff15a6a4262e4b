"""Command-line words: where a comma separates, where a dot leads, and what cannot be read."""

from hypothesis import given
from hypothesis import strategies as st

from harness.options.words import AXIS, LIST, SCALAR, split

KINDS = {"model": SCALAR, "train_pairs": SCALAR, "plugins": LIST, "losses": AXIS}


def test_commas_split_lists_and_axes_only():
    words = split(["losses=dpo,ipo", "plugins=a.py", "model=tiny"], KINDS)
    assert words.values == {"losses": ("dpo", "ipo"), "plugins": ("a.py",), "model": "tiny"}
    assert words.errors == []


def test_a_comma_in_a_scalar_is_an_error_and_the_value_is_left_out():
    words = split(["model=a,b"], KINDS)
    assert words.errors == ["model takes one value, seen 'a,b'; leave out the comma"]
    assert words.values == {}
    assert words.unread == ["model"]


def test_dotted_keys_lead_to_the_suite_or_to_a_loss():
    words = split(["suite.path=a,b/c=d", "dpo.beta=0.1,0.2", "dpo.lrs=grid", "ipo.beta=3"], KINDS)
    assert words.suite_settings == {"path": "a,b/c=d"}
    assert words.loss_settings == {"dpo": {"beta": ("0.1", "0.2"), "lrs": ("grid",)}, "ipo": {"beta": ("3",)}}
    assert words.errors == []


def test_settings_of_judges_are_kept_apart_with_everything_after_the_equals_sign():
    words = split(["judge.base_url=http://127.0.0.1:8000/v1?a=b,c", "judge.retries=2"], KINDS)
    assert words.judge_settings == {"base_url": "http://127.0.0.1:8000/v1?a=b,c", "retries": "2"}
    assert words.errors == [] and words.loss_settings == {}


def test_words_without_an_equals_sign_are_kept_in_order():
    assert split(["losses", "dpo"], KINDS).bare == ["losses", "dpo"]


def test_a_repeated_key_is_an_error_also_when_dotted():
    words = split(["model=a", "model=b", "dpo.beta=1", "dpo.beta=1"], KINDS)
    assert [error.split(" ")[0] for error in words.errors] == ["model=", "dpo.beta="]
    assert words.values == {"model": "a"}


def test_empty_values_are_errors():
    words = split(["model=", "losses=dpo,,ipo", "plugins=a,", "dpo.beta=,"], KINDS)
    assert words.unread == ["model", "losses", "plugins", "dpo.beta"]
    assert words.values == {}
    assert words.loss_settings == {}
    assert "'dpo,,ipo'" in words.errors[1]


def test_half_a_dotted_key_is_an_error():
    assert split([".beta=1", "dpo.=1"], KINDS).unread == [".beta", "dpo."]


def test_all_unknown_keys_share_one_sentence_with_a_guess_each():
    words = split(["modle=x", "--train-pairs=3", "qqq=1"], KINDS)
    assert words.errors == [
        "unknown keys 'modle' (did you mean 'model'?), '--train-pairs' (did you mean 'train_pairs'?), 'qqq'. "
        "Known: model, train_pairs, plugins, losses, suite.KEY, judge.KEY, LOSS.KEY; see `list options`"
    ]


def test_a_verb_without_dotted_settings_knows_only_its_keys():
    words = split(["judge.x=1", "dpo.beta=2", "model=tiny"], KINDS, dotted=False)
    assert words.values == {"model": "tiny"} and not words.judge_settings and not words.loss_settings
    assert words.errors == ["unknown keys 'judge.x', 'dpo.beta'. Known: model, train_pairs, plugins, losses"]


def test_a_misspelled_setting_of_an_engine_is_an_unknown_key_and_no_loss():
    words = split(["slurm.hour=3", "suite.x=1"], {"slurm.hours": SCALAR, "suite.label_noise": AXIS})
    assert words.errors[0].startswith("unknown key 'slurm.hour' (did you mean 'slurm.hours'?)")
    assert words.suite_settings == {"x": "1"}


def test_spaces_around_the_equals_sign_are_said_to_be_the_fault():
    assert split(["model", "=", "tiny"], KINDS).errors == [
        "'=' has no key before its equals sign; write KEY=VALUE, without spaces around it"
    ]


@given(st.lists(st.text(alphabet="ab.,=- ", max_size=12), max_size=6))
def test_every_word_ends_as_a_value_a_bare_word_or_an_error(argv):
    words = split(argv, {"a": SCALAR, "b": AXIS})
    settings = sum(len(values) for values in words.loss_settings.values())
    read = len(words.values) + len(words.suite_settings) + settings + len(words.bare)
    unknown = [word for word in argv if "=" in word and word.partition("=")[0] in _unknown_keys(argv)]
    assert read + len(words.unread) + len(unknown) == len(argv)
    assert len(words.errors) == len(words.unread) + bool(unknown)


def _unknown_keys(argv):
    keys = {word.partition("=")[0] for word in argv}
    return {key for key in keys if key and "." not in key and key not in ("a", "b")}


def test_a_point_in_the_weight_of_a_sum_is_no_end_of_the_losss_name():
    words = split(["dpo+0.2*sft.beta=0.1,0.5", "dpo+sft.lrs=1e-4"], {})
    assert words.loss_settings == {"dpo+0.2*sft": {"beta": ("0.1", "0.5")}, "dpo+sft": {"lrs": ("1e-4",)}}


def test_a_home_of_no_user_and_a_name_that_no_file_can_have_are_told_with_the_key():
    words = split(["model=~nosuchuser/x", "plugins=a.py," + "b" * 256, "~nosuchuser"], KINDS)
    assert [error.partition(":")[0] for error in words.errors] == ["model", "plugins", "~nosuchuser"]
    assert "no such user: ~nosuchuser; write ~/" in words.errors[0]
    assert "a name of 256 bytes" in words.errors[1] and "255 at most" in words.errors[1]
    assert not split(["model=~/x", "losses=" + ",".join(f"loss{i}" for i in range(99))], KINDS).errors

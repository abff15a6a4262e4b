"""Suites, files and mixtures are looked up with their settings before any data is read."""

import pytest

from harness.options.suites import suite_errors


def the_error(name, **settings):
    (message,) = suite_errors(name, {key.replace("__", "."): value for key, value in settings.items()})
    return message


def test_what_exists_is_no_error(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.touch()
    assert suite_errors(None, {}) == suite_errors("imdb-sentiment", {}) == suite_errors(str(file), {}) == []
    mixture = f"hh-rlhf*0.7+{file}*0.3"
    assert suite_errors(mixture, {"hh-rlhf.subset": "x", "1.path": str(tmp_path)}) == []


def test_a_slip_in_a_setting_is_guessed():
    message = the_error("imdb-sentiment", label_nois="0.1")
    assert message.startswith("suite.label_nois: ") and "did you mean 'label_noise'?" in message
    assert "did you mean 'label_noise'?" in the_error("hh-rlhf+imdb-sentiment", label_nois="0.1")


def test_every_part_of_a_mixture_is_looked_up():
    messages = suite_errors("hh-rlh*0.5+missing.jsonl*0.3+hh-rlhf*0.2", {"3.pth": "x"})
    assert len(messages) == 3
    assert "did you mean 'hh-rlhf'?" in messages[0] and "no such file: missing.jsonl" in messages[1]
    assert messages[2].startswith("suite.hh-rlhf.pth: ") and "did you mean 'path'?" in messages[2]


@pytest.mark.parametrize(
    ("name", "settings", "part"),
    [
        ("hh-rlhf*0+imdb-sentiment", {}, "each weight above 0"),
        ("hh-rlhf+imdb-sentiment", {"subset": "x"}, "unknown setting of a mixture 'subset'"),
        ("hh-rlhf+imdb-sentiment", {"tldr__path": "x"}, "parts: 1 or hh-rlhf, 2 or imdb-sentiment"),
        ("hh-rlhf+imdb-sentiment", {"hh-rlhf__path": "nowhere"}, "suite.hh-rlhf.path: no such file or folder: nowhere"),
    ],
)
def test_what_is_wrong_with_a_mixture_is_one_sentence(name, settings, part):
    assert part in the_error(name, **settings)

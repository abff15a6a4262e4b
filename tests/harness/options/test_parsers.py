"""Parsers of option values: what each accepts, and the sentence for what it refuses."""

import pytest

from harness.options.parsers import (
    Auto,
    Choice,
    Device,
    Flag,
    Number,
    OrNone,
    Several,
    SeveralOrNone,
    Text,
    WholeNumber,
    nearest,
    unknown,
)


@pytest.mark.parametrize(("text", "value"), [("512", 512), (7, 7), ("1e3", 1000), ("+5", 5), (4.0, 4)])
def test_whole_numbers_are_read_from_text_and_from_numbers(text, value):
    number = WholeNumber(1)(text)
    assert number == value
    assert isinstance(number, int)


@pytest.mark.parametrize("text", ["0", "1.5", "abc", "", "nan", "1e400", True, None, "0x10"])
def test_what_is_no_whole_number_in_range_is_refused_with_what_was_seen(text):
    with pytest.raises(ValueError, match="whole number >= 1") as caught:
        WholeNumber(1)(text)
    assert repr(text) in str(caught.value)


def test_a_whole_number_above_the_maximum_is_refused():
    assert WholeNumber(0, 9)("9") == 9
    with pytest.raises(ValueError, match="whole number 0 to 9"):
        WholeNumber(0, 9)("10")


@pytest.mark.parametrize(("text", "value"), [("1e-6", 0.000001), ("512", 512.0), (3, 3.0), (" 2", 2.0)])
def test_numbers_are_floats_also_in_scientific_notation(text, value):
    number = Number()(text)
    assert number == value
    assert isinstance(number, float)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "x", True, None, "1e999"])
def test_what_is_no_finite_number_is_refused(text):
    with pytest.raises(ValueError, match="finite number"):
        Number()(text)


def test_open_limits_exclude_their_end_and_closed_ones_include_it():
    assert Number(minimum=0, below=1)("0") == 0.0
    share, positive, at_least_zero = Number(minimum=0, below=1), Number(above=0), Number(minimum=0)
    for parser, text in [(share, "1"), (positive, "0"), (at_least_zero, "-1e-9")]:
        with pytest.raises(ValueError, match=f"{text!r} is not a number"):
            parser(text)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("YES", True), ("no", False), ("False", False)])
def test_flags_are_words_in_any_case(text, value):
    assert Flag()(text) is value


@pytest.mark.parametrize("text", ["1", "0", "on", "", None])
def test_other_words_are_no_flags(text):
    with pytest.raises(ValueError, match="neither true nor false"):
        Flag()(text)


def test_a_wrong_choice_names_the_nearest_and_all():
    with pytest.raises(ValueError, match="unknown value 'lore'; did you mean 'lora'\\? Allowed: full, lora"):
        Choice(("full", "lora"))("lore")


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda", "cuda:0", "cuda:13", "mps"])
def test_devices_of_torch_are_accepted(text):
    assert Device()(text) == text


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:\u00b2", "CPU"])
def test_other_devices_are_refused(text):
    with pytest.raises(ValueError, match="unknown device"):
        Device()(text)


@pytest.mark.parametrize("text", ["", "  ", "a\x1b[2Jb", "a\0b", 5, None])
def test_text_is_printable_and_not_empty(text):
    with pytest.raises(ValueError, match="printable"):
        Text()(text)


def test_auto_is_none_and_anything_else_is_parsed():
    parser = Auto(WholeNumber(1))
    assert parser("auto") is None
    assert parser(None) is None
    assert parser("3") == 3


def test_none_is_a_word_and_anything_else_is_parsed():
    parser = OrNone(Number(minimum=0, maximum=1))
    assert (parser("none"), parser(None), parser("1"), parser(0)) == (None, None, 1.0, 0.0)
    assert parser.allowed == "none | number >= 0 and <= 1"
    with pytest.raises(ValueError, match="'1.5' is not a number >= 0 and <= 1, nor none"):
        parser("1.5")


def test_several_values_keep_their_order_and_are_distinct_after_parsing():
    parser = Several(Number(), grid=True)
    assert parser(("0.5", "0.1")) == (0.5, 0.1)
    assert parser([2]) == (2.0,)
    with pytest.raises(ValueError, match="0.1 is given more than once"):
        parser(("0.1", "1e-1"))


def test_grid_stands_alone_and_only_where_it_means_something():
    parser = Several(Number(), grid=True)
    assert parser("grid") == parser(("grid",)) == "grid"
    with pytest.raises(ValueError, match="'grid' stands alone"):
        parser(("grid", "0.1"))
    with pytest.raises(ValueError, match="'grid' is not a"):
        Several(WholeNumber(0))(("grid",))


def test_the_nearest_name_ignores_case_and_prefers_what_the_word_begins():
    assert nearest("DPO", ["ipo", "dpo"]) == "dpo"
    assert nearest("loss", ["lrs", "losses"]) == "losses"
    assert nearest("xyzzy", ["lrs", "losses"]) is None


def test_the_sentence_for_an_unknown_name_has_a_guess_only_where_one_is_close():
    sentence = unknown("loss", "dop", ["dpo", "kto"])
    assert sentence == "unknown loss 'dop'; did you mean 'dpo'? Known: dpo, kto."
    assert unknown("loss", "zzz", ["dpo", "kto"]) == "unknown loss 'zzz'. Known: dpo, kto."


def test_none_stands_alone_and_is_no_value_at_all():
    parser = SeveralOrNone(Several(Text()))
    assert parser("none") == parser(("none",)) == parser(()) == ()
    assert parser(("length", "random")) == ("length", "random")
    with pytest.raises(ValueError, match="'none' stands alone"):
        parser(("none", "length"))

"""Pair -> token ids: one path for every loss."""

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from harness.data.tokens import make_encoder
from harness.errors import UsageError
from suites import Example, Message, Pair

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LETTERS = [chr(i) for i in range(32, 127)] + ["\n"]


def letters(bos: bool, chat: bool) -> PreTrainedTokenizerFast:
    """A tokenizer of single characters, with or without a BOS of its own and a chat template."""
    special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {token: i for i, token in enumerate(special + LETTERS)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="</s>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.add_special_tokens(special)
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
        )
    made = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")
    if chat:
        made.chat_template = CHATML
    return made


def a_pair(prompt="hi", chosen="yes", rejected="no") -> Pair:
    return Pair("1", (Message("user", prompt),), chosen, rejected, "c", "train")


def encode(tokenizer, *pairs, template="auto", max_tokens=200, overlong="drop"):
    return make_encoder(tokenizer, template=template, max_tokens=max_tokens, overlong=overlong).encode(pairs)


def text(tokenizer, ids) -> str:
    return "".join(tokenizer.convert_ids_to_tokens(list(ids)))


def test_a_chat_template_is_used_where_there_is_one_and_the_turn_ends_with_its_own_token():
    tokenizer = letters(bos=False, chat=True)
    (row,) = encode(tokenizer, a_pair()).rows
    assert text(tokenizer, row.prompt) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert [text(tokenizer, a) for a in row.completions] == ["yes<|im_end|>", "no<|im_end|>"]


@pytest.mark.parametrize("bos", [True, False])
def test_plain_text_has_one_bos_exactly_where_the_tokenizer_adds_one(bos):
    tokenizer = letters(bos=bos, chat=False)
    (row,) = encode(tokenizer, a_pair()).rows
    expected = ("<s>" if bos else "") + "\n\nHuman: hi\n\nAssistant:"
    assert text(tokenizer, row.prompt) == expected
    assert [text(tokenizer, a) for a in row.completions] == [" yes</s>", " no</s>"]


def test_a_chat_template_that_writes_its_bos_gets_no_second_one():
    tokenizer = letters(bos=True, chat=True)
    tokenizer.chat_template = "{{ bos_token }}" + CHATML
    (row,) = encode(tokenizer, a_pair()).rows
    assert text(tokenizer, row.prompt).count("<s>") == 1


def test_all_turns_and_system_messages_reach_the_plain_prompt():
    tokenizer = letters(bos=False, chat=False)
    turns = (Message("system", "Be kind."), Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    (row,) = encode(tokenizer, Pair("1", turns, "yes", "no", "c", "train")).rows
    assert text(tokenizer, row.prompt) == "Be kind.\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"


def test_a_system_turn_in_mid_dialogue_is_a_paragraph_of_its_own():
    tokenizer = letters(bos=False, chat=False)
    turns = (Message("user", "a"), Message("system", "Be brief."), Message("user", "c"))
    (row,) = encode(tokenizer, Pair("1", turns, "yes", "no", "c", "train")).rows
    assert text(tokenizer, row.prompt) == "\n\nHuman: a\n\nBe brief.\n\nHuman: c\n\nAssistant:"


@pytest.mark.parametrize(("chat", "end", "before"), [(True, "<|im_end|>", ""), (False, "</s>", " ")])
def test_a_completion_that_brings_its_end_of_turn_along_has_one_all_the_same(chat, end, before):
    tokenizer = letters(bos=False, chat=chat)
    (row,) = encode(tokenizer, a_pair(chosen=f"yes{end}\n", rejected=f"a{end}b")).rows
    assert [text(tokenizer, a) for a in row.completions] == [f"{before}yes{end}", f"{before}a{end}b{end}"]


def test_a_prompt_that_the_chat_template_refuses_is_an_error_in_words():
    tokenizer = letters(bos=False, chat=True)
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
    )
    turns = (Message("system", "Be kind."), Message("user", "a"))
    with pytest.raises(UsageError, match=r"turns system, user \(System role not supported\); use template=plain"):
        encode(tokenizer, Pair("1", turns, "yes", "no", "c", "train"))


def test_an_overlong_row_is_dropped_and_counted_by_its_longer_completion():
    tokenizer = letters(bos=False, chat=False)
    prompt = len("\n\nHuman: hi\n\nAssistant:")
    fits = encode(tokenizer, a_pair(), max_tokens=prompt + len(" yes") + 1)
    short = encode(tokenizer, a_pair(), max_tokens=prompt + len(" yes"))
    assert (len(fits.rows), fits.dropped) == (1, {})
    assert (len(short.rows), short.dropped) == (0, {"overlong": 1})


def test_truncation_cuts_the_prompt_from_the_left_and_keeps_bos_and_completions():
    tokenizer = letters(bos=True, chat=False)
    found = encode(tokenizer, a_pair(prompt="x" * 50), max_tokens=30, overlong="truncate")
    (row,) = found.rows
    assert found.truncated == 1
    assert text(tokenizer, row.prompt).startswith("<s>") and text(tokenizer, row.prompt).endswith("Assistant:")
    assert [text(tokenizer, a) for a in row.completions] == [" yes</s>", " no</s>"]
    assert row.length == 30


def test_a_cut_completion_carries_no_end_of_turn():
    tokenizer = letters(bos=True, chat=False)
    (row,) = encode(tokenizer, a_pair(chosen="y" * 90), max_tokens=40, overlong="truncate").rows
    chosen, rejected = (text(tokenizer, a) for a in row.completions)
    assert chosen == " " + "y" * 29 and rejected == " no</s>"
    assert len(row.prompt) == 10 and row.length == 40


def test_a_pair_whose_completions_a_cut_makes_the_same_is_dropped_and_counted():
    tokenizer = letters(bos=False, chat=False)
    same, other = a_pair(chosen="y" * 90 + "a", rejected="y" * 90 + "b"), a_pair(chosen="y" * 90, rejected="x" * 90)
    found = encode(tokenizer, same, other, max_tokens=40, overlong="truncate")
    assert (len(found.rows), found.truncated, found.dropped) == (1, 1, {"identical_when_cut": 1})


def test_an_unpaired_example_is_a_row_with_one_completion():
    tokenizer = letters(bos=False, chat=False)
    example = Example("1", (Message("user", "hi"),), "ok", True, "c", "train")
    (row,) = make_encoder(tokenizer, template="auto", max_tokens=99, overlong="drop").encode([example]).rows
    assert [text(tokenizer, a) for a in row.completions] == [" ok</s>"]
    assert row.desirable is True


def test_asking_for_a_chat_template_that_is_not_there_is_an_error():
    with pytest.raises(UsageError, match="no chat template; use template=plain"):
        encode(letters(bos=False, chat=False), a_pair(), template="chat")


def test_a_tokenizer_without_an_end_token_is_refused():
    tokenizer = letters(bos=False, chat=False)
    tokenizer.eos_token = None
    with pytest.raises(UsageError, match="no end-of-sequence token"):
        encode(tokenizer, a_pair())


def words_with_space(template: str | None) -> PreTrainedTokenizerFast:
    """The tokenizer of single characters, with a space of its own before any text, as sentencepiece writes it."""
    made = letters(bos=False, chat=False)
    made.backend_tokenizer.normalizer = normalizers.Prepend(" ")
    made.chat_template = template
    return made


LINES = (
    "{% for m in messages %}[{{ m.role }}]\n{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
BRACKETS = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}"
    " {{ m.content }} </s>{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(("template", "completion"), [(None, " yes</s>"), (LINES, "yes</s>"), (BRACKETS, " yes</s>")])
def test_a_tokenizers_own_space_is_not_added_to_that_between_prompt_and_completion(template, completion):
    tokenizer = words_with_space(template)
    (row,) = encode(tokenizer, a_pair(chosen=" yes ")).rows
    assert text(tokenizer, row.completions[0]) == completion
    whole = text(tokenizer, (*row.prompt, *row.completions[0]))
    assert (
        whole
        == " "
        + {
            None: "\n\nHuman: hi\n\nAssistant: yes</s>",
            LINES: "[user]\nhi</s> [assistant]\nyes</s>",
            BRACKETS: "[INST] hi [/INST] yes</s>",
        }[template]
    )

"""One pair -> token ids, the same for every loss, for training and for evaluation.

The prompt is rendered once and its ids stay as they are whatever follows, so chosen and rejected share them
exactly. Scored are a completion's ids and one end-of-turn token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

from harness.errors import UsageError
from harness.model.layout import Item
from harness.model.sources import Source, empty_model
from harness.options.models import ENTRIES
from suites import Example, Message, Pair
from suites.rows import CHUNK, Rows

SAME_WHEN_CUT = "identical_when_cut"


@dataclass(frozen=True)
class Row:
    """The token ids of one pair (completions: chosen, rejected) or of one unpaired example (one completion).

    source: the part of a mixture that the row comes from, or what its suite says.
    """

    id: str
    cluster: str
    split: str
    prompt: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]
    desirable: bool | None = None
    scores: tuple[float, float] | None = None
    source: str = ""

    @property
    def length(self) -> int:
        """Tokens of the prompt with the longest completion."""
        return len(self.prompt) + max(map(len, self.completions))


@dataclass(frozen=True)
class Encoded:
    """What became of a suite's rows: those kept, those dropped by rule, those cut.

    long_sides: of the rows beyond the limit, dropped or cut, how many were so by what: `prompt` (it leaves no room
    for any completion), `both` completions, `chosen` or `rejected` alone, `completion` of an unpaired example.
    """

    rows: Rows[Row]
    dropped: Mapping[str, int]
    truncated: int
    long_sides: Mapping[str, int]


@dataclass
class _Tally:
    """Counts kept while rows stream by."""

    dropped: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    long_sides: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Encoder:
    """Renders and tokenises rows under one template and one length limit."""

    tokenizer: Any
    template: str  # chat | plain, resolved
    max_tokens: int
    overlong: str  # drop | truncate
    end_of_turn: int

    def encode(self, rows: Sequence[Pair | Example], advance: Callable[[int], None] = lambda n: None) -> Encoded:
        """Token ids of all rows; overlong ones are dropped (and counted) or cut, and pairs whose completions a cut
        makes the same are dropped under a rule of their own.

        CHUNK rows are at work at a time; what is kept are columns of ids.
        """
        tally = _Tally()
        kept = Rows.of(self._kept(rows, tally, advance), Row)
        return Encoded(kept, dict(tally.dropped), tally.truncated, dict(tally.long_sides))

    def _kept(self, rows: Iterable[Pair | Example], tally: _Tally, advance: Callable[[int], None]) -> Iterator[Row]:
        stream = iter(rows)
        while chunk := list(islice(stream, CHUNK)):  # fast tokenizers work on a list in parallel
            for row in self._tokenise(chunk):
                if row.length <= self.max_tokens:
                    yield row
                    continue
                tally.long_sides[self._long_side(row)] += 1
                cut = None if self.overlong == "drop" else self._cut(row)
                if cut is None:
                    tally.dropped["overlong"] += 1
                elif len(set(cut.completions)) < len(cut.completions):  # they differed behind the cut
                    tally.dropped[SAME_WHEN_CUT] += 1
                else:
                    tally.truncated += 1
                    yield cut
            advance(len(chunk))

    def prompt_text(self, prompt: Sequence[Message]) -> str:
        """The prompt as the model reads it, up to where the completion begins.

        Raises: UsageError where the chat template refuses it (a system's turn, two turns of one speaker).
        """
        if self.template == "plain":
            return plain_text(prompt)
        messages = [{"role": m.role, "content": m.content} for m in prompt]
        try:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program of its own, and raises what it likes
            turns = ", ".join(m.role for m in prompt)
            raise UsageError(
                [
                    f"template=chat: this model's chat template refuses a prompt with the turns {turns} ({error}); "
                    "use template=plain, or leave out such rows"
                ]
            ) from error

    def prompt_ids(self, prompt: Sequence[Message]) -> tuple[int, ...]:
        """The token ids of a prompt alone, as every row with this prompt holds them."""
        return self._with_bos(self._ids([self.prompt_text(prompt)])[0])

    def _tokenise(self, rows: Sequence[Pair | Example]) -> Iterable[Row]:
        prompts = [self.prompt_text(row.prompt) for row in rows]
        ids = self._ids(prompts)
        texts = [(row.chosen, row.rejected) if isinstance(row, Pair) else (row.completion,) for row in rows]
        places = [place for place, pair in enumerate(texts) for _ in pair]
        flat = self._completion_ids(
            [prompts[place] for place in places],
            [ids[place] for place in places],
            [text.strip() for pair in texts for text in pair],
        )
        for row, prompt, pair in zip(rows, ids, texts, strict=True):
            completions = tuple(self._ended(next(flat)) for _ in pair)
            yield _row(row, self._with_bos(prompt), completions)

    def _completion_ids(
        self, prompts: list[str], prompt_ids: list[list[int]], completions: list[str]
    ) -> Iterator[list[int]]:
        """The ids of each completion [N] after its prompt.

        A tokenizer that writes a space of its own before any text (sentencepiece, as in Llama 2 and Mistral) would put
        one between prompt and completion: there the completion is what follows the prompt's ids in both texts together.
        """
        if not self._adds_space:
            before = " " if self.template == "plain" else ""
            yield from self._ids([before + completion for completion in completions])
            return
        both = self._ids(
            [prompt + self._gap + completion for prompt, completion in zip(prompts, completions, strict=True)]
        )
        for prompt, whole, alone in zip(prompt_ids, both, self._ids(completions), strict=True):
            yield whole[len(prompt) :] if whole[: len(prompt)] == prompt else alone

    @cached_property
    def _adds_space(self) -> bool:
        first, line, after = self._ids(["a", "\n", "\na"])
        return first != after[len(line) :]

    @cached_property
    def _gap(self) -> str:
        """The white space that stands between a prompt and its completion."""
        if self.template == "plain":
            return " "
        turns, mark = _exchange()
        asked = self.prompt_text([Message(**turns[0])])
        whole = self.tokenizer.apply_chat_template(turns, tokenize=False)
        gap = whole.removeprefix(asked).partition(mark)[0]
        return gap if gap.isspace() else ""

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]

    def _ended(self, completion: list[int]) -> tuple[int, ...]:
        """The completion with exactly one end-of-turn token: some files write its text behind their completions."""
        length = len(completion)
        while length and completion[length - 1] == self.end_of_turn:
            length -= 1
        return (*completion[:length], self.end_of_turn)

    def _with_bos(self, prompt: list[int]) -> tuple[int, ...]:
        """The prompt with exactly one BOS where the tokenizer is of the kind that adds one.

        A chat template writes its own; without any token at all in front, the first token of the completion
        would have nothing to be predicted from, so an empty prompt becomes one BOS or end-of-turn token.
        """
        bos = self.tokenizer.bos_token_id
        if self.template == "plain" and self._adds_bos and prompt[:1] != [bos]:
            prompt = [bos, *prompt]
        return tuple(prompt) or (bos if bos is not None else self.end_of_turn,)

    @cached_property
    def _adds_bos(self) -> bool:
        bos = self.tokenizer.bos_token_id
        return bos is not None and self.tokenizer("a")["input_ids"][:1] == [bos]

    def _long_side(self, row: Row) -> str:
        """What makes a row too long: the prompt where no completion of any length would fit."""
        room = self.max_tokens - len(row.prompt)
        if room <= 1:
            return "prompt"
        if row.desirable is not None:
            return "completion"
        long = [
            side
            for side, completion in zip(("chosen", "rejected"), row.completions, strict=True)
            if len(completion) > room
        ]
        return long[0] if len(long) == 1 else "both"

    def _cut(self, row: Row) -> Row:
        """Cuts the prompt from the left (BOS kept), then the completions, which then carry no end of turn.

        A quarter of the room stays with the prompt: a completion of nothing teaches nothing. A cut completion
        gets no end-of-turn token: it would teach the model to stop in mid-sentence.
        """
        longest = max(map(len, row.completions))
        room = min(len(row.prompt), max(self.max_tokens - longest, self.max_tokens // 4, 1))
        prompt = row.prompt[len(row.prompt) - room :]
        if row.prompt[0] == self.tokenizer.bos_token_id:
            prompt = (row.prompt[0], *prompt[1:])
        completions = tuple(completion[: self.max_tokens - room] for completion in row.completions)
        return Row(row.id, row.cluster, row.split, prompt, completions, row.desirable, row.scores, row.source)


def plain_text(prompt: Sequence[Message]) -> str:
    """A dialogue without any model's template, in the transcript form of hh-rlhf (arXiv:2204.05862)."""
    names = {"user": "Human", "assistant": "Assistant"}
    turns = [f"{names[m.role]}: {m.content}" if m.role in names else m.content for m in prompt]
    text = "".join(f"\n\n{turn}" for turn in [*turns, "Assistant:"])
    return text.removeprefix("\n\n") if prompt and prompt[0].role not in names else text


def _row(row: Pair | Example, prompt: tuple[int, ...], completions: tuple[tuple[int, ...], ...]) -> Row:
    desirable = row.desirable if isinstance(row, Example) else None
    scores = None
    if isinstance(row, Pair) and row.score_chosen is not None and row.score_rejected is not None:
        scores = (row.score_chosen, row.score_rejected)
    return Row(row.id, row.cluster, row.split, prompt, completions, desirable, scores, row.source)


def make_encoder(tokenizer: Any, *, template: str, max_tokens: int, overlong: str) -> Encoder:
    """An encoder with `template=auto` resolved: the tokenizer's chat template where it has one.

    Raises: UsageError for `template=chat` without a chat template, or a tokenizer without an end token.
    """
    has_chat = getattr(tokenizer, "chat_template", None) is not None
    if template == "chat" and not has_chat:
        raise UsageError(["template=chat: this model's tokenizer has no chat template; use template=plain"])
    resolved = ("chat" if has_chat else "plain") if template == "auto" else template
    end = _end_of_turn(tokenizer) if resolved == "chat" else tokenizer.eos_token_id
    if end is None:
        raise UsageError(["the tokenizer has no end-of-sequence token, so no completion can be ended"])
    return Encoder(tokenizer, resolved, max_tokens, overlong, end)


def _end_of_turn(tokenizer: Any) -> int | None:
    """The first special token that the chat template writes after an assistant's completion, else EOS."""
    turns, mark = _exchange()
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    tail = tokenizer(text.rpartition(mark)[2], add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids) | set(tokenizer.get_added_vocab().values())
    return next((token for token in tail if token in special), tokenizer.eos_token_id)


def _exchange() -> tuple[list[dict[str, str]], str]:
    """A question with its completion, and the completion's text, to see what a chat template writes around it."""
    mark = "THE-ANSWER"
    return [{"role": "user", "content": "hello"}, {"role": "assistant", "content": mark}], mark


def row_tokens(row: Row) -> int:
    """Tokens of a row with its prompt once, padding apart."""
    return len(row.prompt) + sum(map(len, row.completions))


def item_of(row: Row) -> Item:
    """The row's prompt and completions, as the layout takes them."""
    return Item(row.prompt, row.completions)


def check_ids(source: Source, rows: Iterable[Row], tokenizer: Any) -> None:
    """Raises: UsageError where the tokenizer writes a token for which the model has no embedding."""
    if source.name in ENTRIES:
        return
    known = empty_model(source.folder).get_input_embeddings().num_embeddings
    if max(tokenizer.get_vocab().values()) < known:  # so no row need be looked at
        return
    pad = tokenizer.pad_token_id or 0
    largest = max([pad, *(max(ids) for row in rows for ids in (row.prompt, *row.completions) if ids)])
    if largest >= known:
        raise UsageError(
            [
                f"model '{source.name}': its tokenizer writes token {largest}, and its embeddings end at "
                f"{known - 1}; give it the tokenizer that it was trained with, or call "
                "model.resize_token_embeddings(len(tokenizer)) and save it"
            ]
        )

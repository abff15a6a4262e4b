"""Command-line words: `key=value` text split into plain, suite, judge and per-loss settings.

Only the shape is read here: which key, which text, where commas separate values. What a value means is
the options' business (run_fields.py, parsers.py), and whether a name exists is that of lookup.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.options.parsers import nearest

SCALAR = "scalar"  # one value; a comma is an error
LIST = "list"  # several values that act together
AXIS = "axis"  # several values, each giving its own cells

_LONGEST_NAME = 255  # bytes of one name in a path, on any common file system


@dataclass
class Words:
    """What was typed, still as text, and every sentence about what could not be read.

    `unread` holds the keys whose values an error kept out.
    """

    values: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    suite_settings: dict[str, str] = field(default_factory=dict)
    judge_settings: dict[str, str] = field(default_factory=dict)
    loss_settings: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    bare: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def refuse(self, key: str, sentence: str) -> None:
        """Note that a key was given, but so that its value cannot be used."""
        self.unread.append(key)
        self.errors.append(sentence)


def split(argv: Sequence[str], kinds: Mapping[str, str], *, dotted: bool = True) -> Words:
    """Split command-line words; `kinds` maps each known key to SCALAR, LIST or AXIS.

    dotted: whether the verb takes settings of suites, judges and losses; else a key with a point is unknown.
    Words without `=` are kept, in order, in `bare`. Nothing is raised: all errors are collected.
    """
    words = Words()
    seen: set[str] = set()
    unknown_keys: list[str] = []
    for word in argv:
        key, equals, text = word.partition("=")
        if not equals:
            words.bare.append(word)
            words.errors.extend(_no_place(word, word))
        elif not key:
            words.refuse(key, f"{word!r} has no key before its equals sign; write KEY=VALUE, without spaces around it")
        elif key in seen:
            words.refuse(key, f"{key}= is given more than once; give it once (separate values by commas)")
        elif key not in kinds and not (dotted and _is_dotted(key, kinds)):
            unknown_keys.append(key)
        else:
            seen.add(key)
            _place(words, key, text, kinds)
    if unknown_keys:
        words.errors.append(_unknown_keys(unknown_keys, kinds, dotted))
    return words


def _is_dotted(key: str, kinds: Mapping[str, str]) -> bool:
    """Whether a key is a setting of a suite, the judges or a loss; those of an engine are all in `kinds`."""
    owner, dot, _ = key.partition(".")
    return bool(dot) and (owner == "suite" or not any(known.startswith(f"{owner}.") for known in kinds))


def _place(words: Words, key: str, text: str, kinds: Mapping[str, str]) -> None:
    """Put one key and its text where it belongs, or note why that cannot be done."""
    # A weight in a sum may hold a point (`dpo+0.2*sft.beta=1`), a setting's name never does.
    owner, dot, name = key.rpartition(".") if "*" in key else key.partition(".")
    if key in kinds:  # a key of ours with a point in it, such as suite.label_noise
        dot = ""
    if not text:
        words.refuse(key, f"{key}= has no value; write {key}=VALUE, without spaces around the equals sign")
    elif dot and (not owner or not name):
        words.refuse(
            key, f"{key!r} is not a key; settings are written suite.KEY=VALUE, judge.KEY=VALUE or LOSS.KEY=VALUE"
        )
    elif problems := _no_place(key, text):
        words.refuse(key, problems[0])
    elif dot and owner == "suite":
        words.suite_settings[name] = text
    elif dot and owner == "judge":
        words.judge_settings[name] = text
    elif dot:
        values = _by_comma(words, key, text)
        if values:
            words.loss_settings.setdefault(owner, {})[name] = values
    elif kinds[key] != SCALAR:
        values = _by_comma(words, key, text)
        if values:
            words.values[key] = values
    elif "," in text:
        words.refuse(key, f"{key} takes one value, seen {text!r}; leave out the comma")
    else:
        words.values[key] = text


def _no_place(key: str, text: str) -> list[str]:
    """What keeps a text from being a path, whatever it is meant as: the home of no user, or too long a name."""
    for item in text.split(","):
        if item.startswith("~") and os.path.expanduser(item) == item:
            user = item.partition("/")[0][1:]
            return [f"{key}: {item!r}: no such user: ~{user}; write ~/... for your own home"]
        longest = max(map(len, map(os.fsencode, re.split("[/+]", item))))
        if longest > _LONGEST_NAME and "://" not in item:
            return [f"{key}: a name of {longest} bytes, {item[:40] + '...'!r}; allowed: {_LONGEST_NAME} at most"]
    return []


def _by_comma(words: Words, key: str, text: str) -> tuple[str, ...]:
    """The values between commas; an empty one is an error and gives no values at all."""
    values = tuple(text.split(","))
    if "" in values:
        words.refuse(key, f"{key}: an empty value between commas in {text!r}; write {key}=A,B without spaces")
        return ()
    return values


def _unknown_keys(keys: Sequence[str], kinds: Mapping[str, str], dotted: bool) -> str:
    """One sentence for all keys that do not exist: the nearest of each, and once what is allowed."""
    guesses = []
    for key in keys:
        guess = nearest(key.lstrip("-").replace("-", "_"), kinds)
        guesses.append(f"{key!r} (did you mean {guess!r}?)" if guess else repr(key))
    what = "unknown key" if len(keys) == 1 else "unknown keys"
    more = ", suite.KEY, judge.KEY, LOSS.KEY; see `list options`" if dotted else ""
    return f"{what} {', '.join(guesses)}. Known: {', '.join(kinds)}{more}"

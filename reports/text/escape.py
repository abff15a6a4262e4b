"""Makes text from outside (loss names, reasons, model names) safe for each medium that shows it.

HTML is not here: the templates escape everything by themselves. Numbers are not here: they belong to
`numbers.py`.
"""

import re
import unicodedata

_FORMULA_START = ("=", "+", "-", "@", "\t", "\r")
_MARKDOWN_SPECIAL = re.compile(r"([\\`*\[\]#|!~])")
_LOOSE_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def visible(text: str) -> str:
    """The text with control, direction and unassigned characters written out, on one line.

    An escape sequence can recolour or erase a terminal, and a direction mark can reorder what a reader sees;
    both become plain text such as \\x1b.
    """
    return "".join(_visible_character(character) for character in text)


def _visible_character(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character


def markdown(text: str) -> str:
    """The text as inline Markdown that shows exactly these characters, also inside a table cell."""
    safe = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LOOSE_UNDERSCORE.sub(r"\\_", _MARKDOWN_SPECIAL.sub(r"\\\1", safe))


def markdown_code(text: str) -> str:
    """The text as a fenced block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{visible(text)}\n{fence}"


_LATEX = {
    "\\": "\\textbackslash{}",
    "{": "\\{",
    "}": "\\}",
    "$": "\\$",
    "&": "\\&",
    "#": "\\#",
    "_": "\\_",
    "%": "\\%",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "±": "$\\pm$",
    "↑": "$\\uparrow$",
    "↓": "$\\downarrow$",
    "→": "$\\to$",
    "·": "$\\cdot$",
    "–": "--",
    "-": "{-}",
    "[": "{[}",
    "*": "{*}",
}


def latex(text: str) -> str:
    """The text as LaTeX that shows exactly these characters with no package; others than ASCII are written out."""
    shown = "".join(_LATEX.get(character) or _latex_character(character) for character in visible(text))
    return re.sub(r"^\{-\}(?=[0-9.])", "$-$", shown)


def _latex_character(character: str) -> str:
    return character if character.isascii() else f"{{[}}U+{hex(ord(character))[2:].upper()}]"


def csv_cell(text: str) -> str:
    """The visible text, marked with a leading apostrophe where a spreadsheet would run it as a formula."""
    return f"'{visible(text)}" if text.startswith(_FORMULA_START) else visible(text)

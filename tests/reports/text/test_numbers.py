"""Numbers become text in one place, and text from outside is harmless in every medium."""

import ast
import math
from pathlib import Path

import pandas
import pytest

import reports
from reports.text import numbers

ROOT = Path(reports.__file__).parent
SOURCES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.6094, "share", "0.609"),
        (0.0121, "change", "+0.012"),
        (-0.0001, "change", "0.000"),
        (-2.345, "signed", "-2.35"),
        (1.234, "signed", "+1.23"),
        (0.1, "ratio", "0.1"),
        (2.0, "ratio", "2"),
        (1e-5, "lr", "1e-5"),
        (3.3e-6, "lr", "3.3e-6"),
        (1e-3, "lr", "1e-3"),
        (0.00030000000000000003, "lr", "3e-4"),
        (0.0, "lr", "0"),
        (1024, "count", "1,024"),
        (9.96, "seconds", "10.0"),
        (241.4, "seconds", "241"),
        (3 * 2**29, "gibibytes", "1.50"),
        (math.inf, "nats", "inf"),
        (-math.inf, "share", "-inf"),
    ],
)
def test_each_style_shows_a_number_in_its_form(value: float, style: numbers.Style, text: str) -> None:
    assert numbers.number(value, style) == text


@pytest.mark.parametrize("value", [None, float("nan"), pandas.NA])
def test_a_missing_value_is_a_dash_in_every_style(value: object) -> None:
    assert {numbers.number(value, style) for style in ("text", "share", "lr", "count")} == {"–"}


def test_an_error_stands_beside_its_value_without_a_sign() -> None:
    assert numbers.with_error(0.012, 0.03, "change") == "+0.012 ± 0.030"
    assert numbers.with_error(0.5, float("nan"), "share") == "0.500"
    assert numbers.with_error(None, 0.1, "share") == "–"


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(1, "seed", "1 seed"), (2, "loss", "2 losses"), (1, "loss", "1 loss"), (1200, "cell", "1,200 cells")],
)
def test_a_noun_follows_its_count(count: int, noun: str, text: str) -> None:
    assert numbers.counted(count, noun) == text


def test_simpos_settings_show_gamma_beside_its_ratio(make) -> None:
    row = make.cell("simpo", hyperparameters={"beta": 2.0, "gamma_beta_ratio": 0.5})
    assert numbers.label(row, seed=True) == "simpo beta 2, gamma_beta_ratio 0.5, gamma 1, lr 1e-5, seed 0"


def test_hyperparameters_that_are_no_object_name_the_cell_and_the_text(make) -> None:
    with pytest.raises(ValueError, match="Cell abc: the column hyperparameters holds '3'"):
        numbers.hyperparameters(make.cell("dpo", cell="abc") | {"hyperparameters": "3"})


@pytest.mark.parametrize("source", [name for name in SOURCES if name != "text/numbers.py"])
def test_only_numbers_formats_numbers(source: str) -> None:
    for node in ast.walk(ast.parse((ROOT / source).read_text())):
        formats = isinstance(node, ast.FormattedValue) and node.format_spec is not None
        calls = isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "format"
        percent = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant)
        assert not (formats or calls or percent), f"{source}:{node.lineno} formats a value"


def test_csv_marks_text_but_keeps_negative_numbers_and_full_precision(make) -> None:
    frame = make.frame(make.cell("=cmd()", chosen_logp_drift=-1 / 3, lr=None))
    stored = frame.assign(**{"=head": "-2"})
    heads, values = _columns(stored, "loss", "chosen_logp_drift", "lr", "=head")
    cells = dict(zip(heads.split(","), values.split(","), strict=True))
    assert cells == {
        "loss": "'=cmd()",
        "chosen_logp_drift": "-0.3333333333333333",
        "lr": "",
        "'=head": "'-2",
    }


def _columns(frame: pandas.DataFrame, *names: str) -> list[str]:
    return numbers.csv_text(frame[list(names)]).splitlines()

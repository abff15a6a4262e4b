"""The tables of the terminal."""

import re

import pandas
import pytest

import reports


def test_the_terminal_table_shows_cells_claim_and_notes(runs: pandas.DataFrame) -> None:
    text = reports.terminal(runs, width=120)
    rows = [line.split() for line in text.splitlines()]
    assert ["dpo", "0.1", "1e-5", "0.620", "±", "0.031"] in [row[:6] for row in rows]
    assert "1 seed: no claim about the losses" in text
    assert "Preferring the longer answer, without reading it, scores 0.560" in text


@pytest.mark.parametrize("width", [60, 80, 100, 110, 120, 160])
def test_the_terminal_table_fits_its_width(runs: pandas.DataFrame, width: int) -> None:
    assert max(len(line) for line in reports.terminal(runs, width=width).splitlines()) <= width


def test_what_does_not_fit_is_named(runs: pandas.DataFrame) -> None:
    assert "train_seconds" in reports.terminal(runs, width=80).partition("Not shown at this width:")[2]
    assert "Not shown" not in reports.terminal(runs, width=160)


def test_a_rule_sets_the_controls_apart(runs: pandas.DataFrame) -> None:
    lines = reports.terminal(runs, width=120).splitlines()
    firsts = [line.split()[0] if line else "" for line in lines]
    place = firsts.index("sft")
    assert set(firsts[place + 1]) == {"-"}
    assert firsts[place + 2] == "dpo"


def test_a_failed_cell_is_listed_below_with_its_reason(make) -> None:
    failed = make.cell("kto", status="failed", reason="loss is not finite at step 3")
    text = reports.terminal(make.frame(make.cell("dpo"), failed), width=120)
    assert "1 cell without a result:\n  kto beta 0.1, lr 1e-5: failed: loss is not finite at step 3" in text


def test_each_protocol_has_its_own_table(make) -> None:
    frame = make.frame(make.cell("dpo"), make.cell("dpo", cell="b", protocol="p2"))
    assert len(re.findall(r"^loss +beta", reports.terminal(frame, width=120), flags=re.MULTILINE)) == 2


def test_an_escape_sequence_in_a_name_does_not_reach_the_terminal(make) -> None:
    frame = make.frame(
        make.cell("\x1b[31mred", reason="x"), make.cell("kto", status="failed", reason="\x1b[2Jgone")
    )
    text = reports.terminal(frame, width=120)
    assert "\x1b" not in text
    assert "\\x1b[31mred" in text


def test_only_failed_cells_still_give_a_text(make) -> None:
    text = reports.terminal(
        make.frame(make.cell("dpo", status="failed", reason="out of memory")), width=120
    )
    assert "out of memory" in text
    assert "loss  beta" not in text


def test_no_cells_is_said(runs: pandas.DataFrame) -> None:
    assert reports.terminal(runs.iloc[:0]) == "No cells."

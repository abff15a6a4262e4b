"""`plan show=N` prints what the model is given, and nothing that could steer a terminal."""

from __future__ import annotations

import pytest

from harness.data.show import shown
from harness.data.tokens import Row, make_encoder
from harness.errors import UsageError
from harness.options.lookup import read_options
from harness.progress import silent
from harness.sweeps.run import run
from harness.verbs.plan import plan
from suites import Example, Message
from tests.harness.conftest import pair_rows, write_jsonl


def test_a_row_is_shown_as_ids_and_text_with_what_is_scored(rows, tokenizer):
    lines = list(shown(rows[:1], tokenizer))
    row = rows[0]
    assert lines[0] == f"row {row.id} (train):"
    assert lines[1] == f"  prompt, {len(row.prompt)} tokens, not scored"
    assert lines[2] == "    ids:  " + " ".join(map(str, row.prompt))
    assert lines[3].startswith("    text: \\n\\nHuman: 0: ") and lines[3].endswith("\\n\\nAssistant:")
    assert lines[4] == f"  chosen, {len(row.completions[0])} tokens, all scored"
    assert "text:  good " in lines[6] and lines[6].endswith(tokenizer.eos_token)
    assert lines[7].startswith("  rejected, ") and len(lines) == 10


def test_text_that_steers_a_terminal_is_written_out(tokenizer):
    ids = tuple(tokenizer("\x1b[31mred\u202e", add_special_tokens=False)["input_ids"])
    text = "\n".join(shown([Row("\x1b]0;x\x07", "c", "train", ids, (ids, ids))], tokenizer))
    assert "\x1b" not in text and "\u202e" not in text
    assert "\\x1b[31mred\\u202e" in text and "row \\x1b]0;x\\x07" in text


def test_an_unpaired_completion_is_named_by_its_judgement(tokenizer):
    encoder = make_encoder(tokenizer, template="auto", max_tokens=99, overlong="drop")
    example = Example("1", (Message("user", "hi"),), "ok", False, "c", "train")
    assert "  undesirable, 4 tokens, all scored" in list(shown(encoder.encode([example]).rows, tokenizer))


@pytest.mark.parametrize("show", ["1", "3"])
def test_plan_shows_as_many_rows_as_asked_for_and_run_refuses(tmp_path, capsys, show):
    path = write_jsonl(tmp_path / "pairs.jsonl", pair_rows(60))
    words = [f"suite={path}", "losses=dpo", "model=tiny", "train_pairs=16", "eval_pairs=2", f"out={tmp_path / 'runs'}"]
    options, _ = read_options([*words, f"show={show}"])
    assert plan(options, silent(), "command") == 0
    assert capsys.readouterr().out.count("chosen, ") == int(show)
    with pytest.raises(UsageError, match="show= is for plan alone"):
        run(options, silent(), "command")
    assert not (tmp_path / "runs").exists()

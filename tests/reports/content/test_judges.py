"""The table of judges, and capability beside the other details."""

import json

import reports
from reports.content.judges import judgements
from reports.content.tables import detail_fields

NUMBERS = {
    "win_rate": 0.625,
    "win_rate_se": 0.031,
    "win_rate_length_controlled": 0.5,
    "position_consistency": 0.9,
    "tie_share": 0.1,
    "invalid_share": 0.02,
    "length_agreement": 0.6,
    "judge_tokens": 1000,
    "canary_constant": 0.03,
    "canary_copied_prompt": 0.0,
    "canary_injection": 0.34,
}


def judged(make, loss: str, **by_judge):
    return make.cell(loss, judgements=json.dumps(by_judge))


def test_each_judge_has_its_own_rows_with_its_canaries_beside_its_win_rates(make):
    numbers = NUMBERS | {"win_rate": 0.5}
    runs = make.frame(*(judged(make, loss, gold=NUMBERS, length=numbers) for loss in ("dpo", "ipo")))
    table = judgements(runs)
    assert list(table["judge"]) == ["gold", "gold", "length", "length"]
    assert list(table["win_rate"]) == [0.625, 0.625, 0.5, 0.5]
    text = reports.terminal(runs, width=160)
    (line,) = [line for line in text.splitlines() if line.startswith("dpo") and "gold" in line]
    assert "0.625 ± 0.031" in line and "0.340" in line and "0.030" in line


def test_runs_without_judges_have_no_such_table(runs):
    frame = runs.assign(judgements=None)
    assert judgements(frame).empty and "canary" not in reports.terminal(frame, width=200)


def test_a_narrow_terminal_keeps_judge_and_win_rate(make):
    text = reports.terminal(make.frame(judged(make, "dpo", gold=NUMBERS)), width=70)
    (line,) = [line for line in text.splitlines() if "gold" in line]
    assert "0.625 ± 0.031" in line and len(line) <= 70


def test_capability_is_a_detail_with_its_error_where_it_was_measured(make):
    fields = detail_fields(make.frame(make.cell("dpo", capability_everyday=-0.02, capability_everyday_se=0.01)))
    assert [(field.column, field.error) for field in fields if "capability" in field.column] == [
        ("capability_everyday", True)
    ]

"""Tables as LaTeX, Markdown and CSV, figures as files."""

import io
import re
import shutil
import subprocess

import pandas
import pytest
from markdown_it import MarkdownIt

import reports
import results
from reports import exports
from reports.content import tables
from reports.content.evidence import Evidence
from reports.text import escape

LOSSES = ("dpo", "ipo", "kto", "simpo", "orpo")
METRICS = (
    "preference_accuracy",
    "mean_ratio_accuracy",
    "reward_accuracy",
    "accuracy_chosen_longer",
    "accuracy_chosen_shorter",
    "chosen_logp_drift",
    "displaced_fraction",
    "train_seconds",
)
HOSTILE = "\\input{x} $a_b^c$ & 100% #1 ~ <i>|`*_ {é\u202e"


@pytest.fixture
def frame(make):
    """Five losses and the baselines, one of the losses with a name that no typesetter likes."""
    rows = make.demo_rows()
    return make.frame(*rows, make.cell("kto", cell="h", lr=3e-5) | {"loss": HOSTILE})


def test_one_call_gives_five_losses_and_eight_metrics_in_markdown_that_renders(frame) -> None:
    text = reports.table(frame, "markdown", METRICS)
    page = MarkdownIt("commonmark").enable("table").render(text)
    assert page.count("<table>") == 1 and page.count("<tr>") == 1 + len(frame)
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    assert {row.count("</td>") + row.count("</th>") for row in rows} == {3 + len(METRICS)}  # loss, beta and lr too
    assert "0.620 ± 0.031" in page and "<em>sft</em>" in page
    assert "<i>" not in page and "&lt;i&gt;|`*_ {é\\u202e" in page  # shown, not obeyed


def test_latex_has_a_column_a_field_a_row_a_setting_and_nothing_unescaped(frame) -> None:
    text = reports.table(frame, "latex", METRICS)
    rows = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 1 + len(frame)
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {2 + len(METRICS)}
    assert re.search(r"\\begin\{tabular\}\{lrr" + "r" * len(METRICS) + r"\}", text)
    assert "0.620 $\\pm$ 0.031" in text and "\\textit{sft}" in text and "$-$0.12" not in text
    assert (
        "\\shortstack{\\strut change in\\\\\\strut chosen\\\\\\strut log{-}prob $\\uparrow$}" in text
    )  # as narrow as its numbers
    assert "\\input" not in text and "\\textbackslash{}input\\{x\\}" in text
    assert text.isascii()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on the PATH")
def test_latex_compiles_without_a_package(frame, tmp_path) -> None:
    odd = frame.assign(loss=["[é]" if loss == "dpo" else "*" for loss in frame["loss"]])  # eaten by a line break before
    text = "".join(reports.table(rows, "latex", METRICS) for rows in (frame, odd))
    document = f"\\documentclass{{article}}\\begin{{document}}\n{text}\\end{{document}}\n"
    (tmp_path / "table.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-800:]
    assert (tmp_path / "table.pdf").stat().st_size > 5000


def test_csv_keeps_full_precision_and_marks_what_a_spreadsheet_would_run(make) -> None:
    rows = make.frame(make.cell("dpo", preference_accuracy=1 / 3), make.cell("kto", cell="x") | {"loss": "=1+1"})
    stored = pandas.read_csv(io.StringIO(reports.table(rows, "csv", ["preference_accuracy"])))
    assert list(stored["loss"]) == ["'=1+1", "dpo"] and stored["preference_accuracy"][1] == 1 / 3
    assert stored["preference_accuracy_se"][0] == 0.031


def test_each_protocol_gives_a_table_and_a_file(make) -> None:
    rows = make.frame(make.cell("dpo"), make.cell("dpo", cell="b", protocol="p2"))
    assert reports.table(rows, "markdown").count("| loss |") == 2
    names = [name for name, _ in exports.table_files(rows, Evidence(), ["latex", "csv"], ())]
    assert names == ["main-1.tex", "main-1.csv", "main-2.tex", "main-2.csv"]


def test_a_column_that_no_table_usually_shows_can_be_asked_for(make) -> None:
    text = reports.table(make.frame(make.cell("dpo", threads=4)), "markdown", ["threads"])
    assert text.splitlines()[0].endswith("| threads |") and "| 4 |" in text


@pytest.mark.parametrize(
    ("form", "metrics", "message"),
    [
        ("html", [], "unknown form 'html' of a table; known: latex, markdown, csv"),
        ("latex", ["nothing", "loss"], "unknown metrics nothing, loss; `list metrics` shows those there are"),
    ],
)
def test_what_is_unknown_is_named(runs, form: str, metrics: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        reports.table(runs, form, metrics)


def test_only_failed_cells_give_no_table(make) -> None:
    with pytest.raises(ValueError, match="no cell has finished"):
        reports.table(make.frame(make.cell("dpo", status="failed", reason="x")), "latex")


def test_latex_shows_every_character_as_it_is() -> None:
    assert escape.latex("a_b & 5% {x} \\y") == r"a\_b \& 5\% \{x\} \textbackslash{}y"
    assert escape.latex("-0.5 -- é") == r"$-$0.5 {-}{-} {[}U+E9]"


def test_a_report_with_files_writes_every_figure_in_each_form(make, tmp_path) -> None:
    rows = [
        make.cell(loss, seed=seed, kl=1.0 + seed, gold_reward_gain=0.5, gold_reward_gain_se=0.1)
        for loss in ("dpo", "orpo")
        for seed in (0, 1)
    ]
    written = reports.write(make.store(tmp_path, rows), figures=["svg", "png"], tables=["csv"])
    names = {"curves-dpo", "curves-orpo", "gold-reward-gain-kl", "accuracy-drift"}
    assert {name for name in written if name.startswith("figures/")} == {
        f"figures/{name}.{form}" for name in names for form in ("svg", "png")
    }
    svg = (tmp_path / "figures" / "gold-reward-gain-kl.svg").read_text()
    assert "KL from the reference, nats a completion" in svg and "known reward gained" in svg and ">dpo<" in svg
    assert (tmp_path / "tables" / "main.csv").exists()


def test_a_loss_name_cannot_leave_the_folder_of_figures(make, tmp_path) -> None:
    row = make.cell("dpo", cell="c", suite="s") | {"loss": "../../x"}
    written = reports.write(make.store(tmp_path, [row]), figures=["svg"])
    drawn = [path for name, path in written.items() if name.startswith("figures/curves")]
    assert [path.parent for path in drawn] == [tmp_path / "figures"] and drawn[0].name.startswith("curves--x-")


def test_an_unknown_form_writes_nothing(runs, tmp_path) -> None:
    with pytest.raises(ValueError, match="unknown form 'jpg' of a figure; known: svg, png"):
        reports.write(tmp_path, runs, figures=["jpg"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_gives_bold_where_there_are_seeds_enough(tested_runs) -> None:
    text = reports.table(tested_runs, "latex", ["preference_accuracy"])
    assert text.count("\\textbf{") == 2 and "Bold: not distinguishable from the best" in text
    (protocol,) = tables.protocols(results.read(tested_runs))
    assert "\\textbf" not in reports.table(protocol.rows.drop(columns="perturbations"), "latex")


def test_a_table_without_accuracies_has_no_column_of_their_intervals(make) -> None:
    row = make.cell("kto", preference_accuracy=None, preference_accuracy_se=None)
    assert "interval" not in reports.table(make.frame(row), "markdown")
    shown = reports.table(make.frame(row | {"cell": "b", "lr": 1e-3}, make.cell("dpo")), "csv")
    assert list(pandas.read_csv(io.StringIO(shown))["interval"].isna()) == [False, True]


def test_the_table_of_a_claim_says_why_a_default_is_not_bold(tested_runs, tmp_path) -> None:
    runs = results.read(tested_runs)
    confirmed = runs.assign(stage="claim", role=["default" if loss == "kto" else "winner" for loss in runs["loss"]])
    assert "a default is tested against its own winner alone and never bold" in reports.table(confirmed, "markdown")
    reports.write(tmp_path, confirmed)
    assert (tmp_path / "report.md").read_text().count("and never bold.") == 1
    assert "never bold" not in reports.table(runs, "markdown")

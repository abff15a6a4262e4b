"""The written files: what they say, that they are harmless, and that equal input gives equal bytes."""

import base64
import hashlib
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas
import pytest

import reports
import results
from results.cells import store

COMMAND = "python -m harness run suite=hh-rlhf losses=dpo,ipo"
ATTACK = '<script>alert("x")</script>|`=HYPERLINK("a")`\x1b[31m'


class Tags(HTMLParser):
    """Collects the tags and attributes of a page, and checks that tags close in order."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written(make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of cells with its report; tests only read it, or write the same again."""
    out = tmp_path_factory.mktemp("runs")
    failed = make.cell("kto", lr=1e-3, status="failed", reason="loss is not finite at step 3")
    make.store(out, [*make.demo_rows(), failed])
    reports.write(out, command=COMMAND)
    return out


def test_writing_from_a_folder_leaves_four_files_beside_the_cells(written: Path) -> None:
    names = {path.name for path in written.iterdir()}
    assert names == {"hh-rlhf", "report.md", "report.html", "results.csv", "results.parquet"}


def test_the_paths_are_returned_by_name(runs: pandas.DataFrame, tmp_path: Path) -> None:
    paths = reports.write(tmp_path / "new", runs)
    assert paths == {name: tmp_path / "new" / name for name in paths}
    assert all(path.exists() for path in paths.values())


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_a_report_says_what_a_reader_needs(written: Path, name: str) -> None:
    text = html.unescape((written / name).read_text())
    for part in (
        "hh-rlhf · smollm2-135m",
        "1 seed: no claim about the losses",
        "0.620 ± 0.031",
        "depends on the metric: ipo",
        "kto beta 0.1, lr 1e-3: failed: loss is not finite at step 3",
        "scores 0.560 on these pairs",
        "mean_log_prob",
        COMMAND,
        "pairs with h > 0, ties one half",
        "gamma 1",
        "torch 2.13.0",
    ):
        assert part in text, part


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_baselines_come_before_losses(written: Path, name: str) -> None:
    text = (written / name).read_text()
    mark = "*{}*" if name == "report.md" else "</i>{}</th>"
    plain = "| {} |" if name == "report.md" else "</i>{}</th>"
    assert text.index(mark.format("none")) < text.index(mark.format("sft")) < text.index(plain.format("dpo"))


def test_the_markdown_table_has_one_row_a_finished_cell_and_equal_columns(written: Path) -> None:
    lines = (written / "report.md").read_text().splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("| loss | beta |"))
    table = lines[start : lines.index("", start)]
    assert len(table) == 2 + 7
    assert len({line.count("|") for line in table}) == 1


def test_every_loss_with_a_curve_is_drawn_in_one_colour(written: Path) -> None:
    text = (written / "report.html").read_text()
    blocks = re.findall(r'<article class="curves" style="--series: var\(--c(\w+)\)">\s*<h4><i.*?</i>(\w+)</h4>', text)
    assert blocks == [
        ("control", "sft"),
        ("0", "dpo"),
        ("1", "ipo"),
        ("2", "kto"),
        ("3", "orpo"),
        ("4", "simpo"),
    ]
    rows = set(re.findall(r'var\(--c(\w+)\)">\s*<th scope="row"><i class="swatch"></i>(\w+)</th>', text))
    assert rows == {*blocks, ("control", "none")}


def test_the_page_is_well_formed_and_asks_for_nothing_outside(written: Path) -> None:
    text = (written / "report.html").read_text()
    tags = Tags(text)
    assert tags.open == []
    assert not {"link", "img", "iframe", "object", "form", "base"} & {tag for tag, _ in tags.seen}
    assert [attrs for tag, attrs in tags.seen if tag == "script"] == [{}]
    targets = [attrs[name] for _, attrs in tags.seen for name in ("src", "href") if name in attrs]
    assert all(target.startswith("#") for target in targets)
    assert not any(name.startswith("on") for _, attrs in tags.seen for name in attrs)
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = [attrs["content"] for tag, attrs in tags.seen if "http-equiv" in attrs]
    assert policy == [f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"]


def test_ids_on_the_page_are_unique(written: Path) -> None:
    ids = [attrs["id"] for _, attrs in Tags((written / "report.html").read_text()).seen if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_equal_runs_give_equal_bytes(written: Path) -> None:
    before = {path.name: path.read_bytes() for path in written.iterdir() if path.is_file()}
    reports.write(written, command=COMMAND)
    assert before == {name: (written / name).read_bytes() for name in before}


def test_the_order_of_the_rows_changes_no_byte_of_a_report(make, tmp_path: Path) -> None:
    frame = make.frame(*make.demo_rows())
    for name, given in (("a", frame), ("b", frame.iloc[::-1])):
        reports.write(tmp_path / name, given)
    for name in ("report.md", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_two_protocols_give_two_tables_and_the_warning_not_to_mix_them(make, tmp_path: Path) -> None:
    rows = [make.cell("dpo"), make.cell("dpo", cell="b", protocol="p2", model="other")]
    reports.write(tmp_path, make.frame(*rows))
    text = (tmp_path / "report.md").read_text()
    assert "2 protocols: cells are comparable within a table, never across tables." in text
    assert (
        len(re.findall(r"^\| loss \| beta \| lr \| preference accuracy ± se ↑ \| 95 % int", text, flags=re.MULTILINE))
        == 2
    )
    assert "## hh-rlhf · other\n" in text


def test_protocols_of_the_same_data_and_model_are_named_by_what_differs(make, tmp_path: Path) -> None:
    rows = [
        make.cell("dpo", suite_revision="a"),
        make.cell("dpo", cell="b", protocol="p2", suite_revision="b"),
        make.cell("dpo", cell="c", protocol="p3", test_pairs=1024, precision="bf16"),
    ]
    reports.write(tmp_path, make.frame(*rows[:2]))
    heads = re.findall(r"^## (hh-rlhf.*)$", (tmp_path / "report.md").read_text(), flags=re.MULTILINE)
    assert heads == ["hh-rlhf · smollm2-135m · protocol p1", "hh-rlhf · smollm2-135m · protocol p2"]
    reports.write(tmp_path, make.frame(*rows))
    for name, start in (("report.md", "## "), ("report.html", "<h2>")):
        text = (tmp_path / name).read_text()
        assert f"{start}hh-rlhf · smollm2-135m · precision bf16, test pairs 1,024" in text
        assert f"{start}hh-rlhf · smollm2-135m · precision fp32, test pairs 256, protocol p1" in text


def test_what_unpaired_rows_do_not_have_is_not_drawn_or_explained(make, tmp_path: Path) -> None:
    unknown = dict.fromkeys(("preference_accuracy", "accuracy_chosen_longer", "accuracy_chosen_shorter"))
    pages = []
    for name, row, curve in (
        ("paired", make.cell("kto"), make.curve()),
        ("unpaired", make.cell("kto") | unknown, make.curve().assign(accuracy=None)),
    ):
        folder = store.cell_folder(tmp_path / name, row["suite"], row["loss"], row["cell"])
        store.write_cell(folder, cell={}, row=row, pairs=None, curve=curve, log="")
        pages.append(reports.write(tmp_path / name)["report.html"].read_text())
    for found in ("one half</span>", "batch accuracy", 'class="picture"'):
        assert found in pages[0] and found not in pages[1]
    assert "Baselines are shaded" not in "".join(pages)


def test_every_table_of_a_judged_cell_has_a_title(make, tmp_path: Path) -> None:
    reports.write(tmp_path, make.frame(make.cell("dpo", judge="length", win_rate=0.5)))
    titles = re.findall(r"^### Every cell(.*)$", (tmp_path / "report.md").read_text(), flags=re.MULTILINE)
    assert ": judge" in titles and ": " not in titles and ":" not in titles


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_the_letters_of_the_meanings_are_explained_beside_them(written: Path, name: str) -> None:
    assert "a = c - c0, d = r - r0, h = a - d" in (written / name).read_text()


def test_a_hostile_name_stays_text_everywhere(make, tmp_path: Path) -> None:
    row = make.cell("dpo", cell="c", model=ATTACK, paper=ATTACK, device=ATTACK) | {"loss": ATTACK}
    failed = make.cell("kto", status="failed", reason=ATTACK)
    reports.write(tmp_path, make.frame(row, failed), cells=["c", failed["cell"], ATTACK], command=ATTACK)
    page = (tmp_path / "report.html").read_text()
    assert [tag for tag, _ in Tags(page).seen].count("script") == 1
    assert html.unescape(page).count('<script>alert("x")</script>|`=HYPERLINK("a")`\\x1b[31m') >= 5
    markdown = (tmp_path / "report.md").read_text()
    fenced = re.sub(r"^```$.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    assert "<script" not in fenced
    assert "\x1b" not in page + markdown
    row_of_loss = next(line for line in markdown.splitlines() if line.startswith("| &lt;script"))
    assert row_of_loss.count("|") - row_of_loss.count("\\|") == 13


def test_a_formula_in_a_stored_text_is_marked_in_the_csv_only(make, tmp_path: Path) -> None:
    reports.write(tmp_path, make.frame(make.cell("dpo", reason="=1+1")))
    assert pandas.read_csv(tmp_path / "results.csv")["reason"][0] == "'=1+1"
    assert pandas.read_parquet(tmp_path / "results.parquet")["reason"][0] == "=1+1"


def test_the_parquet_table_is_the_frame_with_extra_keys_as_text(make, tmp_path: Path) -> None:
    frame = make.frame(make.cell("dpo", extra={"b": 1}), make.cell("ipo", extra=2.5))
    reports.write(tmp_path, frame)
    stored = pandas.read_parquet(tmp_path / "results.parquet")
    assert list(stored["extra"]) == ['{"b": 1}', "2.5"]
    pandas.testing.assert_frame_equal(stored.drop(columns="extra"), frame.drop(columns="extra"), check_dtype=False)


def test_the_cells_of_one_command_are_reported_while_the_tables_hold_all(make, tmp_path: Path) -> None:
    frame = make.frame(make.cell("dpo", cell="a"), make.cell("ipo", cell="b"))
    reports.write(tmp_path, frame, cells=["a", "gone"])
    text = (tmp_path / "report.md").read_text()
    assert "1 of the 2 cells that this folder holds." in text
    assert "| ipo |" not in text
    assert "Asked for, but not stored: gone." in text
    assert list(pandas.read_csv(tmp_path / "results.csv")["cell"]) == ["a", "b"]


def test_nothing_to_report_is_an_error_and_writes_nothing(runs: pandas.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of the 1 cell asked for is among the 7 stored cells"):
        reports.write(tmp_path, runs, cells=["gone"])
    assert list(tmp_path.iterdir()) == []


def test_runs_without_stored_curves_are_reported_and_say_so(runs: pandas.DataFrame, tmp_path: Path) -> None:
    reports.write(tmp_path, runs)
    assert "No training curves are stored for these cells." in (tmp_path / "report.html").read_text()


def test_several_seeds_are_summed_up_beside_the_cells(make, tmp_path: Path) -> None:
    rows = [make.cell("dpo", seed=seed, preference_accuracy=0.60 + seed / 100) for seed in (0, 1, 2)]
    reports.write(tmp_path, make.frame(*rows))
    text = (tmp_path / "report.md").read_text()
    assert "| dpo | 0.1 | 1e-5 | 3 | 0.610 ± 0.031 |" in text and "| dpo | 0.1 | 1e-5 | 2 | 0.620 ± 0.031 |" in text
    assert "No verdict: no pair tables are stored" in text and "no claim about" not in text


def test_only_failed_cells_still_make_a_report(make, tmp_path: Path) -> None:
    reports.write(tmp_path, make.frame(make.cell("dpo", status="failed", reason="out of memory")))
    assert "failed: out of memory" in (tmp_path / "report.html").read_text()


def test_an_old_report_survives_a_write_that_fails(
    runs: pandas.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports.write(tmp_path, runs)
    before = (tmp_path / "report.md").read_bytes()

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        reports.write(tmp_path, runs.assign(preference_accuracy=0.1))
    assert (tmp_path / "report.md").read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_failure_modes_stand_with_evidence_rule_and_remedy(make, tmp_path):
    row = make.cell(
        "ipo",
        preference_accuracy=0.64,
        chosen_logp_drift=-7.3,
        chosen_logp_drift_se=0.4,
        displaced_fraction=0.97,
        diagnosis="likelihood_displacement",
    )
    make.store(tmp_path, [row, make.cell("sft", chosen_logp_drift=-9.0, displaced_fraction=0.99)])
    paths = reports.write(tmp_path)
    for name in ("report.md", "report.html"):
        text = html.unescape(paths[name].read_text()).replace("\\", "")
        (line,) = [line for line in text.splitlines() if "Likelihood displacement: " in line]
        assert (
            "ipo beta 0.1, lr 1e-5 (preference accuracy 0.64, change in chosen log-prob -7.3, became less likely"
            in line
        )
        assert "Rule: " in line and "Try: raise beta" in line and "sft" not in line
    terminal = " ".join(reports.terminal(results.read(tmp_path), width=200).split())
    assert "likelihood displacement in ipo beta 0.1, lr 1e-5" in terminal


def test_a_finding_about_noise_names_the_share_of_contradictory_rows_of_its_protocols_audit(make, tmp_path):
    noisy = {"validation_preference_accuracy": 0.57, "effective_beta": 0.5}
    learned = make.curve().assign(accuracy=0.7)
    for loss, protocol in (("ipo", "p1"), ("dpo", "p2")):
        row = make.cell(loss, cell=loss, protocol=protocol, **noisy)
        store.write_cell(tmp_path / loss, cell={}, row=row, pairs=None, curve=learned, log="")
    store.write_audit(tmp_path, "p2", {"contradictory": 30, "kept": 200})
    text = reports.write(tmp_path)["report.md"].read_text().replace("\\", "")
    found = sorted(line for line in text.splitlines() if "Noisy preferences: " in line)
    assert ["contradictory share 0.15" in line for line in found] == [True, False]  # dpo, then ipo


def test_without_findings_there_is_no_diagnosis(make, tmp_path):
    make.store(tmp_path, [make.cell("simpo", displaced_fraction=0.1)])
    assert "Diagnosis" not in reports.write(tmp_path)["report.md"].read_text()
    assert "Diagnosis" not in reports.terminal(results.read(tmp_path), width=200)


def test_generated_answers_are_in_both_reports_and_their_columns_explained(make, tmp_path: Path) -> None:
    row = make.cell("dpo", generated_prompts=8, generation="g", generated_tokens=9.0, kl=1.25, kl_se=0.5)
    written = reports.write(make.store(tmp_path, [row]))
    page, text = written["report.html"].read_text(), written["report.md"].read_text()
    for report in (page, text):
        assert "Generated completions" in report and "1.25 ± 0.50" in report and "Completions of 8 prompts" in report
        assert "KL(policy, reference) per sequence" in html.unescape(report)
    Tags(page)

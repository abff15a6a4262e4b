"""The audit in a report: the sentences of the stored file, harmless, and nothing where there is none."""

import html
from pathlib import Path

import reports
from reports.content.data_notes import DataNotes, data_notes
from results.cells import store

HOSTILE = "<script>alert(1)</script> | `x` \x1b[31m"


def test_facts_and_advice_are_taken_over_and_control_characters_written_out():
    found = data_notes({"facts": [["dropped", HOSTILE], ["splits", "train 3"]], "advice": ["read\nthis"]})
    assert found.facts[0] == ("dropped", "<script>alert(1)</script> | `x` \\x1b[31m")
    assert found.facts[1] == ("splits", "train 3") and found.advice == ("read this",)


def test_an_audit_of_another_form_leaves_the_report_without_notes():
    assert data_notes({}) == data_notes({"facts": 3, "advice": None}) == DataNotes()
    assert data_notes({"facts": ["word", ["a", "b"], ["a"]]}).facts == (("a", "b"),)


def test_each_protocol_shows_its_own_audit_and_no_markup_of_it_works(make, tmp_path: Path):
    rows = [make.cell("dpo"), make.cell("dpo", cell="b", protocol="p2", model="other")]
    store.write_audit(tmp_path, "p2", {"facts": [["dropped", HOSTILE]], "advice": ["clean them"]})
    reports.write(tmp_path, make.frame(*rows))
    page, text = ((tmp_path / name).read_text() for name in ("report.html", "report.md"))
    assert page.count("<summary>The data</summary>") == 1 == text.count("### The data")
    assert "<script>alert" not in page + text and page.count("<script") == 1 and "\x1b" not in page + text
    assert HOSTILE.replace("\x1b", "\\x1b") in html.unescape(page)
    assert text.index("## hh-rlhf · other") < text.index("### The data")
    assert "- advice: clean them" in text and "<li>clean them</li>" in page

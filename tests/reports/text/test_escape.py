"""Text from outside is harmless in every medium."""

import pytest

from reports.text import escape


def test_control_and_direction_characters_become_visible_text() -> None:
    assert escape.visible("a\x1b[31mb\u202ec\x00\nd") == "a\\x1b[31mb\\u202ec\\x00 d"


def test_markdown_text_cannot_open_a_cell_a_tag_or_a_style() -> None:
    assert escape.markdown("a|b\n`c` *d* <i> [x](y)") == ("a\\|b \\`c\\` \\*d\\* &lt;i&gt; \\[x\\](y)")


def test_markdown_leaves_underscores_inside_words_alone() -> None:
    assert escape.markdown("ipo_sum") == "ipo_sum"
    assert escape.markdown("_ipo_") == "\\_ipo\\_"


def test_a_code_block_is_fenced_longer_than_its_content() -> None:
    assert escape.markdown_code("a ```` b") == "`````\na ```` b\n`````"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\ta", "\ra"])
def test_csv_text_that_a_spreadsheet_would_run_is_marked(text: str) -> None:
    assert escape.csv_cell(text) == "'" + escape.visible(text)


def test_csv_text_cannot_steer_a_terminal_that_prints_the_file() -> None:
    assert escape.csv_cell("a\x1b[2Jb\u202e") == "a\\x1b[2Jb\\u202e"

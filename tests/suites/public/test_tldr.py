"""TL;DR: posts become prompts, choice is the number of the better summary, and scripts are not run."""

import json

import suites
from tests.suites.samples import SAMPLES

ROWS = next(sample.rows for sample in SAMPLES if sample.form == "comparisons")


def load(folder, rows):
    path = folder / "batch3.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return suites.load("tldr", {"path": str(path)})


def test_posts_and_articles_become_prompts(tmp_path):
    post, article = load(tmp_path, ROWS).rows
    assert post.prompt[0].content == "SUBREDDIT: r/tea\n\nTITLE: Tea\n\nPOST: I drink tea.\n\nTL;DR:"
    assert article.prompt[0].content == "Article: Coffee is dear.\n\nTL;DR:"
    assert (post.chosen, post.rejected) == (" Tea.", " Nothing.")  # choice 0
    assert (article.chosen, article.rejected) == (" Coffee.", " News.")  # choice 1


def test_the_split_column_counts_and_only_train_trains(tmp_path):
    assert {row.split for row in load(tmp_path, ROWS).rows[1:]} == {"test"}
    assert load(tmp_path, ROWS).rows[0].split in ("train", "validation")


def test_arrow_tables_keep_summaries_as_an_object_of_lists(tmp_path):
    turned = [{**row, "summaries": {"text": [one["text"] for one in row["summaries"]]}} for row in ROWS]
    assert load(tmp_path, turned).rows == load(tmp_path, ROWS).rows


def test_rows_that_choose_nothing_are_counted(tmp_path):
    rows = [*ROWS, {**ROWS[0], "choice": 2}, {**ROWS[0], "summaries": []}, {**ROWS[0], "info": {"post": " "}}]
    assert dict(load(tmp_path, rows).dropped) == {"malformed": 2, "empty_prompt": 1}

"""Files are recognised by their names alone: splits, subsets, shards; what lies there twice is refused."""

import pytest

from suites import SuiteError
from suites.reading.layout import DataFile, Layout, arrange, missing_shards, parent_part

HELD_OUT = Layout({"train": "train", "validation": "test"})


def names(files: list[DataFile]) -> list[str]:
    return [file.name for file in files]


def test_rows_come_in_the_order_of_parts_splits_and_shards():
    listed = [
        "data/validation-00000-of-00001.parquet",
        "data/train-00001-of-00002.parquet",
        "README.md",
        "data/train-00000-of-00002.parquet",
        "dataset_infos.json",
    ]
    found = arrange(listed, HELD_OUT)
    assert names(found) == [listed[3], listed[1], listed[0]]
    assert [file.word for file in found] == ["train", "train", "validation"]
    assert [HELD_OUT.split(file.word) for file in found] == ["train", "train", "test"]


def test_a_sets_own_words_come_before_common_ones_and_any_file_is_better_than_none():
    prefs = Layout({"train_prefs": "train", "test_prefs": "test"})
    assert names(arrange(["train_sft.parquet", "train_prefs.parquet", "train.csv"], prefs)) == ["train_prefs.parquet"]
    assert [(f.word, prefs.split(f.word)) for f in arrange(["dev.jsonl"], prefs)] == [("dev", "validation")]
    assert arrange(["mine.jsonl"], prefs) == [DataFile("", None, "mine.jsonl")]
    assert arrange(["README.md", "script.py"], prefs) == []


def test_the_hubs_own_parquet_copy_names_splits_by_folder():
    listed = ["default/train/0000.parquet", "default/train/0001.parquet", "default/validation/0000.parquet"]
    assert [file.word for file in arrange(listed, HELD_OUT)] == ["train", "train", "validation"]


def test_old_shard_names_with_a_hash_are_read():
    found = arrange(["data/train-00000-of-00001-6ef3991c06080e14.parquet"], HELD_OUT)
    assert found[0].word == "train"


def test_a_folder_of_the_repository_can_hold_one_form():
    layout = Layout({"train": "train"}, folder="preference")
    assert names(arrange(["train.jsonl.gz", "preference/train.jsonl.gz"], layout)) == ["preference/train.jsonl.gz"]
    assert names(arrange(["train.jsonl.gz"], layout)) == ["train.jsonl.gz"]


def test_subsets_are_read_off_folders_and_can_be_chosen():
    layout = Layout({"train": "train", "test": "test"}, part=parent_part)
    listed = ["b/test.json", "a/train.json", "a/test.json", "top.json"]
    assert [(f.part, f.word) for f in arrange(listed, layout)] == [("a", "train"), ("a", "test"), ("b", "test")]
    assert names(arrange(listed, layout, parts=["b"])) == ["b/test.json"]


@pytest.mark.parametrize("second", ["train.parquet", "old/train.jsonl"])
def test_a_split_that_lies_there_twice_is_refused(second):
    with pytest.raises(SuiteError, match="the split 'train' lies there twice: .*keep one"):
        arrange(["train.jsonl", second], HELD_OUT)


def test_a_missing_shard_is_seen():
    whole = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
    assert missing_shards(arrange(whole, HELD_OUT)) == []
    assert missing_shards(arrange(whole[1:], HELD_OUT)) == ["train"]

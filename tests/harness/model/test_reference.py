"""The reference store: the same bits on or off, cold or warm, killed or not; damage is found."""

import pytest
import torch

from harness.data.tokens import item_of
from harness.model.layout import LAYOUTS
from harness.model.layout_check import stock_logps
from harness.model.logprobs import Scorer
from harness.model.reference import BLOCK, ReferenceStore, measure

HOW = {"layout": "shared", "pad": 0}


class Counted(Scorer):
    """A scorer that counts its forwards."""

    calls = 0

    def forward(self, layout):
        self.calls += 1
        return super().forward(layout)


@pytest.fixture
def items(rows):
    return [item_of(row) for row in rows] * 3  # 72 items: two whole blocks and a rest


def equal(one, two) -> bool:
    flat = [[a for item in scores for a in item] for scores in (one, two)]
    return all(torch.equal(a, b) for a, b in zip(*flat, strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scores_are_the_stock_models_in_the_order_of_the_items(model, items, layout):
    scores = measure(Scorer(model), items[:24], layout=layout, pad=0)
    for item, score in zip(items, scores, strict=False):
        seen = torch.stack([completion.sum() for completion in score])
        torch.testing.assert_close(seen, stock_logps(model, item), rtol=1e-5, atol=1e-3)
        assert [len(a) for a in score] == [len(a) for a in item.completions]


def test_store_off_cold_and_warm_give_the_same_bits(model, items, tmp_path):
    off = ReferenceStore({"a": 1}, folder=None).scores(Scorer(model), items, **HOW)
    store = ReferenceStore({"a": 1}, folder=tmp_path)
    cold = store.scores(Scorer(model), items, **HOW)
    scorer = Counted(model)
    warm = store.scores(scorer, items, **HOW)
    assert equal(off, cold) and equal(cold, warm)
    assert scorer.calls == 0


def test_a_block_lost_in_a_crash_is_measured_again_to_the_same_bits(model, items, tmp_path):
    store = ReferenceStore({}, folder=tmp_path)
    first = store.scores(Scorer(model), items, **HOW)
    files = sorted(tmp_path.rglob("*.safetensors"))
    assert len(files) == -(-len(items) // BLOCK)
    files[0].unlink()
    assert equal(first, store.scores(Scorer(model), items, **HOW))


@pytest.mark.parametrize("damage", [lambda b: b[:-4] + b"\0\0\0\0", lambda b: b[: len(b) // 2], lambda b: b"junk"])
def test_a_damaged_block_is_not_believed(model, items, tmp_path, damage):
    store = ReferenceStore({}, folder=tmp_path)
    first = store.scores(Scorer(model), items[:BLOCK], **HOW)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    assert equal(first, store.scores(Scorer(model), items[:BLOCK], **HOW))


def test_other_weights_or_precision_never_share_a_block(model, items, tmp_path):
    ReferenceStore({"weights": "a"}, folder=tmp_path).scores(Scorer(model), items[:8], **HOW)
    scorer = Counted(model)
    ReferenceStore({"weights": "b"}, folder=tmp_path).scores(scorer, items[:8], **HOW)
    assert scorer.calls == 1
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2

"""Attacks on what the project promises to withstand: foreign code, foreign files, hostile text, links."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.errors import UsageError
from harness.model.reference import BLOCK, ReferenceStore
from harness.model.sources import find, folder, load_policy, load_tokenizer
from tests.harness.conftest import pair_rows, write_jsonl

TEMPLATES = Path(__file__).parent.parent / "reports" / "templates"
SCRIPT = "<script>alert(1)</script>"
ESCAPE = "\x1b[2J\x1b[31m"
FORMULA = '=HYPERLINK("http://evil.example","x")'
TABLE = "| a | b |\n|---|---|\n| `x` | [click](javascript:alert(1)) |"
SMALL = [
    "model=tiny",
    "train_pairs=16",
    "eval_pairs=4",
    "batch_size=8",
    "precision=fp32",
    "device=cpu",
    "workers=0",
    "threads=1",
    "controls=false",
]


@pytest.fixture(scope="module", autouse=True)
def private_cache(tmp_path_factory):
    before = dict(os.environ)
    os.environ["PREFERENCE_HARNESS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.clear()
    os.environ.update(before)


class Bomb:
    """What unpickling it does shows that it was unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


def copied(tmp_path: Path) -> Path:
    target = tmp_path / "copied"
    shutil.copytree(folder("tiny"), target)
    return target


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_pickle_in_the_reference_store_is_measured_over_and_never_loaded(tmp_path):
    from harness.model.layout import Item
    from harness.model.logprobs import Scorer

    scorer = Scorer(load_policy(find("tiny"), "cpu"))
    items = [Item([5, 6, 7], [[8, 9], [10]])]
    store = ReferenceStore({}, folder=tmp_path / "store")
    first = store.scores(scorer, items, layout="plain", pad=0)
    (path,) = (tmp_path / "store").rglob("*.safetensors")
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    for content in (bomb, (len(bomb)).to_bytes(8, "little") + bomb, (2**62).to_bytes(8, "little") + b"{}"):
        path.write_bytes(content)
        again = store.scores(scorer, items, layout="plain", pad=0)
        assert all((a == b).all() for a, b in zip(first[0], again[0], strict=True))
    with open(path, "wb") as file:
        file.truncate(2**40)  # sparse: a tebibyte that a reader would have to map
    store.scores(scorer, items, layout="plain", pad=0)
    assert path.stat().st_size < 2**12 and not (tmp_path / "exploded").exists() and BLOCK


@pytest.mark.parametrize("where", ["config", "tokenizer", "pickled weights"])
def test_code_that_a_model_folder_brings_is_never_run(where, tmp_path, monkeypatch):
    place = copied(tmp_path)
    mark = tmp_path / "ran"
    (place / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Evil: pass\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # a user who says yes to everything
    if where == "config":
        classes = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}
        edit(place / "config.json", auto_map=classes, model_type="evil")
        with pytest.raises(UsageError, match="code of its own.*never run"):
            find(str(place))
        edit(place / "config.json", model_type="llama")  # a type that transformers builds itself
        load_policy(find(str(place)), "cpu")
    elif where == "tokenizer":
        settings = {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}, "tokenizer_class": "Evil"}
        edit(place / "tokenizer_config.json", **settings)
        with pytest.raises(UsageError, match="tokenizer asks for Python code"):
            load_tokenizer(find(str(place)))
    else:
        (place / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
        load_policy(find(str(place)), "cpu")
        for weights in place.glob("*.safetensors"):
            weights.unlink()
        with pytest.raises(UsageError, match="safetensors"):
            find(str(place))
    assert not mark.exists()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run whose every name and text is an attack: data, ids, file, model folder, plug-in file, a failing cell."""
    place = tmp_path_factory.mktemp("hostile")
    model = place / f"{ESCAPE}{FORMULA.replace('/', '')}"
    shutil.copytree(folder("tiny"), model)
    rows = [
        row
        | {
            "id": f"{number}{ESCAPE}{SCRIPT}{FORMULA}",
            "chosen": f"{FORMULA} {SCRIPT}{ESCAPE} {row['chosen']}",
            "rejected": f"{TABLE}{ESCAPE} {row['rejected']}",
        }
        for number, row in enumerate(pair_rows(60))
    ]
    data = write_jsonl(place / f"{SCRIPT.replace('/', '')}|=1+1.jsonl", rows)
    plugin = place / "=evil<b>.py"
    plugin.write_text(
        "import losses\n@losses.register('mine', paper='" + SCRIPT + "|" + FORMULA.replace('"', "") + "')\n"
        "def mine(pair: losses.PairBatch, *, beta: float = 0.1):\n    return beta * pair.chosen.total\n"
    )
    words = [f"suite={data}", "losses=dpo,mine", f"plugins={plugin}", "mine.lrs=1e30", f"out={place / 'runs'}"]
    return place, [*words, *SMALL[1:]], model


def foreign(path) -> str:
    """A report's text without the one script that is ours."""
    text, ours = path.read_text(), f"<script>{(TEMPLATES / 'sort.js').read_text().strip()}"
    assert text.count(ours) == (path.suffix == ".html")
    return text.replace(ours, "")


def test_hostile_names_and_texts_stay_text_in_every_file_and_on_the_terminal(hostile, capsys):
    place, words, model = hostile
    # A name that cannot be printed is no option; a link with a plain name leads to it.
    os.symlink(model, place / "model-link")
    assert main(["run", *words, f"model={place / 'model-link'}"]) == 1  # mine fails, and says at which rows
    said = capsys.readouterr()
    (suite,) = [path for path in (place / "runs").iterdir() if path.is_dir()]
    cells = [path for path in suite.iterdir() if path.is_dir()]
    assert {path.parent for path in cells} == {suite} and len(cells) == 2
    for name in [suite.name, *(path.name for path in cells)]:
        assert all(c.isalnum() or c in "._-" for c in name)
    for verb in (["report", str(place / "runs")], ["verify", str(place / "runs")]):
        main(verb)
        more = capsys.readouterr()
        said = type(said)(said.out + more.out, said.err + more.err)
    assert "\x1b" not in said.out + said.err
    page, markdown = foreign(suite / "report.html"), (suite / "report.md").read_text()
    assert "<script" not in page.lower() and "\x1b" not in page + markdown
    assert "default-src 'none'" in page and "script-src 'sha256-" in page
    outside = markdown.split("```")[::2]  # fenced blocks show their text as it is
    assert all("<script" not in part and "](javascript" not in part for part in outside)
    with open(suite / "results.csv", newline="") as file:
        for row in csv.reader(file):
            for cell in row:
                assert not cell.startswith(("=", "+", "@", "\t", "\r"))
                assert not cell.startswith("-") or cell[1:2].isdigit()
    for text in (page, markdown, said.out):
        assert "sun moon" not in text and "click" not in text  # no dataset text unless asked for


def test_generations_and_verdicts_with_markup_do_not_reach_a_report(hostile, capsys):
    place, _, _ = hostile
    (suite,) = [path for path in (place / "runs").iterdir() if path.is_dir()]
    cell = next(path for path in suite.glob("dpo-*"))
    (cell / "generations.jsonl").write_text(json.dumps({"answer": f"sampled words {SCRIPT}{ESCAPE}{TABLE}"}) + "\n")
    assert main(["report", str(suite)]) == 0
    for name in ("report.html", "report.md", "results.csv"):
        shown = foreign(suite / name)
        assert "sampled words" not in shown and "click" not in shown and "\x1b" not in shown
    assert main(["verify", str(suite)]) == 1 and "generations.jsonl: is not vouched for" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["suite", "cell", "model", "temporary", "report"])
def test_nothing_is_written_through_a_symbolic_link(what, tmp_path, capsys):
    data = write_jsonl(tmp_path / "pairs.jsonl", pair_rows(60))
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    words = ["run", f"suite={data}", "losses=dpo", f"out={tmp_path / 'runs'}", "save=all", *SMALL]
    assert main(words) == 0
    (cell,) = (tmp_path / "runs" / "pairs").glob("dpo-*")
    (cell / "row.json").unlink()
    shutil.rmtree(cell / "model")
    if what == "suite":
        shutil.rmtree(cell.parent)
        os.symlink(outside, cell.parent)
    elif what == "cell":
        shutil.rmtree(cell)
        os.symlink(outside, cell)
    elif what == "model":
        os.symlink(outside, cell / "model")
    elif what == "temporary":
        os.symlink(victim, cell / f".row.json.{os.getpid()}.tmp")
    else:
        (cell.parent / "report.md").unlink()
        os.symlink(victim, cell.parent / "report.md")
    capsys.readouterr()
    code = main(words)
    if what in ("suite", "cell", "model"):
        said = capsys.readouterr().err
        assert code == 2 and "symbolic link" in said.replace("symlink", "symbolic link") and "Traceback" not in said
    else:
        assert code == 0
    assert list(outside.iterdir()) == [] and victim.read_text() == "precious"


def test_names_that_differ_only_in_case_keep_their_cells_apart(tmp_path):
    """On a file system that ignores case too: the id of a cell is in its folder's name."""
    names = []
    for name, more in (("Pairs", ""), ("pairs", " indeed")):
        rows = [row | {"chosen": row["chosen"] + more} for row in pair_rows(60)]
        data = write_jsonl(tmp_path / f"{name}.jsonl", rows)
        assert main(["run", f"suite={data}", "losses=dpo", f"out={tmp_path / 'runs'}", *SMALL]) == 0
        names += [path.name.lower() for path in (tmp_path / "runs" / name).glob("dpo-*")]
    assert len(set(names)) == 2

"""The help texts: what each verb does, its keys with their defaults, and examples to copy."""

from __future__ import annotations

from harness.options.cards import cards
from harness.options.evaluate import evaluate_cards
from harness.options.pairs import PairsOptions
from harness.options.parsers import unknown
from harness.verbs.list import KINDS, listing, option_table

VERBS = {
    "run": "train and measure every cell of a sweep, then write the report",
    "plan": "show what run would do, and its estimated cost; trains nothing",
    "evaluate": "measure external checkpoints against their reference; trains nothing",
    "pairs": "let a model complete prompts, rate the completions, and write them as pairs to train on",
    "report": "write the report of finished cells again, and print its table",
    "compare": "test which losses differ, over seeds and held-out rows",
    "verify": "hold finished cells to their files and tables, and re-run one on demand",
    "export": "write a cell's settings for another trainer",
    "list": "show what there is to choose from",
    "reproduce": "set published tables beside what is computed here",
}

_EXAMPLES = {
    "run": """\
  python -m harness run suite=imdb-sentiment losses=dpo,ipo
  python -m harness run suite=hh-rlhf suite.subset=helpful-base losses=dpo,ipo,kto,simpo,orpo seeds=0,1,2
  python -m harness run suite=my_pairs.jsonl losses=dpo,mine plugins=my_loss.py betas=grid
  python -m harness run suite=hh-rlhf losses=dpo,simpo dpo.beta=0.01,0.1 simpo.gamma_beta_ratio=grid
  python -m harness run suite=my_pairs.jsonl losses=dpo,ipo,simpo search=random trials=6 claim_seeds=1,2,3
  python -m harness run suite=my_pairs.jsonl losses=dpo,cdpo,robust,ipo suite.label_noise=0,0.1,0.2,0.3
  python -m harness run 'suite=hh-rlhf*0.7+my_pairs.jsonl*0.3' losses=dpo,ipo suite.hh-rlhf.subset=helpful-base
""",
    "plan": """\
  python -m harness plan suite=hh-rlhf losses=dpo,ipo betas=grid seeds=0,1,2
""",
    "evaluate": """\
  python -m harness evaluate model=my-dpo-model reference=smollm2-135m suite=hh-rlhf loss=dpo beta=0.1
  python -m harness evaluate model=trl-out/checkpoint-500,axolotl-out reference=Qwen/Qwen3-0.6B suite=ultrafeedback
""",
    "pairs": """\
  python -m harness pairs suite=imdb-sentiment n=4 score=gold to=film.jsonl
  python -m harness pairs prompts=my_prompts.csv score=implicit:runs/hh-rlhf/dpo-0a1b2c3d4e5f keep=all to=mine.jsonl
""",
    "report": """\
  python -m harness report
  python -m harness report runs/hh-rlhf
  python -m harness report runs/hh-rlhf tables=latex,markdown,csv figures=svg,png
  python -m harness report runs/hh-rlhf tables=latex metrics=preference_accuracy,chosen_logp_drift,kl
""",
    "compare": """\
  python -m harness compare
  python -m harness compare runs/hh-rlhf loss=dpo,ipo metric=mean_ratio_accuracy
  python -m harness compare runs/hh-rlhf against=dpo
  python -m harness compare runs other/runs
""",
    "verify": """\
  python -m harness verify
  python -m harness verify runs/hh-rlhf
  python -m harness verify runs rerun=3f9c1a2b4d5e
""",
    "export": """\
  python -m harness export runs/hh-rlhf/dpo-3f9c1a2b4d5e format=trl
  python -m harness export best runs/hh-rlhf format=trl > dpo.yaml
""",
    "list": """\
  python -m harness list losses
  python -m harness list losses simpo
  python -m harness list losses parity
  python -m harness list losses plugins=my_loss.py
  python -m harness list options betas
  python -m harness list recipes simpo-table4
""",
    "reproduce": """\
  python -m harness reproduce list
  python -m harness reproduce kto-table1
  python -m harness reproduce ipo-bandit rows=dpo
  python -m harness reproduce all groups=1
  python -m harness reproduce alpacaeval path=annotations.json
  python -m harness reproduce simpo-table4 rows=dpo,simpo
""",
}

_WORDS = {
    "run": "suite=SUITE losses=LOSS,LOSS [KEY=VALUE ...]",
    "plan": "suite=SUITE losses=LOSS,LOSS [KEY=VALUE ...]",
    "evaluate": "model=MODEL,MODEL reference=MODEL suite=SUITE [KEY=VALUE ...]",
    "pairs": "suite=SUITE|prompts=FILE to=FILE.jsonl [KEY=VALUE ...]",
    "report": "[PATH] [tables=latex,markdown,csv] [metrics=COLUMN,COLUMN] [figures=svg,png]",
    "compare": "[PATH [PATH]] [loss=LOSS,LOSS] [against=LOSS] [metric=COLUMN] [search=ID|none]",
    "verify": "[PATH] [rerun=CELL [KEY=VALUE ...]]",
    "export": "CELL|best [PATH] [format=trl]",
    "list": f"{{{'|'.join(KINDS)}}} [NAME]",
    "reproduce": "{NAME|all|list} [KEY=VALUE ...]",
}

_NOTES = {
    "run": "Finished cells are kept: the same command again trains nothing and prints the same table.\n"
    "Exit code 0: all cells done; 1: a cell failed; 2: the command could not be carried out.\n",
    "plan": "It takes the same words as run.\n",
    "evaluate": "A model is a folder of whole weights or of a LoRA adapter, or a hub id. Each is stored as a cell\n"
    "below runs/SUITE/, in a table of its own: what is not known of its training cannot be shared with cells that\n"
    "were trained here.\n",
    "pairs": "Beside FILE.jsonl lies FILE.provenance.json, which says what it was made of; suite=FILE.jsonl trains\n"
    "on it.\n",
    "report": "PATH is a folder of results (default: runs), one suite in it, or one cell. tables= writes the table of\n"
    "settings into PATH/tables, metrics= chooses its measures (`list metrics`), figures= writes every figure into\n"
    "PATH/figures.\n",
    "compare": "PATH is as for report. Without loss= every pair of settings is compared, baselines left out; against=\n"
    "names the loss to compare the others with. Below 3 seeds of each side there is no claim. After a search with\n"
    "confirmation seeds, those cells alone are compared (of the last search; search=ID names another, none takes all\n"
    "cells).\n"
    "Of two paths the cells that both hold stand side by side, and what may be ranked together is.\n",
    "verify": "PATH is a folder of results (default: runs), one suite in it, or one cell. Metrics are derived again\n"
    "from each cell's pair table. rerun=CELL trains one cell again from its recorded command into a temporary folder\n"
    "and compares; further words replace recorded ones (suite.path=, where the data has moved).\n"
    "Exit code 0: all as it should be; 1: something was found; 2: nothing could be verified.\n",
    "export": "CELL is a cell's folder, its id, or `best`: the highest validation accuracy\n"
    "below PATH (default: runs).\n"
    "The settings go to stdout, what they cannot express to stderr.\n",
    "list": "",
    "reproduce": "rows= chooses rows (by name, or by its first word); path= is a file or folder of yours;\n"
    "groups=1,3 limits `all`; format=markdown; out= (default runs/reproduce), model= and seeds= are for recipes that\n"
    "train.\n"
    "Exit code 0: all figures match; 1: one does not; 2: something is missing, and is named.\n",
}


def overview() -> str:
    """The help without a verb."""
    verbs = "\n".join(f"  {verb:<10}{meaning}" for verb, meaning in VERBS.items())
    return (
        "Compare preference-optimization losses on your model and data: everything equal but the loss.\n\n"
        "usage: python -m harness VERB [WORD ...]\n\n"
        f"{verbs}\n\n"
        f"`python -m harness VERB --help` explains a verb. To begin:\n\n{_first_line(_EXAMPLES['run'])}\n"
    )


def of_verb(verb: str) -> str:
    """The help of one verb; for run, plan, evaluate and pairs with every key and its default."""
    parts = [
        f"{verb}: {VERBS[verb]}\n",
        f"usage: python -m harness {verb} {_WORDS[verb]}\n",
        _NOTES[verb],
        f"examples:\n{_EXAMPLES[verb]}",
    ]
    if verb in ("run", "plan"):
        parts.append(listing(["options"]))
    if verb == "evaluate":
        parts.append(option_table(evaluate_cards()))
    if verb == "pairs":
        parts.append(option_table(cards(PairsOptions)))
    return "\n".join(part for part in parts if part)


def unknown_verb(verb: str) -> str:
    """The sentence for a verb that does not exist."""
    return unknown("verb", verb, VERBS) + " `python -m harness --help` explains them."


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]

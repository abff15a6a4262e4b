"""The help texts: what each verb does, its keys with their defaults, and examples to copy."""

from __future__ import annotations

from harness.listing import KINDS, listing, option_table
from harness.pairs_options import PairsOptions
from harness.values import unknown

VERBS = {
    "run": "train and measure every cell of a sweep, then write the report",
    "plan": "show what run would do, and its estimated cost; trains nothing",
    "pairs": "let a model answer prompts, rate the answers, and write them as pairs to train on",
    "report": "write the report of finished cells again, and print its table",
    "list": "show what there is to choose from",
}

_EXAMPLES = {
    "run": """\
  python -m harness run suite=imdb-sentiment losses=dpo,ipo
  python -m harness run suite=hh-rlhf suite.subset=helpful-base losses=dpo,ipo,kto,simpo,orpo seeds=0,1,2
  python -m harness run suite=my_pairs.jsonl losses=dpo,mine plugins=my_loss.py betas=grid
  python -m harness run suite=hh-rlhf losses=dpo,simpo dpo.beta=0.01,0.1 simpo.gamma_beta_ratio=grid
""",
    "plan": """\
  python -m harness plan suite=hh-rlhf losses=dpo,ipo betas=grid seeds=0,1,2
""",
    "pairs": """\
  python -m harness pairs suite=imdb-sentiment n=4 score=gold to=film.jsonl
  python -m harness pairs prompts=my_prompts.csv score=implicit:runs/hh-rlhf/dpo-0a1b2c3d4e5f keep=all to=mine.jsonl
""",
    "report": """\
  python -m harness report
  python -m harness report runs/hh-rlhf
""",
    "list": """\
  python -m harness list losses
  python -m harness list losses simpo
  python -m harness list losses parity
  python -m harness list losses plugins=my_loss.py
  python -m harness list options betas
""",
}

_WORDS = {
    "run": "suite=SUITE losses=LOSS,LOSS [KEY=VALUE ...]",
    "plan": "suite=SUITE losses=LOSS,LOSS [KEY=VALUE ...]",
    "pairs": "suite=SUITE|prompts=FILE to=FILE.jsonl [KEY=VALUE ...]",
    "report": "[PATH]",
    "list": f"{{{'|'.join(KINDS)}}} [NAME]",
}

_NOTES = {
    "run": "Finished cells are kept: the same command again trains nothing and prints the same table.\n"
    "Exit code 0: all cells done; 1: a cell failed; 2: the command could not be carried out.\n",
    "plan": "It takes the same words as run.\n",
    "pairs": "Beside FILE.jsonl lies FILE.provenance.json, which says what it was made of; suite=FILE.jsonl trains\n"
    "on it.\n",
    "report": "PATH is a folder of results (default: runs), one suite in it, or one cell.\n",
    "list": "",
}


def overview() -> str:
    """The help without a verb."""
    verbs = "\n".join(f"  {verb:<8}{meaning}" for verb, meaning in VERBS.items())
    return (
        "Compare preference-optimization losses on your model and data: everything equal but the loss.\n\n"
        "usage: python -m harness VERB [WORD ...]\n\n"
        f"{verbs}\n\n"
        f"`python -m harness VERB --help` explains a verb. To begin:\n\n{_first_line(_EXAMPLES['run'])}\n"
    )


def of_verb(verb: str) -> str:
    """The help of one verb; for run, plan and pairs with every key and its default."""
    parts = [
        f"{verb}: {VERBS[verb]}\n",
        f"usage: python -m harness {verb} {_WORDS[verb]}\n",
        _NOTES[verb],
        f"examples:\n{_EXAMPLES[verb]}",
    ]
    if verb in ("run", "plan"):
        parts.append(listing(["options"]))
    if verb == "pairs":
        parts.append(option_table(PairsOptions))
    return "\n".join(part for part in parts if part)


def unknown_verb(verb: str) -> str:
    """The sentence for a verb that does not exist."""
    return unknown("verb", verb, VERBS) + " `python -m harness --help` explains them."


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]

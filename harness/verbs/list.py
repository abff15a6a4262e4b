"""`list`: what there is to choose from, as aligned text, and one card for one name.

Each kind imports only what it shows: suites, models, metrics and options completion without torch or pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.options.cards import cards
from harness.options.models import DEFAULT_MAX_TOKENS, ENTRIES
from harness.options.parsers import unknown
from harness.options.words import AXIS, LIST, SCALAR, split
from harness.text_tables import card, table

if TYPE_CHECKING:
    from harness.options.cards import OptionCard
    from losses import Loss
    from results.schema.row import Column
    from suites import SuiteEntry


def listing(argv: Sequence[str]) -> str:
    """The text for the words after `list`: a kind, and at most one name of that kind.

    Raises: UsageError for an unknown kind or name, or words that a kind does not take.
    """
    words = split(argv, {"plugins": LIST}, dotted=False)
    if words.errors:
        raise UsageError(words.errors)
    if not words.bare:
        return "Kinds: " + ", ".join(KINDS) + "\nWrite `list KIND`, or `list KIND NAME` for one of them.\n"
    kind, *names = words.bare
    if kind not in KINDS:
        raise UsageError([unknown("kind", kind, KINDS)])
    if len(names) > 1:
        raise UsageError([f"`list {kind}` takes at most one name, seen {' '.join(argv[1:])!r}"])
    plugins = tuple(words.values.get("plugins", ()))
    if plugins and kind != "losses":
        raise UsageError([f"plugins= adds losses; it does nothing for `list {kind}`"])
    return KINDS[kind](names[0] if names else None, plugins)


def _losses(name: str | None, plugins: tuple[str, ...]) -> str:
    """All losses, or the contract of one."""
    import losses

    if name == "parity":
        if plugins:
            raise UsageError(["plugins= adds losses, but `list losses parity` compares the built-in ones"])
        from harness.verbs.parity import parity

        return parity()
    try:
        losses.load_entry_points()
        for plugin in plugins:
            losses.load_plugin(plugin)
        if name is not None:
            return _loss_card(losses.named(name))
    except (ValueError, FileNotFoundError, LookupError) as error:
        raise UsageError([str(error)]) from error
    rows = []
    for loss in map(losses.get, losses.names()):
        defaults = " ".join(f"{key}={value:g}" for key, value in loss.defaults.items())
        needs = ", ".join(sorted({need.partition(":")[0] for need in loss.needs})) or "-"
        rows.append((loss.name, loss.kind, defaults or "-", needs, loss.formula or "-"))
    shown = table(("loss", "kind", "defaults", "needs", "formula"), rows, cut=True)
    return shown + "\n`list losses NAME` prints the whole card, `list losses parity` compares with other libraries.\n"


def _needs(loss: Loss) -> str:
    return ", ".join(sorted(loss.needs)) or "-"


def _loss_card(loss: Loss) -> str:
    """A loss's contract: what it takes, needs and declares, and what running it shows."""
    from harness.verbs.loss_card import measured
    from losses.checks.card import letters

    return card(
        loss.name,
        [
            ("kind", loss.kind),
            ("needs", _needs(loss)),
            ("formula", loss.formula),
            ("letters", letters(loss)),
            ("paper", loss.paper),
            ("defaults", _named(loss.defaults)),
            ("literature grid", _named({key: _numbers(values) for key, values in loss.grid.items()})),
            *((f"grid of {entry.name}", _entry_grid(entry.grid, loss.name)) for entry in ENTRIES.values()),
            ("lr_scale", f"{loss.lr_scale:g}: its learning rate, relative to the model's own"),
            ("reward", f"{loss.reward}: the reward under which it ranks completions itself"),
            ("batch coupled", "yes: evaluated on the whole optimizer batch" if loss.batch_coupled else "no"),
            ("terms", ", ".join(loss.terms)),
            ("verified", loss.verified),
            ("plug-in", loss.origin or ""),
            *measured(loss),
        ],
    )


def _entry_grid(grid: Mapping[str, Mapping[str, tuple[float, ...]]], loss: str) -> str:
    return _named({key: _numbers(values) for key, values in grid.get(loss, {}).items()})


def _suites(name: str | None, _: tuple[str, ...]) -> str:
    """All suites, or one with its settings."""
    import suites

    if name is None:
        rows = [(entry.name, entry.hub or "", entry.description) for entry in map(suites.get, suites.names())]
        rows.append(("FILE", "", f"pairs of your own: a file ending in {', '.join(suites.FILE_ENDINGS)}"))
        rows.append(("NAME*0.7+NAME*0.3", "", "a mixture, by shares of the rows; settings are written suite.NAME.KEY="))
        return table(("suite", "hub id", "what it is"), rows)
    try:
        return _suite_card(suites.get(name))
    except suites.SuiteError as error:
        raise UsageError([str(error)]) from error


def _suite_card(entry: SuiteEntry) -> str:
    settings = [f"suite.{key}={'...' if value is None else value}" for key, value in entry.settings.items()]
    return card(
        entry.name,
        [("what it is", entry.description), ("hub id", entry.hub or ""), ("settings", "  ".join(settings))],
    )


def _models(name: str | None, _: tuple[str, ...]) -> str:
    """All models known by name, or one."""
    if name is not None and name not in ENTRIES:
        raise UsageError([unknown("model", name, ENTRIES) + " model= also takes a folder or a hub id."])
    if name is not None:
        entry = ENTRIES[name]
        grid = [(f"grid of {loss}", _entry_grid(entry.grid, loss)) for loss in entry.grid]
        return card(
            name,
            [
                ("what it is", entry.description),
                ("learning rate", f"{entry.lr:g}"),
                ("max_tokens", str(entry.max_tokens)),
                *grid,
            ],
        )
    rows = [(e.name, f"{e.lr:g}", str(e.max_tokens), e.description) for e in ENTRIES.values()]
    limit = str(DEFAULT_MAX_TOKENS)
    rows.append(("FOLDER", "by size", limit, "a transformers folder with safetensors"))
    rows.append(("HUB-ID", "by size", limit, "a model of the hub, as owner/name"))
    return table(("model", "lr", "max_tokens", "what it is"), rows)


def _metrics(name: str | None, _: tuple[str, ...]) -> str:
    """The columns of a row, of a pair and of a curve, or one of them."""
    from results.schema import row as own
    from results.schema import tables as side
    from results.schema.column import LETTERS

    pairs = (*own.PAIR_COLUMNS, *own.OPTIONAL_PAIR_COLUMNS, own.SOURCE)
    groups = {
        "Columns of results.read(...), one row a cell": own.ROW_COLUMNS,
        "Columns of results.pairs(...), one row a held-out pair": pairs,
        "Columns of results.curves(...), one row a logged step": own.CURVE_COLUMNS,
        "Columns of a verdict table, one row a judged pair of completions": side.VERDICT_COLUMNS,
        "Columns of results.compare(...), one row a comparison": side.COMPARISON_COLUMNS,
        "Columns of results.across(...), one row a cell that two folders hold": side.ACROSS_COLUMNS,
        "Columns of results.tuning.best_of_n(...), one row a loss and number of trials": side.TUNING_COLUMNS,
        "Columns of results.exponents.exponents(...), one row a loss": side.EXPONENT_COLUMNS,
    }
    if name is None:
        tables = [f"{title}\n\n{_column_table(columns)}" for title, columns in groups.items()]
        further = [(own.of_source(name, "SOURCE"), f"{name} of one source's test rows") for name in own.BY_SOURCE]
        rest = table(("further columns of a mixture's row", "meaning"), further)
        return "\n".join([table((LETTERS,), ()), *tables, rest])
    found = {title: column for title, columns in groups.items() for column in columns if column.name == name}
    if not found:
        known = list(dict.fromkeys(column.name for columns in groups.values() for column in columns))
        raise UsageError([unknown("metric", name, known)])
    cards = [
        [("where", title), ("meaning", c.meaning), ("unit", c.unit), ("better", c.better), ("type", c.dtype)]
        for title, c in found.items()
    ]
    return "\n".join([*(card(name, fields) for fields in cards), table((LETTERS,), ())])


def _column_table(columns: Sequence[Column]) -> str:
    better = {"up": "up", "down": "down", "none": ""}
    rows = [(column.name, better[column.better], column.unit, column.meaning) for column in columns]
    return table(("column", "better", "unit", "meaning"), rows)


def _options(name: str | None, _: tuple[str, ...]) -> str:
    """All keys of `run` and `plan`, or one."""
    by_name = {option.name: option for option in cards()}
    if name is None:
        return option_table(cards()) + "\n" + DOTTED
    if name not in by_name:
        raise UsageError([unknown("key", name, by_name)])
    option = by_name[name]
    return card(
        name,
        [
            ("meaning", option.meaning),
            ("default", option.default),
            ("allowed", option.allowed),
            ("a comma", COMMA[option.kind]),
        ],
    )


def option_table(keys: Sequence[OptionCard]) -> str:
    """The keys of a verb's options as a table."""
    commas = {AXIS: "axis", LIST: "list", SCALAR: ""}
    rows = [(c.name, c.default, commas[c.kind], c.allowed, c.meaning) for c in keys]
    return table(("key", "default", "comma", "allowed", "meaning"), rows)


def _judges(name: str | None, _: tuple[str, ...]) -> str:
    """All kinds of judges with their settings, or one kind."""
    from harness.verbs import list_judges

    kinds = {kind.name: kind for kind in list_judges.KINDS.values()}
    if name is not None and name not in kinds:
        raise UsageError([unknown("judge", name, kinds)])
    if name is not None:
        kind = kinds[name]
        return card(name, [("written", kind.form), ("what it is", kind.meaning), ("needs", kind.needs)])
    settings = table(list_judges.SETTING_HEADINGS, list_judges.setting_rows())
    return f"{table(list_judges.JUDGE_HEADINGS, list_judges.judge_rows())}\n{settings}"


def _tasks(name: str | None, _: tuple[str, ...]) -> str:
    """All tasks of lm_eval=, or one."""
    from harness.verbs import list_judges

    rows = {row[0]: row for row in list_judges.task_rows()}
    if name is not None and name not in rows:
        raise UsageError([unknown("task", name, rows)])
    return table(list_judges.TASK_HEADINGS, [rows[name]] if name else list(rows.values()))


def _recipes(name: str | None, _: tuple[str, ...]) -> str:
    """All published tables that can be reproduced, or one; a recipe for the hub with its protocol and commands."""
    from harness.reproduce.catalogue import GROUPS, recipes
    from harness.reproduce.hub import recipe as hub
    from harness.verbs.reproduce import listing as all_recipes

    if name is None:
        return all_recipes(table)
    if name not in recipes():
        raise UsageError([unknown("recipe", name, recipes())])
    recipe = recipes()[name]
    return card(
        name,
        [
            ("what it shows", recipe.what),
            ("published in", recipe.paper),
            ("group", f"{recipe.group}: {GROUPS[recipe.group]}"),
            ("needs", recipe.needs),
            ("time", recipe.time),
            *(hub.card(name) if recipe.group == 4 else []),
        ],
    )


COMMA = {
    AXIS: "makes an axis: each value gives its own cells",
    LIST: "makes a list: all values act together",
    SCALAR: "is an error: one value only",
}

DOTTED = """\
A comma makes an axis (each value gives its own cells) or a list (all values act together).

suite.KEY=VALUE           a setting of the suite: `list suites NAME`; those above act on any suite
suite.PART.KEY=VALUE      a setting of one part of a mixture (suite=NAME*0.7+NAME*0.3): its name, or 1, 2 ...
judge.KEY=VALUE           a setting of the judges: `list judges`
LOSS.KEY=VALUE,VALUE      values for one loss: its hyper-parameters, or lrs; grid = its declared grid
"""


def _named(values: Mapping[str, object]) -> str:
    return "  ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


KINDS: dict[str, Callable[[str | None, tuple[str, ...]], str]] = {
    "losses": _losses,
    "suites": _suites,
    "models": _models,
    "metrics": _metrics,
    "options": _options,
    "judges": _judges,
    "tasks": _tasks,
    "recipes": _recipes,
}


def main(argv: Sequence[str]) -> int:
    """Prints what there is to choose from; the exit code. Raises: UsageError."""
    print(listing(argv), end="")
    return 0

"""Settings: what was chosen for a run but its seed. Means over the seeds of each, and a metric over beta and lr.

results.settings.means(runs, ["preference_accuracy", "kl"])     # one row a setting
results.settings.surface(runs, "preference_accuracy")           # one row a loss, beta and lr
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.schema.row import KNOBS

if TYPE_CHECKING:
    import pandas as pd

SETTING: tuple[str, ...] = ("protocol", "loss", "hyperparameters", "lr", *KNOBS, "trained_model")
"""The columns that the seeds of one setting share; for `trained_model` see `named`."""

_CARRIED = ("control", "beta", "reward")


def keys(runs: "pd.DataFrame") -> list[tuple[Any, ...]]:
    """One hashable key a row, equal for the seeds of a setting; missing values are None."""
    import pandas as pd

    runs = named(runs)
    found = [
        runs[name].astype(object).where(pd.notna(runs[name]), None) if name in runs.columns else [None] * len(runs)
        for name in SETTING
    ]
    return list(zip(*found, strict=True))


def named(runs: "pd.DataFrame") -> "pd.DataFrame":
    """The rows with the name of an external checkpoint only where it is a setting of its own: where no seed says that
    it is one of several runs."""
    names = {"trained_model", "trained_model_revision"} & set(runs.columns)
    return runs.assign(**{name: runs[name].where(runs["seed"].isna()) for name in names})


def means(runs: "pd.DataFrame", columns: Sequence[str]) -> "pd.DataFrame":
    """The finished cells averaged over seeds: one row a setting, in the order in which settings first appear.

    Columns: those of SETTING, control, beta, reward, seeds (how many), and of each asked column its mean, `<column>_se`
    (the mean of the cells' errors: all seeds are measured on the same rows, so more seeds do not shorten it),
    `<column>_low` and `<column>_high` (over seeds). A cell without a value does not count.
    Raises: KeyError for a column that the runs lack.
    """
    import pandas as pd

    done = runs[runs["status"] == "done"].reset_index(drop=True)
    of = keys(done)
    places = {key: place for place, key in enumerate(dict.fromkeys(of))}
    codes = pd.Series([places[key] for key in of], dtype="int64")
    first = done[~codes.duplicated()].reset_index(drop=True)
    parts: dict[str, Any] = {name: [key[place] for key in places] for place, name in enumerate(SETTING)}
    parts |= {name: first[name] for name in _CARRIED if name in done.columns}
    seeds = done["seed"].groupby(codes).nunique().clip(lower=1) if "seed" in done.columns else None
    parts["seeds"] = codes.groupby(codes).size() if seeds is None else seeds
    for name in columns:
        values = done[name].astype("float64").groupby(codes)
        error = f"{name}_se"
        errors = done[error].astype("float64").groupby(codes).mean() if error in done.columns else float("nan")
        parts |= {name: values.mean(), error: errors, f"{name}_low": values.min(), f"{name}_high": values.max()}
    made = [name + end for name in columns for end in ("", "_se", "_low", "_high")]
    shown = list(dict.fromkeys([*SETTING, *_CARRIED, "seeds", *made]))
    return pd.DataFrame(parts, columns=shown, index=range(len(places)))


def surface(runs: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    """A metric over beta and lr: one row a protocol, loss, equal data perturbations, beta and lr, baselines left out.

    Columns: protocol, loss, the data perturbations, beta (missing for a loss without one), lr, value (mean over the
    settings that share them, so over further hyper-parameters and seeds), settings and seeds (how many). Cells without
    the metric are left out.
    """
    import pandas as pd

    columns = ["protocol", "loss", *KNOBS, "beta", "lr"]
    found = means(runs, [metric])
    control = found["control"].fillna(False).astype(bool)
    found = found[found[metric].notna() & found["lr"].notna() & ~control]
    lines = [
        dict(zip(columns, key, strict=True))
        | {"value": same[metric].mean(), "settings": len(same), "seeds": int(same["seeds"].min())}
        for key, same in found.groupby(columns, sort=False, dropna=False)
    ]
    return pd.DataFrame(lines, columns=[*columns, "value", "settings", "seeds"])

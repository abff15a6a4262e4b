"""Toy tables small enough to check by hand."""

import pandas as pd
import pytest

from results.cells import store
from results.schema.row import CURVE_COLUMNS, names

# c, r, c0, r0, nc, nr                          a   d   h   a/nc  d/nr
FOUR_PAIRS = (
    (-10.0, -20.0, -12.0, -18.0, 4, 5),  # 2  -2   4   0.5  -0.4
    (-30.0, -20.0, -31.0, -20.0, 10, 4),  # 1   0   1   0.1   0
    (-8.0, -6.0, -6.0, -6.0, 4, 3),  # -2  0  -2  -0.5   0
    (-5.0, -5.0, -5.0, -5.0, 5, 5),  # 0   0   0   0     0
)


def pair_table(rows, clusters=None, split="test", step=4) -> pd.DataFrame:
    """A pair table from (c, r, c0, r0, nc, nr); every row is its own cluster unless given otherwise."""
    frame = pd.DataFrame(
        rows,
        columns=[
            "policy_chosen_logp",
            "policy_rejected_logp",
            "reference_chosen_logp",
            "reference_rejected_logp",
            "chosen_tokens",
            "rejected_tokens",
        ],
    )
    frame.insert(0, "pair_id", [f"pair-{place}" for place in range(len(frame))])
    frame.insert(1, "cluster_id", clusters if clusters is not None else frame["pair_id"])
    return frame.assign(split=split, step=step, prompt_tokens=7)


def swapped(pairs: pd.DataFrame) -> pd.DataFrame:
    """The same table with chosen and rejected exchanged."""
    other = {"chosen": "rejected", "rejected": "chosen"}
    return pairs.rename(columns=lambda name: "_".join(other.get(word, word) for word in name.split("_")))


def curve_table(steps: int = 2) -> pd.DataFrame:
    """A curve with every declared column."""
    values = {name: [0.5 * step for step in range(steps)] for name in names(CURVE_COLUMNS)}
    counts = {"step": range(1, steps + 1), "tokens": [100 * step for step in range(steps)]}
    return pd.DataFrame(values | counts | {"clipped": [step % 2 == 0 for step in range(steps)]})


@pytest.fixture
def four_pairs() -> pd.DataFrame:
    return pair_table(FOUR_PAIRS)


@pytest.fixture(name="pair_table", scope="session")
def pair_table_fixture():
    return pair_table


@pytest.fixture(name="swapped", scope="session")
def swapped_fixture():
    return swapped


@pytest.fixture(name="curve_table", scope="session")
def curve_table_fixture():
    return curve_table


@pytest.fixture
def stored(tmp_path, four_pairs):
    """stored("dpo", "c1", suite=..., **row): a finished cell under tmp_path/runs; returns its folder."""

    def write(loss, cell, suite="toy", pairs=four_pairs, curve=None, **row):
        folder = store.cell_folder(tmp_path / "runs", suite, loss, cell)
        store.write_cell(
            folder, cell={"loss": loss}, row={"loss": loss, "cell": cell, **row}, pairs=pairs, curve=curve, log="done\n"
        )
        return folder

    return write

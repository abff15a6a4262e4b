"""Where preferences come from: text pairs from public sets, packaged data and a user's own files.

Text only: no tokens, no tensors. Importing this package is cheap; readers of heavy formats and the hub
client are imported by the call that needs them. `suites.audit` says what is wrong with a loaded suite.
"""

from suites import audit, rewards
from suites.kind import Kind
from suites.load import load
from suites.mixture import Part, is_mixture, read_parts, settings_of, shares
from suites.pair import Example, Message, Pair, Suite, SuiteError, first_human_turn
from suites.reading.records import FILE_ENDINGS
from suites.registry import SuiteEntry, get, names, register
from suites.sampled import Sampled
from suites.splits import cluster_of, split_of

# Each of these registers itself.
from suites.packaged import imdb_sentiment, persona, sentiment  # noqa: F401  isort: skip
from suites.public import (  # noqa: F401  isort: skip
    helpsteer2,
    helpsteer3,
    hh_rlhf,
    kto_mix,
    llmbar,
    oasst,
    orca_dpo_pairs,
    pandalm,
    shp,
    tldr,
    tulu3,
    ultrafeedback,
    webgpt,
)

__all__ = [
    "FILE_ENDINGS",
    "Example",
    "Kind",
    "Message",
    "Pair",
    "Part",
    "Sampled",
    "Suite",
    "SuiteEntry",
    "SuiteError",
    "audit",
    "cluster_of",
    "first_human_turn",
    "get",
    "is_mixture",
    "load",
    "names",
    "read_parts",
    "register",
    "rewards",
    "settings_of",
    "shares",
    "split_of",
]

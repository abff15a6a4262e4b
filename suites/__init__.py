"""Where preferences come from: text pairs from public sets, packaged data and a user's own files.

Text only: no tokens, no tensors. Importing this package is cheap; readers of heavy formats and the hub
client are imported by the call that needs them. `suites.audit` says what is wrong with a loaded suite.
"""

from suites import audit, rewards
from suites import hh_rlhf as _hh_rlhf  # noqa: F401  (registers itself)
from suites import imdb_sentiment as _imdb_sentiment  # noqa: F401  (registers itself)
from suites.pair import Example, Message, Pair, Suite, SuiteError, first_human_turn
from suites.reading import FILE_ENDINGS
from suites.registry import SuiteEntry, get, load, names, register
from suites.sampled import Sampled
from suites.splits import cluster_of, split_of

__all__ = [
    "FILE_ENDINGS", "Example", "Message", "Pair", "Sampled", "Suite", "SuiteEntry", "SuiteError",
    "audit", "cluster_of", "first_human_turn", "get", "load", "names", "register", "rewards", "split_of",
]  # fmt: skip

"""One measurement in a process of its own: a JSON specification in, one JSON line out.

    python -m benchmarks.worker '{"side": "ours", "words": ["suite=imdb-sentiment", ...], ...}'

side    "ours", "trl fastest", "trl defaults" (a training run), "trl cells" (cells of a sweep), "products"
words   options of the harness, the same for every side
share   synthetic rows with this share of prompt tokens among `tokens`, in place of the suite's
micro   pairs of TRL's micro-batch at its fastest settings
cells   of "trl cells": [loss, beta, lr] each
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys

# The other side's library is imported only in its own processes: it would count in our memory.
SIDES = {
    "ours": ("ours", "step"),
    "trl fastest": ("peer", "step"),
    "trl defaults": ("peer", "step"),
    "trl cells": ("peer_cells", "cells"),
    "products": ("products", "products"),
}


def main(text: str) -> None:
    """Carries out the specification and prints the JSON line; whatever else is printed goes to stderr."""
    spec = json.loads(text)
    module, function = SIDES[spec["side"]]
    with contextlib.redirect_stdout(sys.stderr):
        from benchmarks.task import machine_of, prepare

        task = prepare(spec)
        measure = getattr(importlib.import_module(f"benchmarks.{module}"), function)
        found = measure(task) | {"machine": machine_of(task)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])

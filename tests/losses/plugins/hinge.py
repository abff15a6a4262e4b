"""A pairwise plug-in of eight lines."""

import losses


@losses.register("my_hinge", needs={"reference"}, reward="log_ratio")
def my_hinge(pair: losses.PairBatch, *, beta: float = 0.1):
    margin = pair.chosen_log_ratio - pair.rejected_log_ratio
    return (1.0 - beta * margin).relu()

"""A plug-in that reduces its values itself."""

import losses


@losses.register("bad_scalar")
def bad_scalar(pair: losses.PairBatch):
    return -pair.chosen.mean.mean()

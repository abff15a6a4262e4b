"""A plug-in that averages over the batch without saying so."""

import torch.nn.functional as F

import losses


@losses.register("bad_batch_mean", needs={"reference"})
def bad_batch_mean(pair: losses.PairBatch, *, beta: float = 0.1):
    margin = pair.chosen_log_ratio - pair.rejected_log_ratio
    return -F.logsigmoid(beta * (margin - margin.mean()))

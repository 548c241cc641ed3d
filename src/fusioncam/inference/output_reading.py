"""Recognise what a network returns, logits or probabilities, and read it as logits."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from fusioncam.errors import FusionCamWarning

LOGITS = "logits"
SOFTMAX = "probabilities that sum to 1"
SIGMOIDS = "sigmoids"
ONE_OUTPUT = "one output"

_WARNINGS = {
    SOFTMAX: "the outputs of the network are probabilities (each row sums to 1): their logarithms are used as logits",
    SIGMOIDS: (
        "the network ends with a sigmoid, and its outputs in [0, 1] are read as logits, so the reported "
        "probabilities are wrong: return the values before the sigmoid, and wrap the network in "
        "fusioncam.tasks.MultiLabel to explain one label"
    ),
    ONE_OUTPUT: (
        "the network has one output, which is read as the logit of a yes or no question: its probability is the "
        "sigmoid. Wrap the network in fusioncam.tasks.MultiLabel to explain 'no' too, or in "
        "fusioncam.tasks.Regression if the output is a quantity"
    ),
}


def recognise(network: nn.Module, outputs: Tensor) -> str:
    """Return what the outputs ``(N, classes)`` of the network are: one of the constants of this module."""
    if outputs.shape[1] == 1:
        return ONE_OUTPUT
    if outputs.is_meta:  # no values to look at
        return LOGITS
    values = outputs.detach().float()
    if not ((values >= 0) & (values <= 1)).all():
        return LOGITS
    tolerance = 1e-4 if outputs.dtype in (torch.float32, torch.float64) else 2e-2
    if ((values.sum(1) - 1).abs() <= tolerance).all():
        return SOFTMAX
    # values alone do not tell: the logits of an untrained network may all be within [0, 1]
    return SIGMOIDS if _ends_with_sigmoid(network) else LOGITS


def warn_about(reading: str) -> None:
    """Warn about outputs that are not one logit per class."""
    if reading in _WARNINGS:
        warnings.warn(_WARNINGS[reading], FusionCamWarning, stacklevel=2)


def as_logits(outputs: Tensor, reading: str) -> Tensor:
    """Return logits ``(N, classes)``: the logarithms of softmax probabilities, and anything else as it is."""
    if reading != SOFTMAX:
        return outputs
    probabilities = outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


def _ends_with_sigmoid(network: nn.Module) -> bool:
    return isinstance(list(network.modules())[-1], nn.Sigmoid)

"""Recognise what a network returns, logits or probabilities, and read it as logits."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from fusioncam.errors import FusionCamWarning
from fusioncam.inference.output_origin import FollowedPass

LOGITS = "logits"
LOG_PROBABILITIES = "logarithms of probabilities"
SOFTMAX = "probabilities that sum to 1"
SIGMOIDS = "sigmoids"
ONE_OUTPUT = "the logit of a yes or no question"
ONE_SIGMOID = "the probability of a yes or no question"

WARNINGS = {
    SOFTMAX: "the outputs of the network are probabilities (each row sums to 1): their logarithms are used as logits",
    SIGMOIDS: (
        "the outputs of the network are sigmoids, in [0, 1]: the values before the sigmoid are used as logits, and "
        "the reported probabilities, which sum to 1, are not the network's own. Wrap the network in "
        "fusioncam.tasks.MultiLabel to explain one label by its own probability"
    ),
    ONE_OUTPUT: (
        "the network has one output, which is read as the logit of a yes or no question: its probability is the "
        "sigmoid. Wrap the network in fusioncam.tasks.MultiLabel to explain 'no' too, or in "
        "fusioncam.tasks.Regression if the output is a quantity"
    ),
    ONE_SIGMOID: (
        "the network has one output, a sigmoid, which is read as the probability of 'yes'. Wrap the network in "
        "fusioncam.tasks.MultiLabel to explain 'no' too"
    ),
}


class OutputReader:
    """Read the outputs of a network as logits; the first pass decides how, and ``reading`` is the decision."""

    def __init__(self, *, warns: bool = True) -> None:
        self.reading: str | None = None
        self._warns = warns

    def logits(self, compute: Callable[[], Tensor], x: Tensor) -> Tensor:
        """Return the logits of the outputs ``(N, classes, ...)`` that ``compute`` returns for the input ``x``."""
        outputs, reading = self._read(compute, x)
        return as_logits(outputs, reading)

    def log_odds(self, compute: Callable[[], Tensor], x: Tensor) -> Tensor:
        """Return the same for labels that do not exclude each other: the sigmoids are their probabilities."""
        outputs, reading = self._read(compute, x)
        return as_logits(outputs, SIGMOIDS if reading == SOFTMAX else reading)

    def _read(self, compute: Callable[[], Tensor], x: Tensor) -> tuple[Tensor, str]:
        if self.reading is not None:
            return compute(), self.reading
        with FollowedPass(x) as followed:
            outputs = compute()
        rows = outputs.movedim(1, -1).reshape(-1, outputs.shape[1])
        self.reading = recognise(rows, sigmoids=followed.is_of_sigmoids(outputs))
        if self._warns and self.reading in WARNINGS:
            warnings.warn(WARNINGS[self.reading], FusionCamWarning, stacklevel=2)
        return outputs, self.reading


def recognise(outputs: Tensor, *, sigmoids: bool) -> str:
    """Return what the outputs ``(N, classes)`` are: one of the constants of this module.

    ``sigmoids`` is whether the network computed them by sigmoids: the values alone do not show it, because logits may
    all be within [0, 1] too.
    """
    if outputs.is_meta:  # no values to look at
        return ONE_OUTPUT if outputs.shape[1] == 1 else LOGITS
    values = outputs.detach().float()
    within = bool(((values >= 0) & (values <= 1)).all())
    if outputs.shape[1] == 1:
        return ONE_SIGMOID if within and sigmoids else ONE_OUTPUT
    if within and _sum_to_1(values, outputs.dtype):
        return SOFTMAX
    if within and sigmoids:
        return SIGMOIDS
    return LOG_PROBABILITIES if _sum_to_1(values.exp(), outputs.dtype) else LOGITS


def as_logits(outputs: Tensor, reading: str) -> Tensor:
    """Return logits of the shape of the outputs: the logarithms or log-odds of probabilities, others as they are."""
    if reading not in (SOFTMAX, SIGMOIDS, ONE_SIGMOID):
        return outputs
    probabilities = outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
    limits = torch.finfo(probabilities.dtype)
    if reading == SOFTMAX:
        return probabilities.clamp_min(limits.tiny).log()
    probabilities = probabilities.clamp(limits.tiny, 1 - limits.eps)
    return probabilities.log() - (-probabilities).log1p()


def _sum_to_1(probabilities: Tensor, dtype: torch.dtype) -> bool:
    tolerance = 1e-4 if dtype in (torch.float32, torch.float64) else 2e-2
    return bool(((probabilities.sum(1) - 1).abs() <= tolerance).all())

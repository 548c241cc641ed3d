"""Gaussian process regression for few points: prediction, and the choice of the next points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

# grid of kernels: lengths in units of the root mean squared distance, noise in units of the variance of the values
_LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_NOISES = (1e-6, 1e-3, 1e-2, 1e-1, 0.5)

# a process that fits its few values without noise still errs, so points are chosen with at least this much noise
_LEAST_NOISE = 1e-2


class Kernel(NamedTuple):
    """Covariance of values as a function of the distance of their points, and the share of noise."""

    length: float = 1.0
    noise: float = 1e-1

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the covariances ``(A, B)`` of points ``(A, D)`` and ``(B, D)``, without noise.

        Matérn of order 3/2 (Rasmussen and Williams 2006, eq. 4.17), because scores are not infinitely smooth.
        """
        scaled = torch.cdist(first, second) * (3**0.5 / self.length)
        return (1 + scaled) * torch.exp(-scaled)


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread for small matrices, for which synchronising several takes longer than the computation."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def choose(points: Tensor, effects: Tensor, known: Tensor, count: int, kernel: Kernel) -> Tensor:
    """Choose ``count`` of the unknown points ``(K, D)`` that reduce the uncertainty of the map most; return ``(K,)``.

    ``effects`` ``(K, P)`` is the effect of an error of each value on the map. Points are chosen greedily: the next
    one reduces the trace of the map's posterior covariance most. The Cholesky factor is extended by a column per
    point.
    """
    noise = max(kernel.noise, _LEAST_NOISE)
    covariance = kernel(points, points)
    if known.any():
        factor = torch.linalg.cholesky(covariance[known][:, known] + noise * torch.eye(int(known.sum())).to(points))
        half = torch.linalg.solve_triangular(factor, covariance[known], upper=False)
        covariance = covariance - half.T @ half
    variance, map_covariance = covariance.diagonal().clone(), effects.T @ covariance
    chosen, columns = torch.zeros_like(known), points.new_zeros(count, len(points))
    for step in range(count):
        reduction = map_covariance.square().sum(0) / (variance.clamp(min=0) + noise)
        best = int(reduction.masked_fill(chosen | known, -1).argmax())
        chosen[best] = True
        deviation = (variance[best].clamp(min=0) + noise).sqrt()
        columns[step] = (covariance[best] - columns[:step, best] @ columns[:step]) / deviation
        map_covariance = map_covariance - torch.outer(map_covariance[:, best] / deviation, columns[step])
        variance = variance - columns[step].square()
    return chosen


@one_thread()
def predict(known: Tensor, values: Tensor, query: Tensor) -> tuple[Tensor, Kernel]:
    """Predict values ``(A,)`` at query points ``(A, D)`` from values ``(B,)`` at known points ``(B, D)``.

    The prediction is the mean of a Gaussian process. Of a small grid of kernels, for points with distances of about
    1, the one with the highest likelihood of the values is used and returned. (Rasmussen and Williams 2006, eq. 2.25
    and 2.30, with the amplitude that maximises the likelihood.)
    """
    mean, deviation = values.mean(), values.std(correction=0)
    if deviation == 0:
        return mean.expand(len(query)), Kernel()
    y = (values - mean) / deviation
    fits = []
    for length in _LENGTHS:
        covariance = Kernel(length)(known, known)
        fits += [(*_fit(y, covariance, noise), Kernel(length, noise)) for noise in _NOISES]
    _, weights, kernel = max(fits, key=lambda fit: fit[0])
    return mean + deviation * (kernel(query, known) @ weights), kernel


def _fit(y: Tensor, covariance: Tensor, noise: float) -> tuple[float, Tensor]:
    """Return the log likelihood of the values and the weights that predict other values."""
    factor, failed = torch.linalg.cholesky_ex(covariance + noise * torch.eye(len(y)).to(covariance))
    weights = torch.cholesky_solve(y[:, None], factor)[:, 0]
    likelihood = -len(y) / 2 * (y @ weights / len(y)).log() - factor.diagonal().log().sum()
    return (-torch.inf if failed else float(likelihood)), weights

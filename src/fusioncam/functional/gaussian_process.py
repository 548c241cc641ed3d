"""Gaussian processes of a few hundred points: predict values, and select the points to measure next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

# the grid of kernels: lengths in units of the root mean squared distance, noise in units of the values' variance
_LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_NOISES = (1e-6, 1e-3, 1e-2, 1e-1, 0.5)
# a process that fits its few values without noise is not exact: points are selected as if there were this much
_LEAST_NOISE = 1e-2


class Kernel(NamedTuple):
    """The covariance of two values by the distance of their points, and the share of noise in a value."""

    length: float = 1.0
    noise: float = 1e-1

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the covariances ``(A, B)`` of points ``(A, D)`` and ``(B, D)``.

        Matérn of order 3/2 (Rasmussen and Williams 2006, eq. 4.17), since scores are not infinitely smooth.
        """
        distance = torch.cdist(first, second) * (3**0.5 / self.length)
        return (1 + distance) * torch.exp(-distance)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread: for small matrices, threads spend more time on waiting than on computing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def select_points(points: Tensor, effects: Tensor, known: Tensor, count: int, kernel: Kernel) -> Tensor:
    """Select ``count`` of the unknown points ``(K, D)``, those that leave a map least uncertain, as ``(K,)``.

    ``effects`` ``(K, P)`` is the effect of each value's error on the map. Each next point is the one whose value
    reduces the trace of the map's posterior covariance most; the kernel matrix is decomposed along the way.
    """
    noise = max(kernel.noise, _LEAST_NOISE)
    covariance = kernel(points, points)
    if known.any():
        factor = torch.linalg.cholesky(covariance[known][:, known] + noise * torch.eye(int(known.sum())).to(points))
        half = torch.linalg.solve_triangular(factor, covariance[known], upper=False)
        covariance = covariance - half.T @ half
    variance, map_covariance = covariance.diagonal().clone(), effects.T @ covariance
    selected, columns = torch.zeros_like(known), points.new_zeros(count, len(points))
    for step in range(count):
        gain = map_covariance.square().sum(0) / (variance.clamp(min=0) + noise)
        best = int(gain.masked_fill(selected | known, -1).argmax())
        selected[best] = True
        size = (variance[best].clamp(min=0) + noise).sqrt()
        columns[step] = (covariance[best] - columns[:step, best] @ columns[:step]) / size
        map_covariance = map_covariance - torch.outer(map_covariance[:, best] / size, columns[step])
        variance = variance - columns[step].square()
    return selected


@one_thread()
def predict(known: Tensor, values: Tensor, points: Tensor) -> tuple[Tensor, Kernel]:
    """Predict values ``(A,)`` at points ``(A, D)`` from values ``(B,)`` at known points ``(B, D)``, by the mean.

    The distance of points should be about 1. The kernel, which is returned too, is the one of a small grid under
    which the values are most likely (Rasmussen and Williams 2006, eq. 2.25 and 2.30, with the best amplitude).
    """
    mean, spread = values.mean(), values.std(correction=0)
    if spread == 0:
        return mean.expand(len(points)), Kernel()
    y = (values - mean) / spread
    fits = []
    for length in _LENGTHS:
        covariance = Kernel(length)(known, known)
        fits += [(*_fit(y, covariance, noise), Kernel(length, noise)) for noise in _NOISES]
    _, weights, kernel = max(fits, key=lambda fit: fit[0])
    return mean + spread * (kernel(points, known) @ weights), kernel


def _fit(y: Tensor, covariance: Tensor, noise: float) -> tuple[float, Tensor]:
    """Return the log likelihood of the values, and the weights with which they predict other values."""
    factor, failed = torch.linalg.cholesky_ex(covariance + noise * torch.eye(len(y)).to(covariance))
    weights = torch.cholesky_solve(y[:, None], factor)[:, 0]
    likelihood = -len(y) / 2 * (y @ weights / len(y)).log() - factor.diagonal().log().sum()
    return (-torch.inf if failed else float(likelihood)), weights

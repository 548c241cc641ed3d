"""TODO."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

# of the kernel: its length in units of the root mean squared distance, its noise in units of the scores' variance
_LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


_NOISES = (1e-6, 1e-3, 1e-2, 1e-1, 0.5)


# a process that fits its few values without noise still errs: masks are chosen as if there were this much
_LEAST_NOISE = 1e-2


class Kernel(NamedTuple):
    """How alike the scores of two masks are by their distance, and how much of them is noise."""

    length: float = 1.0
    noise: float = 1e-1

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Give the covariances ``(A, B)`` of points ``(A, D)`` and ``(B, D)``.

        Matérn of order 3/2 (Rasmussen and Williams 2006, eq. 4.17): scores are not infinitely smooth.
        """
        away = torch.cdist(first, second) * (3**0.5 / self.length)
        return (1 + away) * torch.exp(-away)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute small matrices in one thread: several would wait for each other longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def choose(points: Tensor, effects: Tensor, known: Tensor, count: int, kernel: Kernel) -> Tensor:
    """Choose ``count`` of the unknown points ``(K, D)``: those that leave the map least uncertain, ``(K,)``.

    ``effects`` ``(K, P)`` is what an error of each score does to the map. Each next point is the one whose score
    reduces the trace of the map's posterior covariance most; the kernel's matrix is decomposed along the way.
    """
    noise = max(kernel.noise, _LEAST_NOISE)
    covariance = kernel(points, points)
    if known.any():
        factor = torch.linalg.cholesky(covariance[known][:, known] + noise * torch.eye(int(known.sum())).to(points))
        half = torch.linalg.solve_triangular(factor, covariance[known], upper=False)
        covariance = covariance - half.T @ half
    variance, moved = covariance.diagonal().clone(), effects.T @ covariance
    chosen, columns = torch.zeros_like(known), points.new_zeros(count, len(points))
    for step in range(count):
        gain = moved.square().sum(0) / (variance.clamp(min=0) + noise)
        best = int(gain.masked_fill(chosen | known, -1).argmax())
        chosen[best] = True
        size = (variance[best].clamp(min=0) + noise).sqrt()
        columns[step] = (covariance[best] - columns[:step, best] @ columns[:step]) / size
        moved = moved - torch.outer(moved[:, best] / size, columns[step])
        variance = variance - columns[step].square()
    return chosen


@one_thread()
def predict(known: Tensor, values: Tensor, asked: Tensor) -> tuple[Tensor, Kernel]:
    """Predict values ``(A,)`` at points ``(A, D)`` from ``(B,)`` at ``(B, D)``: the mean of a Gaussian process.

    Points are about 1 apart. Of a small grid of kernels that is taken, and given too, under which the values are
    likeliest. (Rasmussen and Williams 2006, eq. 2.25 and 2.30, the amplitude at its best.)
    """
    mean, spread = values.mean(), values.std(correction=0)
    if spread == 0:
        return mean.expand(len(asked)), Kernel()
    y = (values - mean) / spread
    fits = []
    for length in _LENGTHS:
        alike = Kernel(length)(known, known)
        fits += [(*_fit(y, alike, noise), Kernel(length, noise)) for noise in _NOISES]
    _, weights, kernel = max(fits, key=lambda fit: fit[0])
    return mean + spread * (kernel(asked, known) @ weights), kernel


def _fit(y: Tensor, alike: Tensor, noise: float) -> tuple[float, Tensor]:
    """Give the log likelihood of the values, and the weights with which they predict others."""
    factor, failed = torch.linalg.cholesky_ex(alike + noise * torch.eye(len(y)).to(alike))
    weights = torch.cholesky_solve(y[:, None], factor)[:, 0]
    likelihood = -len(y) / 2 * (y @ weights / len(y)).log() - factor.diagonal().log().sum()
    return (-torch.inf if failed else float(likelihood)), weights

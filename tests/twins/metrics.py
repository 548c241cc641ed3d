"""The faithfulness metrics as in their papers: one image, one pixel, one step at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from .common import logit, probability

SCORES = {"logit": logit, "probability": probability}


def score(toy, x: Tensor, c: int, readout: str = "probability") -> float:
    if readout == "top-1":
        with torch.no_grad():
            return float(int(toy(x[None])[0].argmax()) == c)
    return SCORES[readout](toy, x, c)


def top_class(toy, x: Tensor) -> int:
    with torch.no_grad():
        return int(toy(x[None])[0].argmax())


def explanation_map(x: Tensor, L: Tensor, fill: Tensor | None = None) -> Tensor:
    """E = L o I, pixel by pixel; ``fill`` is what appears where L is 0, zeros in the papers."""
    E = x.clone()
    for c, *i in itertools.product(*map(range, x.shape)):
        filled = 0.0 if fill is None else float(fill[(c, *i)])
        E[(c, *i)] = float(L[tuple(i)]) * float(x[(c, *i)]) + (1 - float(L[tuple(i)])) * filled
    return E


# -- Chattopadhyay et al. 2018, section 4.1; Zhang et al. 2023 (Opti-CAM) -----------------------------------------


def average_drop(toy, x: Tensor, c: int, L: Tensor, readout: str = "probability", epsilon: float = 0) -> float:
    Y, Y_E = score(toy, x, c, readout), score(toy, explanation_map(x, L), c, readout)
    return max(0.0, Y - Y_E) / (Y + epsilon) if Y + epsilon > 0 else math.nan


def increase(toy, x: Tensor, c: int, L: Tensor, readout: str = "probability") -> float:
    return float(score(toy, x, c, readout) < score(toy, explanation_map(x, L), c, readout))


def average_gain(toy, x: Tensor, c: int, L: Tensor) -> float:
    p, o = score(toy, x, c), score(toy, explanation_map(x, L), c)
    return max(0.0, o - p) / (1 - p)


def top_half(L: Tensor) -> Tensor:
    """Score-CAM, section 4.2: the lower half of the pixels is set to 0."""
    kept = torch.zeros_like(L)
    for i in descending(L)[: round(L.numel() / 2)]:
        kept[i] = L[i]
    return kept


# -- Petsiuk et al. 2018 (RISE), algorithm 1 and 2 of the supplement ----------------------------------------------


def descending(L: Tensor) -> list[tuple[int, ...]]:
    """The pixels of L in descending order; equal ones in the order of the rows."""
    pixels = list(itertools.product(*map(range, L.shape)))
    return sorted(pixels, key=lambda i: -float(L[i]))


def changed_step_by_step(start: Tensor, finish: Tensor, order: list[tuple[int, ...]], counts: list[int]):
    """Images on the path from start to finish, each after one of the counts of pixels."""
    image, done = start.clone(), 0
    for count in counts:
        for i in order[done:count]:
            image[(slice(None), *i)] = finish[(slice(None), *i)]
        done = max(done, count)
        yield image.clone()


def steps_of(pixels: int, steps: int | None, each: int | None) -> list[int]:
    if each is not None:
        return [min(k * each, pixels) for k in range(math.ceil(pixels / each) + 1)]
    return [round(k * pixels / steps) for k in range(steps + 1)]


def curve(toy, start, finish, c, order, counts, readout="probability") -> list[float]:
    return [score(toy, image, c, readout) for image in changed_step_by_step(start, finish, order, counts)]


def area_under(h: list[float], counts: list[int]) -> float:
    pieces = [(counts[k + 1] - counts[k]) * (h[k] + h[k + 1]) / 2 for k in range(len(h) - 1)]
    return sum(pieces) / counts[-1]


def insertion(toy, x: Tensor, c: int, L: Tensor, blank: Tensor, steps=None, pixels=None, readout="probability"):
    counts = steps_of(L.numel(), steps, pixels)
    h = curve(toy, blank, x, c, descending(L), counts, readout)
    return area_under(h, counts), h


def deletion(toy, x: Tensor, c: int, L: Tensor, blank: Tensor, steps=None, pixels=None, readout="probability"):
    counts = steps_of(L.numel(), steps, pixels)
    h = curve(toy, x, blank, c, descending(L), counts, readout)
    return area_under(h, counts), h


def blurred(x: Tensor, sigma: float, size: int) -> Tensor:
    """Blur by a Gaussian of at most ``size`` pixels per side with mirrored borders, one axis after the other."""
    for axis in range(1, x.dim()):
        n = x.shape[axis]
        half = min(size, n if n % 2 else n - 1) // 2
        g = [math.exp(-(t**2) / (2 * sigma**2)) for t in range(-half, half + 1)]
        out = torch.zeros_like(x)
        for i in range(n):
            for t in range(-half, half + 1):
                j = i + t
                j = -j if j < 0 else 2 * (n - 1) - j if j > n - 1 else j
                out.select(axis, i).add_(x.select(axis, j), alpha=g[t + half] / sum(g))
        x = out
    return x


# -- Samek et al. 2017, and Rong et al. 2022 (ROAD) ---------------------------------------------------------------


def perturbed(toy, x, c, order, counts, readout="probability", impute=False) -> list[float]:
    """The scores after removing each count of pixels in the order: set to 0 or imputed."""
    f = []
    for count in counts:
        missing = order[:count]
        image = imputed(x, missing) if impute else x.clone()
        if not impute:
            for i in missing:
                image[(slice(None), *i)] = 0
        f.append(score(toy, image, c, readout))
    return f


def aopc(f: list[float]) -> float:
    return sum(f[0] - y for y in f) / len(f)


def imputed(x: Tensor, missing: list[tuple[int, ...]]) -> Tensor:
    """Each missing pixel equals the weighted mean of its neighbours: one row of a dense linear system."""
    size = x.shape[1:]
    number = {i: row for row, i in enumerate(missing)}
    if len(number) in (0, math.prod(size)):
        return x * (0 if number else 1)
    A, b = np.zeros((len(number),) * 2), np.zeros((len(number), len(x)))
    offsets = [o for o in itertools.product((-1, 0, 1), repeat=len(size)) if any(o)]
    for i, row in number.items():
        for o in offsets:
            j = tuple(a + d for a, d in zip(i, o, strict=True))
            if not all(0 <= a < n for a, n in zip(j, size, strict=True)):
                continue
            w = 2.0 ** -sum(map(abs, o))
            A[row, row] += w
            if j in number:
                A[row, number[j]] -= w
            else:
                b[row] += w * x[(slice(None), *j)].numpy()
    values = np.linalg.solve(A, b)
    out = x.clone()
    for i, row in number.items():
        out[(slice(None), *i)] = torch.from_numpy(values[row]).to(x)
    return out


def road(toy, x: Tensor, c: int, L: Tensor, shares: tuple[float, ...]) -> float:
    """(LeRF - MoRF) / 2, averaged over the fractions of removed pixels."""
    counts = [round(share * L.numel()) for share in shares]
    most = perturbed(toy, x, c, descending(L), counts, impute=True)
    least = perturbed(toy, x, c, descending(-L), counts, impute=True)
    return sum((le - mo) / 2 for le, mo in zip(least, most, strict=True)) / len(shares)


# -- Hesse et al. 2024 (IDSDS) ------------------------------------------------------------------------------------


def single_deletion(toy, x: Tensor, c: int, L: Tensor, side: int, readout: str = "logit", impute=False) -> float:
    """Spearman's correlation of output changes and attribution sums over the cells of a grid."""
    whole, changes, sums = score(toy, x, c, readout), [], []
    for cell in itertools.product(range(side), repeat=L.dim()):
        inside = [
            i
            for i in itertools.product(*map(range, L.shape))
            if all(math.floor((a + 0.5) * side / n) == b for a, n, b in zip(i, L.shape, cell, strict=True))
        ]
        changes.append(whole - perturbed(toy, x, c, inside, [len(inside)], readout, impute)[0])
        sums.append(sum(float(L[i]) for i in inside))
    return float(spearmanr(changes, sums).statistic)


# -- Poppi et al. 2021 (ADCC) -------------------------------------------------------------------------------------


def coherency(toy, x: Tensor, c: int, L: Tensor, cam) -> float:
    """The Pearson correlation of CAM(x) and CAM(x o CAM(x)), rescaled to [0, 1]; ``cam(toy, x, c)`` is the method."""
    A, B = L.flatten().numpy(), cam(toy, explanation_map(x, L), c).flatten().numpy()
    if A.min() == A.max():
        return math.nan
    r = 0.0 if B.min() == B.max() else np.cov(A, B)[0, 1] / (A.std(ddof=1) * B.std(ddof=1))
    return (r + 1) / 2


def complexity(L: Tensor) -> float:
    return sum(abs(float(value)) for value in L.flatten()) / L.numel()


def adcc(toy, x: Tensor, c: int, L: Tensor, cam) -> float:
    parts = coherency(toy, x, c, L, cam), 1 - complexity(L), 1 - average_drop(toy, x, c, L)
    return 0.0 if 0 in parts else 3 / sum(1 / part for part in parts)


def arcc(toy, x: Tensor, c: int, L: Tensor, cam, shares: tuple[float, ...]) -> float:
    """ADCC with 2 ROAD, clipped to [0, 1], in place of 1 - drop (arXiv 2605.14641)."""
    parts = coherency(toy, x, c, L, cam), 1 - complexity(L), min(1, max(0, 2 * road(toy, x, c, L, shares)))
    return 0.0 if 0 in parts else 3 / sum(1 / part for part in parts)


# -- Zheng et al. 2025 (F-Fidelity) -------------------------------------------------------------------------------


def f_fidelity(
    toy, x: Tensor, c: int, L: Tensor, s: float, alpha, beta, draws: Tensor, readout
) -> tuple[float, float]:
    """FFid+ and FFid- at the sparsity s: random elements of the top s, or of the rest, are removed in each draw."""
    T, order = L.numel(), descending(L)
    top = order[: round(s * T)]
    found = []
    for part, size in ((top, s), (order[len(top) :], 1 - s)):
        ratio, f = min(alpha, beta / size), []
        for u in draws:
            removed = [i for i in part if float(u[i]) < ratio]
            f.append(perturbed(toy, x, c, removed, [len(removed)], readout)[0])
        found.append(score(toy, x, c, readout) - sum(f) / len(f))
    return found[0], found[1]

"""Methods that need the scores of masked images only: no layer and no gradient."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from fusioncam.errors import SettingError, require_count, require_known, require_number
from fusioncam.functional.dependence import binary_hsic, total_sobol_indices
from fusioncam.functional.heatmaps import is_flat, minmax, precise, upsample
from fusioncam.functional.masks import (
    FILLS,
    FirstMasks,
    GridMasks,
    RiseMasks,
    WindowMasks,
    complement,
    sum_of_masks,
)
from fusioncam.methods.base import warn_if_flat
from fusioncam.methods.costs import PassCount
from fusioncam.methods.mask_prediction import predict_scores
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target

# the share of evidence that is only sufficient or only necessary. Measured on 25 images and one network: 0.05 to 0.2
# are alike, and with 0 insertion is worse
_EITHER = 0.1


@dataclass(frozen=True)
class Occlusion:
    """Occlusion: the drop in score while a sliding window hides a part (Zeiler and Fergus 2013, arXiv 1311.2901).

    The value of a pixel is the mean drop over the windows that contain it. The window has the ``cells``-th part of
    each side and moves by the ``overlap``-th part of itself, both rounded up: at 224 pixels 28 and 14 by default. The
    paper hides with grey, and states no size of the window.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 1311.2901"

    cells: int = 8
    overlap: int = 2
    readout: str = "probability"
    fill: str = "mean"

    def __post_init__(self) -> None:
        require_count("cells", self.cells)
        require_count("overlap", self.overlap)
        require_known("readout", self.readout, READOUTS)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image with two sides; images with few pixels need fewer."""
        return PassCount(full=(self.overlap * (self.cells - 1) + 1) ** 2, at_most=True)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        windows = WindowMasks.sliding(precise(x), self.cells, self.overlap)
        scores = model.masked_scores(x, complement(windows), target, readout=self.readout, fill=self.fill)
        return warn_if_flat(minmax(-_mean_score(scores, windows, x)), self)


def _mean_score(scores: Tensor, windows: WindowMasks, x: Tensor) -> Tensor:
    """Return the mean of scores ``(M, N)`` over the windows that contain each pixel, ``(N, *s)``, less a constant.

    The constant is the first score: rescaling removes it anyway, and sums of large numbers would be rounded.
    """
    changes = (scores - scores[:1]).where(~is_flat(scores.T), 0)
    total, count = (sum_of_masks(values, windows, precise(x)) for values in (changes, torch.ones_like(changes)))
    return total / count


@dataclass(frozen=True)
class TwoSidedOcclusion:
    """Two-sided occlusion, which is ours: what a window shows alone, and what is missed without it.

    ``s`` is the mean score of the images that show only a window of the ``shown`` share of each side, over the
    windows that contain the pixel: high where the evidence is sufficient. ``n`` is the mean drop while a window of
    the ``hidden`` share is hidden: high where it is necessary. Both are rescaled to [0, 1], and the map is
    ``s n + 0.1 (s + n)``. The windows have evenly spaced positions along each side, which makes 6 x 6 + 5 x 5 = 61
    passes, and are a little larger than these shares where whole steps between the borders need it.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = ""

    shown: float = 0.3
    shown_positions: int = 6
    hidden: float = 0.25
    hidden_positions: int = 5
    readout: str = "probability"
    fill: str = "mean"

    def __post_init__(self) -> None:
        require_known("readout", self.readout, READOUTS)
        require_known("fill", self.fill, FILLS)
        for name in ("shown", "hidden"):
            share, positions = getattr(self, name), getattr(self, f"{name}_positions")
            require_number(name, share, 0, 1, above=True)
            require_count(f"{name}_positions", positions)
            if share * positions < 1:
                raise SettingError(f"{positions} windows of {share:g} leave gaps: use more {name}_positions")

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image with two sides; images with few pixels need fewer."""
        return PassCount(full=self.shown_positions**2 + self.hidden_positions**2, at_most=True)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        shown = WindowMasks.spread(precise(x), self.shown, self.shown_positions)
        hidden = WindowMasks.spread(precise(x), self.hidden, self.hidden_positions)
        kept = model.masked_scores(x, shown, target, readout=self.readout, fill=self.fill)
        left = model.masked_scores(x, complement(hidden), target, readout=self.readout, fill=self.fill)
        sufficient, necessary = minmax(_mean_score(kept, shown, x)), minmax(-_mean_score(left, hidden, x))
        return warn_if_flat(minmax(sufficient * necessary + _EITHER * (sufficient + necessary)), self)


@dataclass(frozen=True)
class RISE:
    """RISE: random masks weighted by the probability of the masked image (Petsiuk et al. 2018).

    arXiv 1806.07421; see :class:`fusioncam.functional.masks.RiseMasks`. It uses no layer and works with any network.

    With a ``budget``, which is ours, only the first ``budget`` masks are scored, and the scores of the others are
    predicted from them: see :func:`fusioncam.methods.mask_prediction.predict_scores`.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 1806.07421"

    masks: int = 4000
    cells: int = 7
    keep: float = 0.5
    readout: str = "probability"
    fill: str = "mean"
    seed: int = 0
    budget: int | None = None

    def __post_init__(self) -> None:
        require_count("masks", self.masks)
        require_count("cells", self.cells)
        require_known("readout", self.readout, READOUTS)
        require_known("fill", self.fill, FILLS)
        if self.budget is not None:
            require_count("budget", self.budget)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return PassCount(full=self._scored)

    @property
    def _scored(self) -> int:
        return min(self.masks, self.budget or self.masks)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        masks = RiseMasks(self.masks, precise(x), self.cells, self.keep, self.seed)
        scored = FirstMasks(masks, self._scored)
        scores = model.masked_scores(x, scored, target, readout=self.readout, fill=self.fill)
        if self._scored < self.masks:
            scores = predict_scores(scores, masks, self.cells, self.readout)
        return warn_if_flat(minmax(sum_of_masks(scores, masks, precise(x))), self)


@dataclass(frozen=True)
class HSIC:
    """HSIC attribution: how much the score depends on each cell of a grid (Novello, Fel and Vigouroux 2022).

    arXiv 2206.06219. ``masks`` random grids with ``cells`` a side show or hide each cell with probability 1/2. The
    value of a cell is the Hilbert-Schmidt independence criterion of its state and the score. It measures any
    dependence: cells that lower the score count as those that raise it. The grids are a scrambled Sobol sequence, as
    in the authors' later code; the paper draws a Latin hypercube. The map is upsampled linearly.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 2206.06219"

    masks: int = 500
    cells: int = 8
    readout: str = "probability"
    fill: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        require_count("masks", self.masks)
        require_count("cells", self.cells)
        require_known("readout", self.readout, READOUTS)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return PassCount(full=self.masks)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        sides = [self.cells] * (x.dim() - 2)
        shown = (_sobol_sequence(self.masks, prod(sides), self.seed) < 0.5).to(precise(x))
        masks = GridMasks(shown.reshape(self.masks, *sides), precise(x))
        scores = model.masked_scores(x, masks, target, readout=self.readout, fill=self.fill)
        dependence = binary_hsic(shown.to(scores.device), scores).reshape(len(x), *sides)
        return warn_if_flat(minmax(upsample(dependence.to(precise(x)), x.shape[2:])), self)


@dataclass(frozen=True)
class Sobol:
    """Sobol attribution: the share of the score's variance that each cell of a grid takes part in (Fel et al. 2021).

    arXiv 2111.04138. The values of a grid with ``cells`` a side, in [0, 1], are a mask. A cell's value is its
    total-order Sobol index: see :func:`fusioncam.functional.dependence.total_sobol_indices`. It counts interactions
    with other cells, and cells that lower the score count as those that raise it. ``designs`` pairs of grids A and B
    are one Sobol sequence, scrambled because the first two pairs are equal otherwise. Each A is scored, and scored
    again with each one of its cells from B. B itself is not scored, since this estimator does not use it. The map is
    upsampled linearly.

    With a ``budget``, which is ours, there are ``budget`` pairs instead. Only the grids A are scored, and the other
    scores are predicted from them: see :func:`fusioncam.methods.mask_prediction.predict_scores`.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 2111.04138"

    cells: int = 8
    designs: int = 32
    readout: str = "probability"
    fill: str = "mean"
    seed: int = 0
    budget: int | None = None

    def __post_init__(self) -> None:
        require_count("cells", self.cells)
        require_known("readout", self.readout, READOUTS)
        require_known("fill", self.fill, FILLS)
        for name in ("designs", *(["budget"] if self.budget is not None else [])):
            require_count(name, getattr(self, name))
            if getattr(self, name) < 2:
                raise SettingError(f"{name} must be at least 2, since one score has no variance; got 1")

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image with two sides."""
        return PassCount(full=self.budget or self.designs * (self.cells**2 + 1))

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        sides, count = [self.cells] * (x.dim() - 2), self.budget or self.designs
        masks = GridMasks(self._grids(count, prod(sides)).reshape(-1, *sides), precise(x))
        scored = masks if self.budget is None else FirstMasks(masks, count)
        scores = model.masked_scores(x, scored, target, readout=self.readout, fill=self.fill)
        if self.budget is not None:
            scores = predict_scores(scores, masks, self.cells, self.readout)
        parts = scores.reshape(-1, count, len(x))
        indices = total_sobol_indices(parts[0], parts[1:]).reshape(len(x), *sides)
        return warn_if_flat(minmax(upsample(indices.to(precise(x)), x.shape[2:])), self)

    def _grids(self, count: int, cells: int) -> Tensor:
        """Return the grids A, then those with the first cell from B, and so on: ``((cells + 1) * count, cells)``."""
        points = _sobol_sequence(count, 2 * cells, self.seed)
        first, second = points[:, :cells], points[:, cells:]
        changed = torch.where(torch.eye(cells, dtype=torch.bool)[:, None], second, first)
        return torch.cat([first, changed.flatten(0, 1)])


def _sobol_sequence(count: int, dimensions: int, seed: int) -> Tensor:
    """Return the first points ``(count, dimensions)`` of a scrambled Sobol sequence."""
    if dimensions > SobolEngine.MAXDIM:
        raise SettingError(
            f"a Sobol sequence has at most {SobolEngine.MAXDIM:,} dimensions, got {dimensions:,}; use fewer cells"
        )
    return SobolEngine(dimensions, scramble=True, seed=seed).draw(count)  # type: ignore[no-untyped-call]

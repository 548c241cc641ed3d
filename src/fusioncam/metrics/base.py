"""The base classes of metrics, and the checks that several families of metrics share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fusioncam.data.ground_truth import REGIONS, Truth, require_truth
from fusioncam.errors import (
    InputTypeError,
    MethodError,
    NonFiniteError,
    ShapeError,
    require_known,
    require_number,
    shown,
)
from fusioncam.functional.heatmaps import precise, upsample
from fusioncam.functional.masks import FILLS
from fusioncam.functional.similarity import SIMILARITIES
from fusioncam.inference.cache import memoize_pass, uncached
from fusioncam.inference.context import without_flat_warnings
from fusioncam.inference.eval_mode import without_graph
from fusioncam.methods.base import Method
from fusioncam.metrics.passes import MetricPasses
from fusioncam.model.arguments import each_row, usual_arguments
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target, as_targets

# a metric, or any callable (model, x, target, heatmaps) -> values (N,). A callable may have the class attributes of
# Metric; one with needs_truth or needs_method also takes truth= or method=.
MetricLike = Callable[..., Tensor]

# the class whose score is measured: the explained one, or the one that the network predicts for the whole image
CLASSES = ("target", "predicted")
# the order of equal pixels: the first or the last one first, row by row, or shuffled by the seed. "any" is the order
# of an unstable sort, as in code without a rule, which may differ between machines.
TIES = ("first", "last", "random", "any")
# how heatmaps of another size are brought to the size of the image
RESIZES: dict[str, Callable[[Tensor, torch.Size], Tensor]] = {
    "linear": upsample,
    "nearest": lambda heatmaps, size: F.interpolate(heatmaps[:, None], size=tuple(size), mode="nearest")[:, 0],
}


@dataclass(frozen=True)
class Metric(ABC):
    """Base class of all metrics: turn heatmaps ``(N, *s)`` of inputs ``(N, C, *s)`` into values ``(N,)``.

    A metric is a frozen dataclass. Its fields are its protocol: all settings that its values depend on. A subclass
    declares the class attributes below and implements :meth:`values`. A plain callable
    ``(model, x, target, heatmaps) -> values`` works wherever a metric does, see :func:`fusioncam.metrics.measure`.

    Attributes:
        family: "faithfulness", "localization", "sanity" or "cost".
        higher_is_better: the direction.
        paper: the source, an arXiv number or a DOI; empty for none.
        needs_truth: whether ``truth=`` must be given.
        needs_method: whether ``method=`` must be given.
        shares_passes: whether the metric explains the same images for every method, so that a benchmark computes once
            what these explanations have in common; see :func:`regenerate`.
        shares_objective: names of the methods that optimise what the metric measures.
        readouts: the values that the setting ``readout`` accepts.
        fills: the values that the setting ``fill`` accepts. It may also be a function that returns pixels
            ``(B, C, *s)`` for images ``(B, C, *s)`` and masks ``(B, *s)``.

    Examples:
        ```python
        from dataclasses import dataclass
        from typing import ClassVar


        @dataclass(frozen=True)
        class Coverage(fc.metrics.Metric):
            family: ClassVar[str] = "faithfulness"
            higher_is_better: ClassVar[bool] = False
            cost: ClassVar[fc.metrics.MetricPasses] = fc.metrics.MetricPasses()

            threshold: float = 0.5

            def values(self, model, x, target, heatmaps):
                return (heatmaps > self.threshold).flatten(1).double().mean(1)


        values = Coverage(threshold=0.3)(model, x, target, fc.METHODS["grad-cam"](model, x, target))
        ```
    """

    family: ClassVar[str]
    higher_is_better: ClassVar[bool]
    paper: ClassVar[str] = ""
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = False
    shares_passes: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = ()
    readouts: ClassVar[tuple[str, ...]] = READOUTS
    fills: ClassVar[tuple[str, ...]] = tuple(FILLS)

    def __post_init__(self) -> None:
        """Check the settings that many metrics have; subclasses with other settings extend this."""
        choices: dict[str, tuple[str, Collection[str]]] = {
            "readout": ("readout", self.readouts),
            "classes": ("source of classes", CLASSES),
            "fill": ("fill", self.fills),
            "ties": ("tie rule", TIES),
            "resize": ("way to resize", RESIZES),
            "region": ("region", REGIONS),
            "similarity": ("similarity", SIMILARITIES),
        }
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in choices and not (field.name == "fill" and callable(value)):
                kind, known = choices[field.name]
                require_known(kind, value, known)
        require_number("seed", getattr(self, "seed", 0), integer=True)

    @property
    @abstractmethod
    def cost(self) -> MetricPasses:
        """The forward passes per image."""

    @final
    def __call__(
        self,
        model: ExplainedModel | nn.Module,
        x: Tensor,
        target: Target,
        heatmaps: Tensor | NDArray[Any],
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Return the value of each heatmap ``(N,)``; NaN where the metric is undefined.

        ``model`` may be a network, ``target`` None for the predicted class, and ``heatmaps`` an array.
        ``truth`` and ``method`` are used only by metrics that need them. Raises :class:`MissingTruthError` or
        :class:`MethodError` if one of them is needed and not given, :class:`ShapeError` for heatmaps that do not fit
        the images, and :class:`NonFiniteError` for heatmaps with NaN or infinity.
        """
        rows: list[tuple[Any, ...]] = []
        if not self.needs_truth:  # these compare heatmaps with the truth, and may get None for the rest
            model, x, target = usual_arguments(model, x, target)
            rows = list(each_row(model, x, target))
        heatmaps = as_heatmaps(heatmaps)
        require_heatmaps(heatmaps)
        needed: dict[str, Any] = {}
        if self.needs_truth:
            needed["truth"] = require_truth(truth, self, heatmaps)
        if self.needs_method:
            needed["method"] = require_method(self, method)
        with without_graph():
            if not rows:
                return self.values(model, x, target, heatmaps, **needed)
            values = [self.values(*row, heatmaps[n : n + 1], **needed) for n, row in enumerate(rows)]
            return torch.cat(values)

    @abstractmethod
    def values(self, *args: Any, **needed: Any) -> Tensor:
        """Return the values ``(N,)`` for checked arguments.

        Subclasses take ``(model, x, target, heatmaps)``, and ``truth`` or ``method`` if they need it.
        """


@dataclass(frozen=True)
class CurveMetric(Metric):
    """Base class of metrics that summarise a curve: the score at several shares of changed pixels."""

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Return the summary of each curve ``(N,)``."""
        return self.summary(self.curve(model, x, target, heatmaps), self.shares(x))

    @final
    @memoize_pass
    def curve(
        self, model: ExplainedModel | nn.Module, x: Tensor, target: Target, heatmaps: Tensor | NDArray[Any]
    ) -> Tensor:
        """Return the curve of each heatmap ``(T, N)``, one row for each of :meth:`shares`."""
        model, x, target = usual_arguments(model, x, target)
        heatmaps = as_heatmaps(heatmaps)
        require_heatmaps(heatmaps)
        rows = list(each_row(model, x, target))
        if not rows:
            return self.points(model, x, target, heatmaps)
        return torch.cat([self.points(*row, heatmaps[n : n + 1]) for n, row in enumerate(rows)], 1)

    @abstractmethod
    def points(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Compute the curves ``(T, N)``."""

    @abstractmethod
    def shares(self, x: Tensor) -> Tensor:
        """Return the shares of changed pixels ``(T,)`` in [0, 1], for images like ``x``."""

    @abstractmethod
    def summary(self, curve: Tensor, shares: Tensor) -> Tensor:
        """Return the value ``(N,)`` of curves ``(T, N)`` at the shares ``(T,)``."""


def protocol(metric: object) -> dict[str, Any]:
    """Return the name and the settings of a metric as data that JSON can hold.

    >>> from .adcc import Complexity
    >>> protocol(Complexity())
    {'metric': 'Complexity', 'resize': 'linear'}
    """
    if not is_dataclass(metric) or isinstance(metric, type):
        return {"metric": getattr(metric, "__name__", repr(metric))}
    settings = {field.name: getattr(metric, field.name) for field in fields(metric)}
    data = {name: _as_data(value) for name, value in settings.items()}
    return {"metric": type(metric).__name__, **data}


def _as_data(value: Any) -> Any:
    """Return a setting as data; a function is its name."""
    if isinstance(value, tuple):
        return list(value)
    return getattr(value, "__name__", repr(value)) if callable(value) else value


# -- checks ------------------------------------------------------------------------------------------------------


def require_method(metric: object, method: Method | None) -> Method:
    """Return the method; raise :class:`MethodError` if it is None."""
    if method is None:
        raise MethodError(
            f"{metric!r} needs the method that made the heatmaps: pass method=METHODS['grad-cam'], or any callable "
            "(model, x, target) -> heatmaps"
        )
    return method


def as_heatmaps(heatmaps: Tensor | NDArray[Any]) -> Tensor:
    """Return heatmaps as a plain tensor; raise :class:`InputTypeError` unless they are a tensor or an array."""
    if isinstance(heatmaps, np.ndarray) and heatmaps.dtype.kind in "fiub":
        return torch.from_numpy(np.ascontiguousarray(heatmaps))
    if not isinstance(heatmaps, Tensor):
        raise InputTypeError(f"heatmaps must be a tensor or an array (N, H, W) of numbers, got {shown(heatmaps)}")
    return heatmaps if type(heatmaps) is Tensor else heatmaps.as_subclass(Tensor)


def require_heatmaps(heatmaps: Tensor) -> None:
    """Raise :class:`ShapeError` unless heatmaps are ``(N, *s)``, :class:`NonFiniteError` for NaN and infinity."""
    if heatmaps.dim() < 2:
        raise ShapeError(f"heatmaps must have shape (N, H, W), got {tuple(heatmaps.shape)}: add heatmap[None]")
    wrong = (~heatmaps.flatten(1).isfinite().all(1)).nonzero()[:, 0].tolist()
    if wrong:
        raise NonFiniteError(f"heatmap {wrong[0]} of {len(heatmaps)} contains NaN or infinity")


def validate_heatmaps(heatmaps: Tensor, x: Tensor) -> Tensor:
    """Return heatmaps ``(N, *s)`` in full precision, on the device of the images ``x`` ``(N, C, *s)``.

    Raises :class:`ShapeError` if they do not have the size of the images, :class:`NonFiniteError` for NaN and
    infinity.
    """
    size = (len(x), *x.shape[2:])
    if tuple(heatmaps.shape) != size:
        raise ShapeError(f"heatmaps of x {tuple(x.shape)} must have shape {size}, got {tuple(heatmaps.shape)}")
    require_heatmaps(heatmaps)
    return precise(heatmaps.detach()).to(x.device)


# -- further heatmaps --------------------------------------------------------------------------------------------


def regenerate(method: Method, model: ExplainedModel, x: Tensor, target: Target, *, shared: bool = False) -> Tensor:
    """Return the method's heatmaps ``(N, *s)`` of changed images or of a changed network.

    No warning of flat heatmaps is shown: these are not heatmaps of the user's images. Nothing is cached, unless the
    passes are ``shared`` with other methods, which must get the same objects ``x`` and ``target``.
    """
    with nullcontext() if shared else uncached(), without_flat_warnings():
        return validate_heatmaps(method(model, x, as_targets(target, x)), x)


def random_like(draw: Callable[..., Tensor], x: Tensor, samples: int, seed: int) -> Iterator[Tensor]:
    """Yield ``samples`` random tensors ``(C, *s)``: the same for every image of a batch and on every device."""
    generator = torch.Generator().manual_seed(seed)
    return (draw(x.shape[1:], generator=generator).to(x) for _ in range(samples))

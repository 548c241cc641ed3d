"""What every metric is, and what those that mask images have in common."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from fusioncam.data.ground_truth import Truth
from fusioncam.errors import (
    FlatHeatmapWarning,
    MethodError,
    NonFiniteError,
    ShapeError,
    UnknownNameError,
    require_known,
)
from fusioncam.functional.heatmaps import precise, upsample
from fusioncam.functional.masks import FILLS
from fusioncam.inference.cache import memoize_pass, uncached
from fusioncam.methods.base import Method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target, as_targets


class Metric(Protocol):
    """Anything that turns heatmaps ``(N, *s)`` of inputs ``(N, C, *s)`` into values ``(N,)``.

    ``truth`` and ``method`` are looked at by those alone that say that they need them. NaN says that a metric is
    undefined for an image. What else its values depend on are its fields: the protocol.
    """

    family: ClassVar[str]
    higher_is_better: ClassVar[bool]
    paper: ClassVar[str]
    needs_truth: ClassVar[bool]
    needs_method: ClassVar[bool]
    shares_objective: ClassVar[tuple[str, ...]]

    @property
    def cost(self) -> str:
        """The passes of one image; M is what the method takes."""

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give values ``(N,)``."""
        ...


# whose score is measured: that of the class that was explained, or of the one that the whole image scores highest
CLASSES = ("target", "predicted")
# how heatmaps of other sides are brought to the image's
RESIZES: dict[str, Callable[[Tensor, torch.Size], Tensor]] = {
    "linear": upsample,
    "nearest": lambda maps, size: F.interpolate(maps[:, None], size=tuple(size), mode="nearest")[:, 0],
}
# which of several equal pixels goes first: the first or the last row by row, or whichever the seed says; "any" leaves
# it to an unstable sort, as codes without a rule do, and may differ from machine to machine
TIES = ("first", "last", "random", "any")


def resized_heatmaps(heatmaps: Tensor, model: ExplainedModel, x: Tensor, resize: str = "linear") -> Tensor:
    """Give the heatmaps ``(N, *s)`` in full precision, of the image's sides and where the network is.

    Raises :class:`ShapeError` unless there is one for each image, :class:`NonFiniteError` for NaN and infinity.
    """
    if heatmaps.dim() != x.dim() - 1 or len(heatmaps) != len(x):
        want = (len(x), *x.shape[2:])
        raise ShapeError(f"heatmaps of x {tuple(x.shape)} are {want} or coarser, got {tuple(heatmaps.shape)}")
    wrong = (~heatmaps.flatten(1).isfinite().all(1)).nonzero()[:, 0].tolist()
    if wrong:
        raise NonFiniteError(f"heatmap {wrong[0]} of {len(heatmaps)} has NaN or infinity: nothing can be said of it")
    maps = precise(heatmaps.detach().to(model.device))
    return maps if maps.shape[1:] == x.shape[2:] else RESIZES[resize](maps, x.shape[2:])


def as_masks(heatmaps: Tensor, model: ExplainedModel, x: Tensor, resize: str = "linear") -> Tensor:
    """Give the heatmaps as :func:`resized_heatmaps` does; raise :class:`UnknownNameError` unless they are in [0, 1]."""
    maps = resized_heatmaps(heatmaps, model, x, resize)
    low, high = maps.amin(), maps.amax()
    if low < -1e-3 or high > 1 + 1e-3:
        raise UnknownNameError(
            f"heatmaps that mask images are in [0, 1], got {low:.3g} to {high:.3g}: stretch them by maps.minmax"
        )
    return maps.clamp(0, 1)


def target_classes(model: ExplainedModel, x: Tensor, target: Target, classes: str) -> Target:
    """Give the classes whose score is measured ``(N,)``: see ``CLASSES``."""
    return target if classes == "target" else _predicted(model, x)


@memoize_pass
def _predicted(model: ExplainedModel, x: Tensor) -> Tensor:
    return model.logits(x).argmax(1)


@memoize_pass
def whole_scores(model: ExplainedModel, x: Tensor, target: Target, readout: str) -> Tensor:
    """Give the score ``(N,)`` of the whole images, as those of masked ones are made: a strict > compares both."""
    everything = torch.ones((1, len(x), *x.shape[2:]), device=model.device)
    return model.masked_scores(x, everything, target, readout=readout)[0]


def pixel_order(maps: Tensor, ties: str = "first", seed: int = 0) -> Tensor:
    """Give the place of each pixel of maps ``(N, *s)`` in descending order, from 0: every place once.

    >>> pixel_order(torch.tensor([[0.0, 0.9, 0.0, 0.3]])).tolist()
    [[2, 0, 3, 1]]
    """
    values = maps.flatten(1)
    places = torch.arange(values.shape[1], device=values.device)
    # in what order the pixels are laid out decides between equal ones
    laid = places.flip(0) if ties == "last" else places
    if ties == "random":
        laid = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed)).to(values.device)
    order = laid[values[:, laid].argsort(dim=1, descending=True, stable=ties != "any")]
    places = places.int().expand_as(order)
    return torch.empty_like(order, dtype=torch.int32).scatter_(1, order, places).reshape(maps.shape)


# -- settings ---------------------------------------------------------------------------------------------------


def require_protocol(metric: Any, *fills: str, readouts: Sequence[str] = ()) -> None:
    """Raise :class:`UnknownNameError` for a wrong setting among those that many metrics have.

    ``fills`` and ``readouts`` are known beside the usual ones.
    """
    known: dict[str, tuple[str, Any]] = {
        "readout": ("readout", (*READOUTS, *readouts)),
        "classes": ("source of classes", CLASSES),
        "fill": ("fill", (*FILLS, *fills)),
        "ties": ("tie rule", TIES),
        "resize": ("way to resize", RESIZES),
    }
    for field in fields(metric):
        if field.name in known:
            kind, names = known[field.name]
            require_known(kind, getattr(metric, field.name), names)
    seed = getattr(metric, "seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UnknownNameError(f"seed is a whole number, got {seed!r}")


def require_between(name: str, value: object, low: float, high: float, *, least: bool = True) -> None:
    """Raise :class:`UnknownNameError` unless a setting is a number from ``low`` (or above it) to ``high``."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high or (value == low and not least):  # type: ignore[operator]
        upto = f" to {high}" if high < float("inf") else ""
        raise UnknownNameError(f"{name} is a number {'from' if least else 'above'} {low}{upto}, got {value!r}")


def protocol(metric: object) -> dict[str, Any]:
    """Give a metric as data that JSON can hold: its name and its settings.

    >>> from .adcc import Complexity
    >>> protocol(Complexity())
    {'metric': 'Complexity', 'resize': 'linear'}
    """
    if not is_dataclass(metric) or isinstance(metric, type):
        return {"metric": getattr(metric, "__name__", repr(metric))}
    settings = {one.name: getattr(metric, one.name) for one in fields(metric)}
    data = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    return {"metric": type(metric).__name__, **data}


def require_method(metric: object, method: Method | None) -> Method:
    """Hand on the method; raise :class:`MethodError` if none was given."""
    if method is None:
        raise MethodError(
            f"{metric!r} asks the method for more heatmaps, and none was given: say method=METHODS['grad-cam'], or "
            "whatever (model, x, target) -> heatmaps made these"
        )
    return method


def validate_heatmaps(heatmaps: Tensor, x: Tensor) -> Tensor:
    """Give the heatmaps in full precision, on the device of the images ``x``.

    Raises :class:`ShapeError` if they are not of these images, :class:`NonFiniteError` for NaN and infinity.
    """
    if tuple(heatmaps.shape) != (len(x), *x.shape[2:]):
        raise ShapeError(f"heatmaps of x {tuple(x.shape)} are {(len(x), *x.shape[2:])}, got {tuple(heatmaps.shape)}")
    if not heatmaps.isfinite().all():
        raise NonFiniteError("the heatmaps have NaN or infinity: nothing can be compared with them")
    return precise(heatmaps.detach()).to(x.device)


def regenerate(method: Method, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Make heatmaps of what is no image of the user's, so without warnings of those that are flat."""
    with uncached(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FlatHeatmapWarning)
        return validate_heatmaps(method(model, x, as_targets(target, x)), x)


def random_like(draw: Callable[..., Tensor], x: Tensor, samples: int, seed: int) -> Iterator[Tensor]:
    """Draw numbers ``(C, *s)``, the same for every image of a batch, on every device."""
    generator = torch.Generator().manual_seed(seed)
    return (draw(x.shape[1:], generator=generator).to(x) for _ in range(samples))


def require_number(name: str, value: object, kind: type, least: float) -> None:
    """Raise :class:`UnknownNameError` unless the setting is a number of its kind, finite and at least ``least``."""
    fits = isinstance(value, int) or (kind is float and isinstance(value, float))
    if isinstance(value, bool) or not fits or not least <= value < float("inf"):  # type: ignore[operator]
        whole = "whole " if kind is int else ""
        raise UnknownNameError(f"{name} is a {whole}number from {least}, got {value!r}")

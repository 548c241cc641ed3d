"""From pictures to heatmaps that can be looked at, saved and traced back to how they were made."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from importlib.metadata import version
from itertools import chain, islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from .errors import (
    FusionCamError,
    ImageError,
    LayerError,
    MethodError,
    NonFiniteError,
    ShapeError,
    TargetError,
    UnknownNameError,
)
from .files import replacing, short, slug, to_json, writable_folder
from .hooks import find
from .images import Picture, open_picture
from .methods import Ingredients, Method
from .methods.common import layers_of, naming
from .methods.spec import as_method, as_methods
from .model import ExplainedModel
from .preprocessing import Preprocessing
from .render import as_png, overlay
from .sharing import announcing, sharing
from .sweep import metered
from .targets import choose, fitting, top
from .trust import TrustCard
from .trust import check as trust_check
from .trust.shown import to_html
from .zoo import DEFAULT_MODEL, as_model

SCHEMA_VERSION = 1

# what is wrong with the request is wrong for every picture
_REQUEST = (TargetError, LayerError, MethodError, ShapeError, UnknownNameError)


@dataclass(frozen=True, eq=False, repr=False)  # told apart by which one it is; shown in a line
class Explanation:
    """One heatmap of one picture for one class, with what it was made of and how.

    ``heatmap`` is ``(H, W)`` float32 in [0, 1], of the network's input; ``picture`` is what the network saw, at
    the picture's own resolution. ``ingredients`` are there for Union- and Fusion-CAM, without a batch side.
    ``passes``, ``partial_passes`` (those that start at the layer) and ``seconds`` are what this map cost beyond what
    it shared with earlier ones of the same call.
    """

    source: str
    picture: Image.Image
    heatmap: Tensor
    method: str
    model: str
    layer: str
    target: int
    label: str | None
    probability: float
    ingredients: Ingredients | None
    passes: int
    partial_passes: int
    seconds: float
    preprocessing: Preprocessing
    _made_by: _MadeBy | None = field(default=None, kw_only=True)

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """Give the picture with the heatmap laid over it: red is 1, blue is 0."""
        return overlay(self.picture, self.heatmap.numpy(), opacity)

    @property
    def gains(self) -> dict[str, float]:
        """What each map adds to the target's probability over the empty picture; empty if nothing was fused."""
        return {} if self.ingredients is None else {k: v.item() for k, v in self.ingredients.gains.items()}

    @property
    def class_name(self) -> str:
        """The class as tables show it: the first of its names, or its index."""
        return self.label.split(",")[0] if self.label else str(self.target)

    @property
    def card(self) -> TrustCard | None:
        """The trust card, once :meth:`check` has made it."""
        return self.__dict__.get("_card")

    def check(self) -> TrustCard:
        """Measure how far this heatmap can be trusted; asked again, give the same card.

        It takes some seconds: see :func:`fusioncam.trust.check`. Raises :class:`MethodError` for an explanation that
        was pickled, whose network is not with it.
        """
        return self._card

    def by(self, method: str | Method) -> Explanation:
        """Explain the same picture, class, network and layer by another method; the picture is not opened again.

        Raises :class:`MethodError` for an explanation that was pickled, whose network is not with it.
        """
        name, asked = as_method(method)
        made_by = self._with_network()
        with sharing():
            maps = _Maps.of(made_by.model, made_by.x, torch.tensor([self.target]), asked)
        return replace(self, method=name, _made_by=replace(made_by, method=asked), **maps.of_picture(0))

    def _with_network(self) -> _MadeBy:
        if self._made_by is None:
            raise MethodError(
                "this explanation's network is not with it, as in one that was pickled: check it before, or hand "
                "network, picture and heatmap to fusioncam.trust.check(...)"
            )
        return self._made_by

    @cached_property
    def _card(self) -> TrustCard:
        made_by = self._with_network()
        return trust_check(
            made_by.model, made_by.x, self.target, self.heatmap, made_by.method, ingredients=self.ingredients
        )

    def facts(self) -> dict[str, Any]:
        """Give all that is known of this map besides pixels, ready for JSON."""
        checked = {} if self.card is None else {"check": self.card.facts()}
        return {
            "picture": self.source,
            "method": self.method,
            "layer": self.layer,
            "target": self.target,
            "label": self.label,
            "class_name": self.class_name,
            "probability": self.probability,
            "gains": self.gains,
            "passes": self.passes,
            "partial_passes": self.partial_passes,
            "seconds": round(self.seconds, 4),
        } | checked

    def save(self, folder: str | Path, stem: str | None = None) -> list[Path]:
        """Write ``STEM.png`` (overlay), ``STEM.npy`` (heatmap) and ``STEM.json`` (facts); give their paths."""
        stem = stem or f"{short(Path(self.source).stem)}.{slug(self.method)}"
        paths = self.save_map(writable_folder(Path(folder)), stem)
        with replacing(Path(folder, f"{stem}.json")) as file:
            file.write(to_json(run_facts(self.model, self.preprocessing) | self.facts()))
        return [*paths, Path(folder, f"{stem}.json")]

    def save_map(self, folder: Path, stem: str) -> list[Path]:
        """Write overlay and heatmap alone, as a run does that keeps its facts in one file."""
        paths = [folder / f"{stem}.png", folder / f"{stem}.npy"]
        with replacing(paths[0]) as file:
            self.overlay().save(file, "PNG")
        with replacing(paths[1]) as file:
            np.save(file, self.heatmap.numpy())
        return paths

    def __repr__(self) -> str:
        seen = f"{self.class_name} {self.probability:.1%}"
        return f"<Explanation of {self.source}: {seen}, {self.method} at {self.layer} of {self.model}>"

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what is known of the map, and not the network."""
        return {name: value for name, value in self.__dict__.items() if name != "_made_by"}

    def _repr_png_(self) -> bytes:
        return as_png(self.overlay())

    def _repr_html_(self) -> str | None:
        """Show the overlay with its card, once there is one."""
        return None if self.card is None else to_html(self.card, self._repr_png_(), repr(self).strip("<>"))


@dataclass(frozen=True)
class _MadeBy:
    """What an explanation needs to be checked."""

    model: ExplainedModel
    x: Tensor
    method: Method


def run_facts(model: str, preprocessing: Preprocessing) -> dict[str, Any]:
    """Give what all maps of one run share."""
    packages = ("fusioncam", "torch", "torchvision", "timm", "numpy", "pillow")
    return {
        "schema_version": SCHEMA_VERSION,
        "model": model,
        "preprocessing": asdict(preprocessing),
        "versions": {"python": sys.version.split()[0]} | {name: version(name) for name in packages},
    }


def explain(
    picture: Picture,
    *,
    model: str | nn.Module | ExplainedModel = DEFAULT_MODEL,
    layer: str | None = None,
    method: str | Method = "fusion-cam",
    target: int | str | None = None,
    device: str | None = None,
    check: bool = False,
) -> Explanation:
    """Explain what a network sees of one class in one picture.

    ``picture`` is a path, a PIL image or a uint8 array ``(H, W, 3)``. ``model`` is a name (:func:`load_model`), a
    network or an :class:`ExplainedModel`; ``layer`` a dotted name, by default the last spatial map before pooling.
    ``device`` moves the network there, also one that was handed over.
    ``method`` is a SPEC or a callable; ``target`` a class index, a class name or None for the predicted class.
    ``check`` also measures how far the heatmap can be trusted: see :meth:`Explanation.check`.

    Errors are :class:`FusionCamError`: of the picture, the model's weights, the layer, the target or a name.
    """
    if isinstance(target, str) and top(target) != 1:
        raise TargetError(f"'{target}' asks for several heatmaps: use explain_each(..., target='{target}')")
    as_method(method)
    explained = as_model(model, layer, device)
    return next(explain_each([picture], model=explained, methods=[method], target=target, check=check))


def explain_each(
    pictures: Iterable[Picture],
    *,
    model: str | nn.Module | ExplainedModel = DEFAULT_MODEL,
    layer: str | None = None,
    methods: Sequence[str | Method] = ("fusion-cam",),
    target: int | str | None = None,
    device: str | None = None,
    batch_size: int = 1,
    check: bool = False,
    on_error: Callable[[Picture, Exception], None] | None = None,
) -> Iterator[Explanation]:
    """Explain many pictures by several methods, which share all that they have in common.

    Gives the explanations picture by picture, for each class asked for, for each method. ``target`` may also be
    ``"top3"`` (any number): the most probable classes. ``check`` also measures how far each can be trusted. Without
    ``on_error`` the first failure is raised; with it a picture that fails is handed to it and the others go on. A
    wrong request (layer, class, method) is raised.
    """
    if isinstance(pictures, (str, Path)):
        raise ImageError(f"expected a list of pictures, got {pictures!r}: write [{pictures!r}], or use explain(...)")
    if isinstance(methods, str):
        raise UnknownNameError(f"expected a list of methods, got {methods!r}: write [{methods!r}]")
    explained = as_model(model, layer, device)
    found = by_picture(pictures, explained, methods, target, batch_size, check=check, on_error=on_error)
    return chain.from_iterable(found)


def by_picture(
    pictures: Iterable[Picture],
    model: ExplainedModel,
    methods: Sequence[str | Method],
    target: int | str | None,
    batch_size: int = 1,
    *,
    check: bool = False,
    on_error: Callable[[Picture, Exception], None] | None = None,
) -> Iterator[list[Explanation]]:
    """Do what :func:`explain_each` does, with the explanations of each picture together."""
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ShapeError(f"batch_size is a number of pictures, at least 1, got {batch_size!r}")
    named = named_methods(model, methods)
    remaining = iter(pictures)
    batches = iter(lambda: list(islice(remaining, batch_size)), [])
    return chain.from_iterable(_tolerant(model, batch, named, target, check, on_error) for batch in batches)


def named_methods(model: ExplainedModel, methods: Sequence[str | Method]) -> list[tuple[str, Method]]:
    """Give the methods with their names, each once; raise an error if a layer that one asks for does not exist."""
    named = dict(chain.from_iterable(map(as_methods, methods)))
    for layer in set().union(*map(layers_of, named.values())):
        if layer is not None:
            find(model.network, layer)
    return list(named.items())


def _tolerant(
    model: ExplainedModel,
    batch: list[Picture],
    methods: list[tuple[str, Method]],
    target: int | str | None,
    check: bool,
    on_error: Callable[[Picture, Exception], None] | None,
) -> Iterator[list[Explanation]]:
    """Explain a batch; if it fails, each of its pictures alone, so that one spoils no other."""
    try:
        explanations = _explain_batch(model, batch, methods, target)
        for explanation in chain.from_iterable(explanations) if check else ():
            explanation.check()
        yield from explanations
    except _REQUEST:
        raise
    except Exception as error:  # of the network too: the user's code may raise anything
        if len(batch) > 1:
            for one in batch:
                yield from _tolerant(model, [one], methods, target, check, on_error)
            return
        if isinstance(error, FusionCamError):
            error.add_note(f"picture: {name_of(batch[0])}, model: {model.name}")
        if on_error is None:
            raise
        on_error(batch[0], error)


def _explain_batch(
    model: ExplainedModel, batch: list[Picture], methods: list[tuple[str, Method]], target: int | str | None
) -> list[list[Explanation]]:
    pictures = [open_picture(one) for one in batch]
    views = [model.preprocessing.view(picture) for picture in pictures]
    x = torch.stack([model.preprocessing(picture) for picture in pictures])
    names = [name_of(one) for one in batch]
    layers = set().union(*(layers_of(method) for _, method in methods))
    with sharing(), naming(names), announcing(x, layers):
        probabilities = model.logits(x).float().softmax(1).cpu()
        if not probabilities.isfinite().all():
            raise NonFiniteError("the network gave NaN or infinity among its scores")
        labels = fitting(model.labels, probabilities.shape[1])
        chosen = product(choose(target, probabilities, labels), methods)
        made = [(classes, name, method, _Maps.of(model, x, classes, method)) for classes, (name, method) in chosen]
    return [
        [
            Explanation(
                source=source,
                picture=view,
                method=name,
                model=model.name,
                target=int(classes[n]),
                label=labels[int(classes[n])] if labels else None,
                probability=float(probabilities[n, classes[n]]),
                preprocessing=model.preprocessing,
                _made_by=_MadeBy(model, x[n : n + 1], method),
                **maps.of_picture(n),
            )
            for classes, name, method, maps in made
        ]
        for n, (source, view) in enumerate(zip(names, views, strict=True))
    ]


@dataclass(frozen=True)
class _Maps:
    """What one method gave for one batch, on the CPU, where, and what it cost."""

    heatmaps: Tensor
    ingredients: Ingredients | None
    layer: str
    passes: int
    partial: int
    seconds: float

    @classmethod
    def of(cls, model: ExplainedModel, x: Tensor, target: Tensor, method: Method) -> _Maps:
        began = time.perf_counter()
        with metered() as meter:
            heatmaps = whole(method(model, x, target), x, method)
            ask = getattr(method, "ingredients", None)
            ingredients = ask(model, x, target) if ask else None
            layer = getattr(method, "layer", None) or model.layer_for(x)
        return cls(heatmaps, ingredients, layer, meter.passes, meter.partial, time.perf_counter() - began)

    def of_picture(self, n: int) -> dict[str, Any]:
        """Give one picture's part of it."""
        pictures = len(self.heatmaps)
        return {
            "heatmap": self.heatmaps[n],
            "ingredients": None if self.ingredients is None else _part(self.ingredients, n),
            "layer": self.layer,
            "passes": self.passes // pictures,
            "partial_passes": self.partial // pictures,
            "seconds": self.seconds / pictures,
        }


def whole(heatmaps: Tensor, x: Tensor, method: Method) -> Tensor:
    """Check what a method gave, which may be the user's own, and bring it to the CPU."""
    want = (len(x), *x.shape[2:])
    if not isinstance(heatmaps, Tensor) or tuple(heatmaps.shape) != want:
        got = tuple(heatmaps.shape) if isinstance(heatmaps, Tensor) else type(heatmaps).__name__
        raise ShapeError(f"{method!r} gave {got}, not heatmaps {want}")
    heatmaps = heatmaps.detach().float().cpu()
    if not ((heatmaps >= 0) & (heatmaps <= 1)).all():
        low, high = heatmaps.min().item(), heatmaps.max().item()
        raise ShapeError(f"{method!r} gave values from {low:.4g} to {high:.4g}, not heatmaps in [0, 1]")
    return heatmaps


def _part(ingredients: Ingredients, n: int) -> Ingredients:
    maps = {one.name: getattr(ingredients, one.name) for one in fields(ingredients)}
    gains = {name: gain[n].cpu() for name, gain in maps.pop("gains").items()}
    return Ingredients(gains=gains, **{name: value[n].cpu() for name, value in maps.items()})


def name_of(picture: Picture) -> str:
    """Give a picture's path, or what it is where it has none."""
    path = picture if isinstance(picture, (str, Path)) else getattr(picture, "filename", None)
    return str(path or type(picture).__name__.lower())

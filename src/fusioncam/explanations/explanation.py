"""One heatmap of one image, which can be looked at, checked, saved and traced back to how it was made."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import MethodError
from fusioncam.explanations.method_output import MethodOutput
from fusioncam.inference.cache import cached_passes
from fusioncam.methods.base import Method
from fusioncam.methods.fusion import FusionComponents
from fusioncam.methods.registry import as_method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.trust.assess import check as trust_check
from fusioncam.trust.card import TrustCard
from fusioncam.trust.rendering import to_notebook_html
from fusioncam.utils.files import atomic_write, to_json, writable_folder
from fusioncam.utils.text import slug, truncate_stem
from fusioncam.visualization import as_png, overlay

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False, repr=False)  # told apart by which one it is; shown in a line
class Explanation:
    """One heatmap of one image for one class, with what it was made of and how.

    ``heatmap`` is ``(H, W)`` float32 in [0, 1], of the network's input; ``image`` is what the network saw, at
    the image's own resolution. ``ingredients`` are there for Union- and Fusion-CAM, without a batch side.
    ``passes``, ``partial_passes`` (those that start at the layer) and ``seconds`` are what this map cost beyond what
    it shared with earlier ones of the same call.
    """

    source: str
    image: Image.Image
    heatmap: Tensor
    method: str
    model: str
    layer: str
    target: int
    label: str | None
    probability: float
    ingredients: FusionComponents | None
    passes: int
    partial_passes: int
    seconds: float
    preprocessing: Preprocessing
    _made_by: Provenance | None = field(default=None, kw_only=True)

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """Give the image with the heatmap laid over it: red is 1, blue is 0."""
        return overlay(self.image, self.heatmap.numpy(), opacity)

    @property
    def gains(self) -> dict[str, float]:
        """What each map adds to the target's probability over the empty image; empty if nothing was fused."""
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
        """Explain the same image, class, network and layer by another method; the image is not opened again.

        Raises :class:`MethodError` for an explanation that was pickled, whose network is not with it.
        """
        name, asked = as_method(method)
        made_by = self._with_network()
        with cached_passes():
            outcome = MethodOutput.of(made_by.model, made_by.x, torch.tensor([self.target]), asked)
        return replace(self, method=name, _made_by=replace(made_by, method=asked), **outcome.of_image(0))

    def _with_network(self) -> Provenance:
        if self._made_by is None:
            raise MethodError(
                "this explanation's network is not with it, as in one that was pickled: check it before, or hand "
                "network, image and heatmap to fusioncam.trust.check(...)"
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
            "image": self.source,
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
        stem = stem or f"{truncate_stem(Path(self.source).stem)}.{slug(self.method)}"
        paths = self.save_map(writable_folder(Path(folder)), stem)
        with atomic_write(Path(folder, f"{stem}.json")) as file:
            file.write(to_json(run_facts(self.model, self.preprocessing) | self.facts()))
        return [*paths, Path(folder, f"{stem}.json")]

    def save_map(self, folder: Path, stem: str) -> list[Path]:
        """Write overlay and heatmap alone, as a run does that keeps its facts in one file."""
        paths = [folder / f"{stem}.png", folder / f"{stem}.npy"]
        with atomic_write(paths[0]) as file:
            self.overlay().save(file, "PNG")
        with atomic_write(paths[1]) as file:
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
        return None if self.card is None else to_notebook_html(self.card, self._repr_png_(), repr(self).strip("<>"))


@dataclass(frozen=True)
class Provenance:
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

"""One heatmap of one image, with its class, its method and its cost: show it, check it, save it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import MethodError
from fusioncam.explanations.drawing import draw
from fusioncam.explanations.method_output import MethodOutput
from fusioncam.explanations.original import Original
from fusioncam.explanations.regions import Regions
from fusioncam.explanations.result_files import unused_stem
from fusioncam.functional.boxes import heatmap_boxes
from fusioncam.inference.cache import cached_passes
from fusioncam.inference.counters import PassCost
from fusioncam.methods.base import Method
from fusioncam.methods.fusion import FusionComponents
from fusioncam.methods.registry import as_method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Targets
from fusioncam.trust.assess import check as trust_check
from fusioncam.trust.assess import first_question
from fusioncam.trust.card import TrustCard
from fusioncam.trust.levels import evidence_sentence
from fusioncam.trust.rendering import to_notebook_html
from fusioncam.utils.files import atomic_write, to_json, writable_folder, write_file
from fusioncam.utils.old_names import alias
from fusioncam.utils.text import bare_stem, file_stem, short_label, slug
from fusioncam.visualization import (
    DEFAULT_COLORMAP,
    DEFAULT_OPACITY,
    RAW_FORMATS,
    Box,
    OverlayStyle,
    as_png,
    raw_image,
    raw_names,
)

SCHEMA_VERSION = 1
Raw = Sequence[str]


@dataclass(frozen=True, eq=False, repr=False)  # compared by identity; printed in one line
class Explanation(Regions):
    """One heatmap of one image for one class, and how it was computed.

    Attributes:
        source: the path or URL of the image, or a description of it.
        image: the part of the image that the network received, at the image's own resolution.
        heatmap: ``(H, W)`` float32 in [0, 1], at the size of the network's input.
        method: the name of the method with its settings.
        model: the name of the model.
        layer: the name of the target layer.
        target: the class index, or a text such as "3 - 5" for a sum of classes.
        label: the name of the class, None if the classes have no names.
        probability: of the class; for a sum of classes the same sum of their probabilities.
        ingredients: the components of Union- and Fusion-CAM, without a batch dimension; None for other methods.
        passes: the number of forward passes, without those that earlier heatmaps of the same call already made.
        partial_passes: those that start at the layer, counted in the same way.
        seconds: the computing time, counted in the same way.
        preprocessing: what made the input of the network from the image.
        box: ``(x1, y1, x2, y2)`` of the detection in pixels of the network's input, None for other networks.
        whole: the whole image and the part of it that the network received, None for an input that was given.
        full_cost: the passes and seconds with those that earlier heatmaps of the same call already made.

    Examples:
        ```python
        explanation = fc.explain("cat.jpg", method="grad-cam")
        explanation.class_name, explanation.probability
        explanation.overlay(colormap="viridis", contour=0.5).save("overlay.png")
        explanation.mask("otsu")  # (H, W), True where the heatmap is high
        ```
    """

    source: str
    image: Image.Image
    heatmap: Tensor
    method: str
    model: str
    layer: str
    target: int | str
    label: str | None
    probability: float
    ingredients: FusionComponents | None
    passes: int
    partial_passes: int
    seconds: float
    preprocessing: Preprocessing
    box: Box | None = field(default=None, kw_only=True)
    whole: Original | None = field(default=None, kw_only=True)
    full_cost: PassCost | None = field(default=None, kw_only=True)
    _provenance: Provenance | None = field(default=None, kw_only=True)

    picture, save_map = alias("image"), alias("save_heatmap")

    def overlay(
        self,
        opacity: float = DEFAULT_OPACITY,
        *,
        colormap: str = DEFAULT_COLORMAP,
        fade: bool = True,
        contour: float | None = None,
        boxes: bool = False,
        colorbar: bool = False,
        view: str = "image",
    ) -> Image.Image:
        """Return the whole image under the coloured heatmap, with the part that the network received outlined.

        ``opacity`` is that of the heatmap where it is highest; it falls to 0 with the heat, unless ``fade`` is False.
        ``colormap`` is a name of matplotlib, ``contour`` a level in [0, 1] to draw a line around, ``boxes`` draws
        :meth:`boxes`, ``colorbar`` adds the colours from 0 to 1. ``view="crop"`` shows only the part that the network
        received, as does an image whose file was changed or removed since.

        Raises :class:`SettingError` for an opacity or level outside [0, 1], and :class:`UnknownNameError`.
        """
        return self._drawn(OverlayStyle(opacity, colormap, fade, contour, colorbar), boxes, view)

    def _drawn(self, style: OverlayStyle, boxes: bool, view: str) -> Image.Image:
        """Return the image under the heatmap in a style."""
        named = self.named_box | ({box: "" for box in heatmap_boxes(self.heatmap)} if boxes else {})
        return draw(self.image, self.heatmap, self.whole, style, boxes=named, view=view)

    @property
    def named_box(self) -> dict[Box, str]:
        """The box of the detection with its class and probability; empty for other networks."""
        return {} if self.box is None else {self.box: f"{self.class_name} {self.probability:.0%}"}

    def poster(self, **style: Any) -> Image.Image:
        """Return an image to share: the original, the overlay, the class, and how much the highlighted part matters.

        ``style`` are arguments of :meth:`overlay`. The sentence takes 12 passes unless :meth:`check` has measured it.
        """
        # with figures, which take a third of a second to import
        from fusioncam.explanations.poster import draw_poster

        heading = f"{self.class_name}, {self.probability:.0%}"
        original = (self.whole and self.whole.open()) or self.image
        return draw_poster(original, self.overlay(**style), heading, self.evidence, f"{self.method}, {self.model}")

    @cached_property
    def evidence(self) -> str:
        """How much of the class's probability the highlighted part alone keeps, as a sentence; "" if unknown."""
        if self.card is not None:
            return evidence_sentence(self.card.questions[0])
        if self._provenance is None or isinstance(self.target, str):
            return ""
        one = self._provenance
        return evidence_sentence(first_question(one.model, one.x, one.target, self.heatmap, one.method))

    @property
    def gains(self) -> dict[str, float]:
        """How much each map of a fusion adds to the target's probability over the empty image; else an empty dict."""
        gains = {} if self.ingredients is None else self.ingredients.gains
        return {name: gain.item() for name, gain in gains.items()}

    @property
    def class_name(self) -> str:
        """The name of the class in tables: the first of its synonyms, or its index."""
        return short_label(self.label, self.target)

    @property
    def card(self) -> TrustCard | None:
        """The trust card, or None until :meth:`check` is called."""
        return self.__dict__.get("_card")

    def check(self, report: Callable[[int], None] | None = None) -> TrustCard:
        """Measure how far this heatmap can be trusted; later calls return the same card.

        This takes some seconds: see :func:`fusioncam.trust.check`. ``report`` is called with the number of questions
        answered so far. Raises :class:`MethodError` for an explanation that was pickled without its network.
        """
        if self.card is None:
            one, fusion = self.provenance, self.ingredients
            case = one.model, one.x, one.target, self.heatmap, one.method
            self.__dict__["_card"] = trust_check(*case, ingredients=fusion, report=report)
        card: TrustCard = self.__dict__["_card"]
        return card

    def by(self, method: str | Method) -> Explanation:
        """Explain the same class of the same image at the same layer by another method, without opening the image.

        Raises :class:`MethodError` for an explanation that was pickled, because its network was not.
        """
        name, other = as_method(method)
        provenance = self.provenance
        with cached_passes():
            output = MethodOutput.compute(provenance.model, provenance.x, provenance.target, other)
        return replace(self, method=name, _provenance=replace(provenance, method=other), **output.of_image(0))

    @property
    def provenance(self) -> Provenance:
        """The network, the input, the method and the target; raises :class:`MethodError` after pickling."""
        if self._provenance is None:
            raise MethodError(
                "this explanation has no network, because it was pickled: check it before pickling, or call "
                "fusioncam.trust.check(...) with the network, the image and the heatmap"
            )
        return self._provenance

    def facts(self) -> dict[str, Any]:
        """Return everything but the pixels, ready for JSON."""
        checked = {} if self.card is None else {"check": self.card.facts()}
        full = {} if self.full_cost is None else {"full_cost": self.full_cost.facts()}
        return (
            {
                "image": self.source,
                "method": self.method,
                "layer": self.layer,
                "target": self.target,
                "label": self.label,
                "class_name": self.class_name,
                **({} if self.box is None else {"box": [round(side, 2) for side in self.box]}),
                "probability": self.probability,
                "size": list(self.frame[1]),
                "window": [round(side, 2) for side in self.frame[0]],
                "gains": self.gains,
                "passes": self.passes,
                "partial_passes": self.partial_passes,
                "seconds": round(self.seconds, 4),
            }
            | full
            | checked
        )

    def save(self, folder: str | Path, stem: str | None = None, raw: Raw = (), **style: Any) -> list[Path]:
        """Write ``STEM.png`` (overlay), ``STEM.npy`` (heatmap) and ``STEM.json`` (facts); return their paths.

        ``raw`` writes the heatmap in further formats: ``"png16"`` (``STEM.heatmap.png``, 65,535 is 1) and ``"tiff"``
        (``STEM.tiff``, float32). ``style`` are arguments of :meth:`overlay`.
        A file that an earlier ``save`` wrote is replaced: with ``stem`` always, and without it if it is of the same
        image. The facts beside a file, which list the files, show who wrote it. Any other file stays as it is,
        also the image itself: the new files have a number in their names, and a :class:`FusionCamWarning` says so.
        """
        path = writable_folder(Path(folder))
        wanted = stem or f"{file_stem(bare_stem(Path(self.source).name))}.{slug(self.method)}"
        names = partial(self.file_names, raw=raw)
        return self.save_as(path, unused_stem(path, wanted, names, self.source, replace_any=bool(stem)), raw, **style)

    def save_as(
        self, folder: Path, stem: str, raw: Raw = (), comparison: str | None = None, **style: Any
    ) -> list[Path]:
        """Write the files of :meth:`save`, and replace those that exist; the facts also list the ``comparison``."""
        paths = self.save_heatmap(folder, stem, raw, **style)
        listed = {"files": [comparison] * bool(comparison) + self.file_names(stem, raw)}
        facts = run_facts(self.model, self.preprocessing) | self.facts() | listed
        return [*paths, write_file(folder / f"{stem}.json", to_json(facts))]

    @classmethod
    def file_names(cls, stem: str, raw: Raw = ()) -> list[str]:
        """Return the names of the files that :meth:`save` writes."""
        return [*raw_names(stem, raw), f"{stem}.png", f"{stem}.npy", f"{stem}.json"]

    def save_heatmap(self, folder: Path, stem: str, raw: Raw = (), **style: Any) -> list[Path]:
        """Write the overlay and the heatmap without the facts, and replace those that exist."""
        paths = [folder / name for name in self.file_names(stem, raw)[:-1]]
        for path, kind in zip(paths[:-2], raw, strict=False):
            with atomic_write(path) as file:
                raw_image(self.heatmap.numpy(), kind).save(file, RAW_FORMATS[kind].format)
        write_file(paths[-2], as_png(self.overlay(**style)))
        write_file(paths[-1], self.heatmap_file())
        return paths

    def heatmap_file(self) -> bytes:
        """Return the file of the heatmap: an array of numpy's."""
        buffer = io.BytesIO()
        np.save(buffer, self.heatmap.numpy())
        return buffer.getvalue()

    def __repr__(self) -> str:
        prediction = f"{self.class_name} {self.probability:.1%}"
        return f"<Explanation of {self.source}: {prediction}, {self.method} at {self.layer} of {self.model}>"

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields to pickle: all but the network, which may be large or not picklable."""
        return {name: value for name, value in self.__dict__.items() if name != "_provenance"}

    def _repr_png_(self) -> bytes:
        return as_png(self.overlay())

    def _repr_html_(self) -> str | None:
        """Return the overlay and the card as HTML, or None until :meth:`check` is called."""
        return None if self.card is None else to_notebook_html(self.card, self._repr_png_(), repr(self).strip("<>"))


@dataclass(frozen=True)
class Provenance:
    """The model, the input ``(1, C, H, W)``, the method and the target of an explanation, which a check needs."""

    model: ExplainedModel
    x: Tensor
    method: Method
    target: Targets


def run_facts(model: str, preprocessing: Preprocessing) -> dict[str, Any]:
    """Return the facts that all heatmaps of one run share: model, preprocessing and versions of packages."""
    packages = ("fusioncam", "torch", "torchvision", "timm", "numpy", "pillow")
    return {
        "schema_version": SCHEMA_VERSION,
        "model": model,
        "preprocessing": asdict(preprocessing),
        "versions": {"python": sys.version.split()[0]} | {name: version(name) for name in packages},
    }

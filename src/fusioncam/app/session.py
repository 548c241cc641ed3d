"""What the web page does, without the page: an image in, heatmaps out, and a fusion made again in a moment.

Visitors choose from what was offered at the start, by names that are looked up and never opened. A
:class:`Studio` does not change, and its networks take turns, so that one serves any number of visitors.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile

import torch
from PIL import Image
from torch import Tensor

from fusioncam.data.images import open_image
from fusioncam.errors import ImageError, MethodError, require_known
from fusioncam.explanations.class_selection import predict_probabilities, require_label_per_class
from fusioncam.explanations.explain import explain_batches
from fusioncam.explanations.explanation import Explanation
from fusioncam.methods.base import Method
from fusioncam.methods.fusion import FusionCAM
from fusioncam.methods.registry import as_method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, as_targets
from fusioncam.zoo.loading import DEFAULT_MODEL, load_model

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000
# what browsers send; PIL knows others, of which one has another program run what is in the file
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
TOP = 5

# what is offered where nothing else is asked for: answers in seconds on a CPU
OFFERED = {
    "fusion-cam": "fusion-cam(budget={budget})",
    "union-cam": "union-cam(region=score-cam(budget={budget}))",
    "score-cam": "score-cam(budget={budget})",
} | {
    name: name
    for name in (
        "group-cam",
        "ablation-cam",
        "recipro-cam",
        "grad-cam",
        "grad-cam++",
        "xgrad-cam",
        "layer-cam",
        "hires-cam",
        "elementwise-grad-cam",
        "shapley-cam",
        "finer-cam",
        "eigen-cam",
    )
}
# masks that are scored; channels of both signs are harder to predict, see the README
_BUDGET, _SIGNED_BUDGET = 64, 128


@dataclass(frozen=True)
class ClassPrediction:
    """A class that the network holds possible: its index, the first of its names, its probability."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True)
class CachedMethod:
    """A method whose first answer is kept, for whoever asks the same again; others ask the method itself."""

    method: Method
    first: list[tuple[ExplainedModel, Tensor, Tensor, Tensor]] = field(
        default_factory=list, init=False, compare=False, repr=False
    )

    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        targets = as_targets(target, x)
        for known, image, classes, maps in self.first:
            if known is model and torch.equal(image, x) and torch.equal(classes, targets):
                return maps
        maps = self.method(model, x, target)  # as it came: what is shared is told by which object it is
        if not self.first:
            self.first.append((model, x, targets, maps))
        return maps


@dataclass(frozen=True, eq=False)  # told apart by which one it is
class CachedExplanation:
    """A heatmap and what made it: the maps that a fusion is made of are kept with it.

    ``spec`` is that of the method with its own theta, ``budget`` that of the layer.
    """

    explanation: Explanation
    method: Method
    spec: str
    budget: int

    @property
    def theta(self) -> float | None:
        """The percentile below which the gradient map is zeroed; None if nothing is fused."""
        return self.method.theta if isinstance(self.method, FusionCAM) else None

    def at_theta(self, theta: float) -> CachedExplanation:
        """Fuse the same maps again: four passes, for the gains. Raises :class:`MethodError` if nothing is fused."""
        if not isinstance(self.method, FusionCAM):
            raise MethodError(f"{self.spec} has no theta: choose fusion-cam")
        method = replace(self.method, theta=theta)
        explanation = replace(self.explanation.by(method), method=_named(self.spec, theta))
        return replace(self, explanation=explanation, method=method)


@dataclass(frozen=True)
class Studio:
    """What visitors choose from: networks by name, and methods by name, each with the SPEC that it stands for."""

    models: Mapping[str, ExplainedModel]
    methods: Mapping[str, str]

    @classmethod
    def open(
        cls, models: Sequence[str] = (DEFAULT_MODEL,), methods: Sequence[str] = (), device: str | None = None
    ) -> Studio:
        """Load the networks and read the SPECs of the methods; what is wrong with either is told now."""
        offered = {one: OFFERED.get(one, one) for one in methods} or OFFERED
        for spec in offered.values():
            as_method(_within(spec, _BUDGET))
        return cls({name: load_model(name, device=device) for name in models}, offered)

    def layers(self, model: str) -> list[str]:
        """List the layers of a network that give maps, its own choice first, then from the last to the first."""
        network = self._network(model)
        x = torch.zeros(1, len(network.preprocessing.mean), *network.preprocessing.size)
        default = network.layers.default(x)
        return [default, *(one.name for one in reversed(network.layers.candidates(x)) if one.name != default)]

    def guesses(self, image: Image.Image, model: str) -> list[ClassPrediction]:
        """Give the classes that the network holds most probable, the first first."""
        network = self._network(model)
        probabilities = predict_probabilities(network, network.preprocessing(image)[None])[0]
        labels = network.labels
        require_label_per_class(labels, len(probabilities))
        first = probabilities.topk(min(TOP, len(probabilities)))
        return [
            ClassPrediction(index, labels[index].split(",")[0] if labels else str(index), probability)
            for probability, index in zip(first.values.tolist(), first.indices.tolist(), strict=True)
        ]

    def explain(
        self,
        image: Image.Image,
        source: str,
        *,
        model: str,
        layer: str | None = None,
        method: str = "fusion-cam",
        target: int | str | None = None,
        theta: float | None = None,
    ) -> CachedExplanation:
        """Make a heatmap of an image, which facts and files call ``source``.

        ``layer`` None is the network's own, ``target`` None the class that it holds most probable, ``theta`` None
        that of the method; methods without a theta pass it over. Raises errors of :mod:`fusioncam.errors`.
        """
        network = self._network(model)
        if layer is not None:
            require_known("layer of this page", layer, self.layers(model))
            network = _at(network, layer)
        require_known("method of this page", method, self.methods)
        budget = _budget(network, image)
        spec = _within(self.methods[method], budget)
        asked, name = _keeping(as_method(spec)[1]), spec
        if isinstance(asked, FusionCAM) and theta not in (None, asked.theta):
            asked, name = replace(asked, theta=theta), _named(spec, theta)
        (explanations,) = explain_batches([image], network, [asked], target)
        if len(explanations) > 1:
            raise MethodError(f"'{target}' asks for {len(explanations)} heatmaps: choose one class")
        return CachedExplanation(replace(explanations[0], source=source, method=name), asked, spec, budget)

    def beside(self, made: CachedExplanation, method: str) -> Explanation:
        """Explain the same by another method; if it is the one that made it, that is the answer."""
        require_known("method of this page", method, self.methods)
        spec = _within(self.methods[method], made.budget)
        return made.explanation if spec == made.spec else made.explanation.by(spec)

    def _network(self, model: str) -> ExplainedModel:
        require_known("model of this page", model, self.models)
        return self.models[model]


def open_upload(path: Path) -> Image.Image:
    """Open an image that a visitor has sent; its size is looked at before its pixels are.

    Raises :class:`ImageError`, which calls the file by its name alone.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(f"{path.name}: over {MAX_BYTES >> 20} MB, make it smaller first")
        return open_image(path, max_pixels=MAX_PIXELS, formats=FORMATS)
    except ImageError as error:
        raise ImageError(str(error).replace(str(path), path.name)) from None
    except OSError:
        raise ImageError(f"{path.name}: no longer here, choose the image again") from None


def packed(explanations: Iterable[Explanation]) -> bytes:
    """Put overlays, maps and facts, with the trust cards that were made, into one zip file."""
    buffer = io.BytesIO()
    with TemporaryDirectory() as folder, ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for path in chain.from_iterable(one.save(folder) for one in explanations):
            archive.write(path, path.name)
    return buffer.getvalue()


@lru_cache(maxsize=32)
def _at(network: ExplainedModel, layer: str) -> ExplainedModel:
    """Give the network explained at another layer, the same one each time: it remembers how to be quick."""
    return network.with_layer(layer)


def _budget(network: ExplainedModel, image: Image.Image) -> int:
    """Give how many masks are to be scored at a layer, by whether its channels have both signs."""
    activations = network.record(network.preprocessing(image)[None], 0).activations
    return _SIGNED_BUDGET if (activations < 0).any() else _BUDGET


def _within(spec: str, budget: int) -> str:
    return spec.replace("{budget}", str(budget))


def _keeping(method: Method) -> Method:
    """Give the same method; a fusion keeps the maps that it is made of."""
    if not isinstance(method, FusionCAM):
        return method
    return replace(
        method, gradient=CachedMethod(method.gradient), region=CachedMethod(method.scored_region()), budget=None
    )


def _named(spec: str, theta: float) -> str:
    """Write the SPEC with another theta.

    >>> _named("fusion-cam(budget=64)", 20), _named("fusion-cam", 7.5)
    ('fusion-cam(budget=64, theta=20)', 'fusion-cam(theta=7.5)')
    """
    return f"{spec[:-1]}, theta={theta:g})" if spec.endswith(")") else f"{spec}(theta={theta:g})"

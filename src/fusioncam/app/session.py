"""What the web page computes: classes, layers and heatmaps of an image, by the models and methods that it offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from PIL import Image
from torch import Tensor

from fusioncam.app.cached_explanation import CachedExplanation, cache_maps, spec_with_theta
from fusioncam.app.choices import stage_layers
from fusioncam.errors import MethodError, UnknownNameError, suggestion
from fusioncam.explanations.class_selection import predict_probabilities, require_label_per_class
from fusioncam.explanations.explain import explain_batches
from fusioncam.explanations.explanation import Explanation
from fusioncam.inference.context import following_images
from fusioncam.methods.fusion import FusionCAM
from fusioncam.methods.registry import as_method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.zoo.loading import DEFAULT_MODEL, load_model

TOP_CLASSES = 5
# of a camera: masks that are scored for a frame, and the share of the earlier frames in the probabilities, which
# keeps the class from changing with every frame
_LIVE_BUDGET, _STEADY = 16, 0.7

# one pass, and its heatmaps are sharp at early layers too
_STAGE_METHOD = "layer-cam"

# the methods that the page offers by default: they take seconds on a CPU
DEFAULT_METHODS = {
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
# scored masks; the scores of channels with both signs are harder to predict, see the README
_BUDGET, _SIGNED_BUDGET = 64, 128


@dataclass(frozen=True)
class ClassPrediction:
    """A predicted class: its index, the first of its names and its probability."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True)
class RunningMean:
    """The mean of the class probabilities ``(classes,)`` of one model over the last frames of a camera.

    ``last_scores`` are those of the masks of the last frame, from which the next one starts.
    """

    model: str
    probabilities: Tensor
    last_scores: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def after(cls, before: RunningMean | None, model: str, probabilities: Tensor) -> RunningMean:
        """Return the mean with one more frame; it starts again for another model."""
        if before is None or before.model != model:
            return cls(model, probabilities)
        mean = _STEADY * before.probabilities + (1 - _STEADY) * probabilities
        return cls(model, mean, before.last_scores)


@dataclass(frozen=True)
class Session:
    """The models and methods that the page offers; ``methods`` maps each name to its SPEC.

    Visitors choose by name only: names are looked up here and never loaded. A session does not change, and
    networks serve one call at a time, so that one session serves any number of visitors.
    """

    models: Mapping[str, ExplainedModel]
    methods: Mapping[str, str]

    @classmethod
    def open(
        cls, models: Sequence[str] = (DEFAULT_MODEL,), methods: Sequence[str] = (), device: str | None = None
    ) -> Session:
        """Load the models and validate the SPECs of the methods; raise the errors of both at the start."""
        offered = {spec: DEFAULT_METHODS.get(spec, spec) for spec in methods} or DEFAULT_METHODS
        for spec in offered.values():
            as_method(_with_budget(spec, _BUDGET))
        return cls({name: load_model(name, device=device) for name in models}, offered)

    def layers(self, model: str) -> list[str]:
        """Return the layers with spatial feature maps: the default layer, then the others from last to first."""
        network = self._model(model)
        x = network.preprocessing.blank_input()
        default = network.layers.default(x)
        others = [layer.name for layer in network.layers.candidates(x) if layer.name != default]
        return [default, *reversed(others)]

    def layer_sizes(self, model: str) -> dict[str, str]:
        """Return the size of the feature maps of each layer as text."""
        network = self._model(model)
        candidates = network.layers.candidates(network.preprocessing.blank_input())
        return {layer.name: " x ".join(map(str, layer.shape[1:])) for layer in candidates}

    def predict_classes(self, image: Image.Image, model: str) -> list[ClassPrediction]:
        """Return the ``TOP_CLASSES`` most probable classes, the most probable first."""
        network = self._model(model)
        probabilities = predict_probabilities(network, network.preprocessing(image)[None])[0]
        labels = network.labels
        require_label_per_class(labels, len(probabilities))
        top = probabilities.topk(min(TOP_CLASSES, len(probabilities)))
        return [
            ClassPrediction(index, labels[index].split(",")[0] if labels else str(index), probability)
            for probability, index in zip(top.values.tolist(), top.indices.tolist(), strict=True)
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
        """Explain an image, which facts and files call ``source``.

        ``layer`` None is the model's default layer, ``target`` None the predicted class, ``theta`` None the theta of
        the method; methods without a theta ignore it. Raises a :class:`FusionCamError`.
        """
        network = self._model(model)
        if layer is not None:
            _require_offered("layer", layer, self.layers(model))
            network = _at_layer(network, layer)
        _require_offered("method", method, self.methods)
        budget = _budget_of(network, image)
        spec = name = _with_budget(self.methods[method], budget)
        chosen = cache_maps(as_method(spec)[1])
        if isinstance(chosen, FusionCAM) and theta not in (None, chosen.theta):
            chosen, name = replace(chosen, theta=theta), spec_with_theta(spec, theta)
        (explanations,) = explain_batches([image], network, [chosen], target)
        if len(explanations) > 1:
            raise MethodError(f"'{target}' requests {len(explanations)} heatmaps: choose one class")
        return CachedExplanation(replace(explanations[0], source=source, method=name), chosen, spec, budget)

    def explain_frame(
        self, image: Image.Image, model: str, method: str, before: RunningMean | None = None
    ) -> tuple[Explanation, RunningMean]:
        """Explain a frame of a camera, of the class that is most probable over the last frames."""
        network = self._model(model)
        _require_offered("method", method, self.methods)
        probabilities = predict_probabilities(network, network.preprocessing(image)[None])[0]
        mean = RunningMean.after(before, model, probabilities)
        spec = _with_budget(self.methods[method], _LIVE_BUDGET)
        with following_images(mean.last_scores):
            ((explanation,),) = explain_batches([image], network, [spec], int(mean.probabilities.argmax()))
        return explanation, mean

    def explain_by(self, method: str, explained: CachedExplanation) -> Explanation:
        """Explain the same image, class and layer by another method; the same method returns the same explanation."""
        _require_offered("method", method, self.methods)
        spec = _with_budget(self.methods[method], explained.budget)
        return explained.explanation if spec == explained.spec else explained.explanation.by(spec)

    def name_of(self, explained: CachedExplanation) -> str:
        """Return the name of the model of an explanation, as the page offers it."""
        network = explained.explanation.provenance.model.network
        return next(name for name, model in self.models.items() if model.network is network)

    def stages(self, explained: CachedExplanation) -> list[str]:
        """Return the default layer of the model of an explanation, then the last layer of each other size of maps."""
        name = self.name_of(explained)
        return stage_layers(self.layers(name), self.layer_sizes(name))

    def stage_heatmap(self, explained: CachedExplanation, layer: str) -> Tensor:
        """Return the heatmap ``(H, W)`` of the same image and class at another layer, by a method of one pass."""
        one, network = explained.explanation.provenance, self.models[self.name_of(explained)]
        heatmaps: Tensor = as_method(_STAGE_METHOD)[1](_at_layer(network, layer), one.x, one.target)
        return heatmaps[0].cpu()

    def _model(self, name: str) -> ExplainedModel:
        _require_offered("model", name, self.models)
        return self.models[name]


def _require_offered(kind: str, name: object, offered: Iterable[str]) -> None:
    names = list(offered)
    if name not in names:
        raise UnknownNameError(f"this page does not offer the {kind} {name!r}; {suggestion(name, names)}")


@lru_cache(maxsize=32)
def _at_layer(network: ExplainedModel, layer: str) -> ExplainedModel:
    """Return the model explained at another layer: the same object each time, because it keeps its tuned speed."""
    return network.with_layer(layer)


def _budget_of(network: ExplainedModel, image: Image.Image) -> int:
    """Return the number of masks to score at a layer, which depends on whether its channels have both signs."""
    activations = network.record(network.preprocessing(image)[None], 0).activations
    return _SIGNED_BUDGET if (activations < 0).any() else _BUDGET


def _with_budget(spec: str, budget: int) -> str:
    return spec.replace("{budget}", str(budget))

"""Methods that look at several layers of one image, which share one recorded pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_known
from fusioncam.functional.cam import divide
from fusioncam.functional.heatmaps import minmax, precise, upsample, weighted_sum
from fusioncam.functional.masks import FILLS, ChannelMasks, TransformedMasks
from fusioncam.inference.cache import cached_passes, memoize_pass, prefetch_layers
from fusioncam.methods.base import REDUCTIONS, Method, at_layer, layers_of, warn_if_flat
from fusioncam.methods.costs import cost_of
from fusioncam.methods.fusion import FusionCAM
from fusioncam.methods.gradient import GradCAMPlusPlus, LayerCAM
from fusioncam.model.explained_model import ExplainedModel, Record
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class FullGrad:
    """FullGrad: what pixels and biases add to the score (Srinivas and Fleuret 2019, arXiv 1905.00780).

    ``psi(x g_x) + sum of psi(b g)`` over all layers that add a bias and keep places, channels summed: convolutions,
    and BatchNorm with what its statistics come to. ``psi`` takes the absolute value, stretches it to [0, 1] over the
    layer, as the authors' code does, and brings it to the input's size.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "2"
    paper: ClassVar[str] = "arXiv 1905.00780"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        x, biases = x.to(model.device), model.channel_biases(x)
        terms = [precise(x) * model.input_gradients(x, target)]
        if biases:
            records = model.records(x, target, biases)
            terms += [one.gradients * biases[one.layer].to(one.gradients) for one in records]
        total = torch.stack([self._psi(term, x.shape[2:]) for term in terms]).sum(0)
        return warn_if_flat(minmax(total), self)

    @staticmethod
    def _psi(term: Tensor, size: Sequence[int]) -> Tensor:
        return upsample(minmax(term.abs()).sum(1), size)


@dataclass(frozen=True)
class RefineCAM:
    """RefineCAM: the product of one method's heatmaps at several layers (arXiv 2605.14641).

    ``layers`` are dotted names; by default the last layers at 4 and 2 times the sides of the model's maps, and the
    model's own layer. Grad-CAM++, the public codes' choice, expects maps of one sign: on layers without an
    activation, as between the stages of MobileNets and EfficientNets, LayerCAM is the better ``method``.
    """

    family: ClassVar[str] = "gradient"
    paper: ClassVar[str] = "arXiv 2605.14641"

    method: Method = field(default_factory=GradCAMPlusPlus)
    layers: tuple[str, ...] = ()

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return cost_of(self.method)

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        layers = self.layers or [*reversed(model.higher_resolution_layers(x)[:2]), model.layer_for(x)]
        heatmaps = each_layer(self.method, layers, model, x, target)
        return warn_if_flat(minmax(REDUCTIONS["product"](heatmaps)), self)


@dataclass(frozen=True)
class MultiLayer:
    """One method's heatmaps at several layers, joined by their "mean", "max" or "product".

    ``layers`` are dotted names; by default the model's own layer and the last at twice the sides of its maps.
    """

    family: ClassVar[str] = "wrapper"
    paper: ClassVar[str] = ""

    method: Method = field(default_factory=LayerCAM)
    layers: tuple[str, ...] = ()
    rule: str = "mean"

    def __post_init__(self) -> None:
        require_known("rule", self.rule, REDUCTIONS)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return cost_of(self.method)

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        layers = self.layers or [*model.higher_resolution_layers(x)[:1], model.layer_for(x)]
        heatmaps = each_layer(self.method, layers, model, x, target)
        return warn_if_flat(minmax(REDUCTIONS[self.rule](heatmaps)), self)


def each_layer(method: Method, layers: Sequence[str], model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Give the method's heatmaps ``(L, N, *s)`` at each of the layers, from one recorded pass."""
    with cached_passes(), prefetch_layers(x, layers):
        return torch.stack([at_layer(method, layer)(model, x, target) for layer in layers])


@dataclass(frozen=True)
class Multiscale:
    """Fusion-CAM with the detail of earlier layers; ours, beyond the paper.

    The map of ``base`` plus the maps of ``finer`` at the last layers whose maps have 2, 4... times the sides of the
    model's, each with its weight of ``weights``. Networks whose maps are all of one size have nothing to add.
    """

    family: ClassVar[str] = "ensemble"
    paper: ClassVar[str] = "ours"

    base: Method = field(default_factory=FusionCAM)
    finer: Method = field(default_factory=LayerCAM)
    weights: tuple[float, ...] = (0.5, 0.25)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return cost_of(self.base, self.finer)

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        layers = model.higher_resolution_layers(x)[: len(self.weights)]
        with cached_passes(), prefetch_layers(x, layers_of(self.base) | set(layers)):
            total = self.base(model, x, target)
            for weight, layer in zip(self.weights, layers, strict=False):  # a network may have fewer sizes
                total = total + weight * at_layer(self.finer, layer)(model, x, target)
        return warn_if_flat(minmax(total), self)


@dataclass(frozen=True)
class PolyCAM:
    """Poly-CAM: maps of earlier layers, made locally even, times the map of the later (Englebert et al. 2022).

    arXiv 2204.13359. A channel weighs the probability of the image seen through it ("+"), what its absence
    costs ("-"), or both ("+-"), if positive. ``layers`` go from the first to the last; by default the last layers of
    every size of maps up to the model's. Where the even part is 0 so is the ratio, which the authors' code lets grow.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 2204.13359"

    sign: str = "+-"
    layers: tuple[str, ...] = ()
    fill: str = "mean"

    def __post_init__(self) -> None:
        require_known("sign", self.sign, ("+", "-", "+-"))
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return f"1 + {len(self.sign)} K of each layer"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        layers = self.layers or [*reversed(model.higher_resolution_layers(x)), model.layer_for(x)]
        first, *rest = reversed(model.records(x, target, layers))
        shown = self._cam(model, x, target, first)
        for record in rest:
            cam = self._cam(model, x, target, record)
            around = upsample(upsample(cam, shown.shape[1:]), cam.shape[1:])
            even = torch.where(around > 1e-12, divide(cam, around), 0)
            shown = even * upsample(shown, cam.shape[1:])
        return warn_if_flat(minmax(upsample(shown, x.shape[2:])), self)

    def _cam(self, model: ExplainedModel, x: Tensor, target: Target, record: Record) -> Tensor:
        masks = ChannelMasks(record.activations, x.shape[2:], "before")

        def scores(masks: Any) -> Tensor:
            return model.masked_scores(x, masks, target, readout="probability", fill=self.fill)

        weights = torch.zeros(masks.active.shape).to(record.activations)
        if "+" in self.sign:
            weights = weights + scores(masks)
        if "-" in self.sign:
            whole = model.score_from_logits(record.logits, target, "probability")
            weights = weights + whole - scores(TransformedMasks(masks, lambda mask: 1 - mask))
        return weighted_sum(record.activations, weights.relu().where(masks.active, 0).T).relu()

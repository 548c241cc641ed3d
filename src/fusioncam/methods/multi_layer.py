"""Methods that use several layers of one image, which share one recorded pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_known
from fusioncam.functional.cam import safe_divide
from fusioncam.functional.heatmaps import minmax, precise, upsample, weighted_sum
from fusioncam.functional.masks import FILLS, ChannelMasks, complement
from fusioncam.inference.cache import cached_passes, prefetch_layers
from fusioncam.methods.base import REDUCTIONS, Method, at_layer, layers_of, to_heatmap, warn_if_flat
from fusioncam.methods.costs import PassCount, cost_of
from fusioncam.methods.fusion import FusionCAM
from fusioncam.methods.gradient import GradCAMPlusPlus, LayerCAM
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.parameters import channel_biases
from fusioncam.model.pixel_gradients import input_gradients
from fusioncam.model.recording import Record
from fusioncam.model.scores import Target, score_from_logits


@dataclass(frozen=True)
class FullGrad:
    """FullGrad: the contributions of pixels and biases to the score (Srinivas and Fleuret 2019, arXiv 1905.00780).

    ``psi(x g_x) + sum of psi(b g)`` over all layers that add a bias and preserve locations, summed over channels:
    convolutions, and BatchNorm with the effective bias of its statistics. ``psi`` takes the absolute value, rescales
    it to [0, 1] over the layer, as the authors' code does, and upsamples it to the size of the input.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = PassCount(full=2)
    paper: ClassVar[str] = "arXiv 1905.00780"

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        x, biases = x.to(model.device), channel_biases(model, x)
        terms = [precise(x) * input_gradients(model, x, target)]
        if biases:
            records = model.records(x, target, biases)
            terms += [record.gradients * biases[record.layer].to(record.gradients) for record in records]
        total = torch.stack([self._psi(term, x.shape[2:]) for term in terms]).sum(0)
        return warn_if_flat(minmax(total), self)

    @staticmethod
    def _psi(term: Tensor, size: Sequence[int]) -> Tensor:
        return upsample(minmax(term.abs()).sum(1), size)


@dataclass(frozen=True)
class RefineCAM:
    """RefineCAM: the product of one method's heatmaps at several layers (arXiv 2605.14641).

    ``layers`` are dotted names; by default the last layers at 4 and 2 times the resolution of the model's layer, and
    the model's layer. Grad-CAM++, the choice of the public codes, expects non-negative activations: on layers without
    an activation function, as between the stages of MobileNets and EfficientNets, LayerCAM is the better ``method``.
    """

    family: ClassVar[str] = "gradient"
    paper: ClassVar[str] = "arXiv 2605.14641"

    method: Method = field(default_factory=GradCAMPlusPlus)
    layers: tuple[str, ...] = ()

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of(self.method)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        layers = self.layers or [*reversed(model.layers.higher_resolution(x)[:2]), model.layers.default(x)]
        heatmaps = heatmaps_at_layers(self.method, layers, model, x, target)
        return warn_if_flat(minmax(REDUCTIONS["product"](heatmaps)), self)


@dataclass(frozen=True)
class MultiLayer:
    """One method's heatmaps at several layers, combined by their "mean", "max" or "product".

    ``layers`` are dotted names; by default the model's layer and the last layer at twice its resolution.
    """

    family: ClassVar[str] = "wrapper"
    paper: ClassVar[str] = ""

    method: Method = field(default_factory=LayerCAM)
    layers: tuple[str, ...] = ()
    rule: str = "mean"

    def __post_init__(self) -> None:
        require_known("rule", self.rule, REDUCTIONS)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of(self.method)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        layers = self.layers or [*model.layers.higher_resolution(x)[:1], model.layers.default(x)]
        heatmaps = heatmaps_at_layers(self.method, layers, model, x, target)
        return warn_if_flat(minmax(REDUCTIONS[self.rule](heatmaps)), self)


def heatmaps_at_layers(
    method: Method, layers: Sequence[str], model: ExplainedModel, x: Tensor, target: Target
) -> Tensor:
    """Return the method's heatmaps ``(L, N, *s)`` at each of the layers, which share one recorded pass."""
    with cached_passes(), prefetch_layers(x, layers):
        return torch.stack([at_layer(method, layer)(model, x, target) for layer in layers])


@dataclass(frozen=True)
class Multiscale:
    """Fusion-CAM with the detail of earlier layers; ours, not the paper's.

    The heatmap of ``base`` plus the heatmaps of ``finer`` at the last layers with 2, 4, ... times the resolution of
    the model's layer, multiplied by ``weights``. In networks whose layers all have the same resolution, it equals
    ``base``.
    """

    family: ClassVar[str] = "ensemble"
    paper: ClassVar[str] = "ours"

    base: Method = field(default_factory=FusionCAM)
    finer: Method = field(default_factory=LayerCAM)
    weights: tuple[float, ...] = (0.5, 0.25)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of(self.base, self.finer)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        layers = model.layers.higher_resolution(x)[: len(self.weights)]
        with cached_passes(), prefetch_layers(x, layers_of(self.base) | set(layers)):
            total = self.base(model, x, target)
            for weight, layer in zip(self.weights, layers, strict=False):  # a network may have fewer resolutions
                total = total + weight * at_layer(self.finer, layer)(model, x, target)
        return warn_if_flat(minmax(total), self)


@dataclass(frozen=True)
class PolyCAM:
    """Poly-CAM: locally normalised maps of earlier layers times the map of the later layers (Englebert et al. 2022).

    arXiv 2204.13359. The weight of a channel is the probability of the image that it masks ("+"), the drop in
    probability when its complement masks the image ("-"), or the sum of both ("+-"), if positive. ``layers`` are in
    the order of the network; by default the last layer of every resolution down to the model's layer. Where the local
    mean is 0 the normalised map is 0; in the authors' code it is unbounded.
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
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return PassCount(recorded=True, per_channel_of_each_layer=len(self.sign))

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        layers = self.layers or [*reversed(model.layers.higher_resolution(x)), model.layers.default(x)]
        last, *earlier = reversed(model.records(x, target, layers))
        refined = self._cam(model, x, target, last)
        for record in earlier:
            cam = self._cam(model, x, target, record)
            local_mean = upsample(upsample(cam, refined.shape[1:]), cam.shape[1:])
            normalised = torch.where(local_mean > 1e-12, safe_divide(cam, local_mean), 0)
            refined = normalised * upsample(refined, cam.shape[1:])
        return to_heatmap(refined, x, self, relu=False)

    def _cam(self, model: ExplainedModel, x: Tensor, target: Target, record: Record) -> Tensor:
        masks = ChannelMasks(record.activations, x.shape[2:], "before")

        def scores(masks: Any) -> Tensor:
            return model.masked_scores(x, masks, target, readout="probability", fill=self.fill)

        weights = torch.zeros(masks.active.shape).to(record.activations)
        if "+" in self.sign:
            weights = weights + scores(masks)
        if "-" in self.sign:
            unmasked = score_from_logits(record.logits, target, "probability")
            weights = weights + unmasked - scores(complement(masks))
        return weighted_sum(record.activations, weights.relu().where(masks.active, 0).T).relu()

"""Grad-CAM and its kin: one recorded pass, one weighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from fusioncam.errors import MethodError, require_count, require_known
from fusioncam.functional.cam import (
    eigen_cam,
    eigen_grad_cam,
    elementwise_grad_cam,
    grad_cam,
    hires_cam,
    layer_cam,
    of_exponential,
    places,
    xgrad_cam,
)
from fusioncam.functional.heatmaps import denoise, expand_like, minmax, upsample, weighted_sum
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import require_percentile, to_heatmap, warn_if_flat
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, as_targets


class FromRecord(Protocol):
    """A method that makes its cam of the activations and gradients of one layer."""

    @property
    def layer(self) -> str | None:
        """The layer's dotted name; None is the model's."""

    @staticmethod
    def cam(activations: Tensor, gradients: Tensor, /) -> Tensor:
        """Give the raw cam ``(N, *s)``."""


@memoize_pass
def from_record(self: FromRecord, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Give heatmaps ``(N, *s)`` in [0, 1]: the cam of one recorded pass, brought to the input's size."""
    record = model.record(x, target, self.layer)
    return to_heatmap(self.cam(record.activations, record.gradients), x, self)


@dataclass(frozen=True)
class GradCAM:
    """Grad-CAM: channels weighted by their mean gradient (Selvaraju et al. 2017, arXiv 1610.02391, eq. 1-2).

    ``layer`` defaults to the model's. Called with ``x (N, C, *s)`` and ``target (N,)`` it gives heatmaps
    ``(N, *s)`` in [0, 1]: ReLU, brought to the input's size, stretched to [0, 1].
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "1"
    paper: ClassVar[str] = "arXiv 1610.02391"

    layer: str | None = None
    cam = staticmethod(grad_cam)
    __call__ = from_record


@dataclass(frozen=True)
class CAM:
    """CAM: channels weighted by the linear layer behind the average pooling (Zhou et al. 2016, arXiv 1512.04150).

    For networks whose scores are ``W mean(A) + b``; others are a :class:`MethodError`. No ReLU, as in the paper.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "1"
    paper: ClassVar[str] = "arXiv 1512.04150"

    layer: str | None = None

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        record = model.record(x, target, self.layer)
        weights = model.head_weights(record, target)
        return warn_if_flat(minmax(upsample(weighted_sum(record.activations, weights), x.shape[2:])), self)


@dataclass(frozen=True)
class GradCAMPlusPlus:
    """Grad-CAM++: positive gradients weighted by how much of the score they carry (Chattopadhyay et al. 2018).

    arXiv 1710.11063. Its general ``alpha`` is made of the second and third derivatives of a score ``Y``; for
    ``Y = exp(S)`` of a logit ``S`` whose own curvature is taken as 0 they are powers of ``g = dS/dA``:
    ``alpha = g^2 / (2 g^2 + sum(A) g^3)``, 0 where that divides by 0, and weights ``sum alpha relu(g)``. The factor
    ``exp(S)`` is one for the whole map, and is left out.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "1"
    paper: ClassVar[str] = "arXiv 1710.11063"

    layer: str | None = None
    cam = staticmethod(of_exponential)
    __call__ = from_record


@dataclass(frozen=True)
class XGradCAM:
    """XGrad-CAM: gradients averaged with the activations as weights (Fu et al. 2020, arXiv 2008.02312).

    The weight of a channel is ``sum(A g) / sum(A)``, 0 where ``sum(A)`` is. Behind an average pooling and a
    linear layer it is Grad-CAM.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "1"
    paper: ClassVar[str] = "arXiv 2008.02312"

    layer: str | None = None
    cam = staticmethod(xgrad_cam)
    __call__ = from_record


@dataclass(frozen=True)
class LayerCAM:
    """LayerCAM: every place weighted by its own positive gradient (Jiang et al. 2021, 10.1109/TIP.2021.3089943).

    ``sum_k relu(g_k) A_k``; made for early layers too, whose maps are finer.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "1"
    paper: ClassVar[str] = "10.1109/TIP.2021.3089943"

    layer: str | None = None
    cam = staticmethod(layer_cam)
    __call__ = from_record


@dataclass(frozen=True)
class HiResCAM:
    """HiResCAM: every place weighted by its own gradient, of either sign (Draelos and Carin 2020, arXiv 2011.08891).

    ``sum_k g_k A_k``, ReLU at the end alone.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "1"
    paper: ClassVar[str] = "arXiv 2011.08891"

    layer: str | None = None
    cam = staticmethod(hires_cam)
    __call__ = from_record


@dataclass(frozen=True)
class ElementwiseGradCAM:
    """Element-wise Grad-CAM: HiResCAM with the ReLU inside, so that channels do not cancel: ``sum_k relu(g_k A_k)``.

    Of no paper of its own; known from pytorch-grad-cam.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "1"
    paper: ClassVar[str] = "pytorch-grad-cam"

    layer: str | None = None
    cam = staticmethod(elementwise_grad_cam)
    __call__ = from_record


@dataclass(frozen=True)
class EigenCAM:
    """EigenCAM: the activations' first principal component (Muhammad and Yeasin 2020, arXiv 2008.00299).

    It asks for no class: the map is the same whatever the target. Not centred, as in the paper. The paper leaves
    the sign open: it is the one with which the map's sum is above 0.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "1"
    paper: ClassVar[str] = "arXiv 2008.00299"

    layer: str | None = None
    cam = staticmethod(eigen_cam)
    __call__ = from_record


@dataclass(frozen=True)
class EigenGradCAM:
    """Eigen-Grad-CAM: EigenCAM of activations times gradients, which makes it of the class.

    Of no paper of its own; known from pytorch-grad-cam. Not centred; the sign is the one with which the map points
    where HiResCAM does, so that it speaks for the class.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "1"
    paper: ClassVar[str] = "pytorch-grad-cam"

    layer: str | None = None
    cam = staticmethod(eigen_grad_cam)
    __call__ = from_record


@dataclass(frozen=True)
class DenoisedGradCAM:
    """The gradient map of Union-CAM (Hu et al. 2024, 10.3389/fnbot.2024.1490198).

    In each channel the gradients below that channel's ``theta``-th percentile and those below 0 are dropped,
    the rest is divided by its sum plus ``epsilon``; the map is the sum over channels of these times the
    activations, place by place. ``epsilon`` keeps a channel whose positive gradients are mere rounding
    from counting as much as any other; its default is that of the public codes.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "1"
    paper: ClassVar[str] = "10.3389/fnbot.2024.1490198"

    theta: float = 10
    epsilon: float = 1e-8
    layer: str | None = None

    def __post_init__(self) -> None:
        require_percentile(self.theta)

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        record = model.record(x, target, self.layer)
        gradients = record.gradients
        positive = denoise(gradients.flatten(0, 1), self.theta).relu().reshape(gradients.shape)
        share = positive / expand_like(places(positive) + self.epsilon, positive)
        cam = (share * record.activations).sum(1)
        return warn_if_flat(minmax(upsample(cam, x.shape[2:])), self)


@dataclass(frozen=True)
class ShapleyCAM:
    """ShapleyCAM: Grad-CAM with half of the score's curvature taken off (Cai 2025, arXiv 2501.06261).

    Channel weights are the means of ``dU/dA - H A / 2``, ``H`` being the Hessian of the ``utility`` ``U`` by the
    layer's maps: "rest", the logit and the logarithm of the probability, as the paper proposes, or "logit".
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "1"
    paper: ClassVar[str] = "arXiv 2501.06261"

    utility: str = "rest"
    layer: str | None = None

    def __post_init__(self) -> None:
        require_known("utility", self.utility, ("rest", "logit"))

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        record, curvature = model.record_with_hessian_product(x, target, self.layer, self.utility)
        return to_heatmap(grad_cam(record.activations, record.gradients - curvature / 2), x, self)


@dataclass(frozen=True)
class FinerCAM:
    """Finer-CAM: what tells the class from those most like it (Zhang et al. 2025, arXiv 2501.11309).

    Grad-CAM of ``y_c - gamma mean(y_d)``, ``d`` being the ``references`` other classes of the nearest logits.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "2"
    paper: ClassVar[str] = "arXiv 2501.11309"

    references: int = 3
    gamma: float = 0.6
    layer: str | None = None

    def __post_init__(self) -> None:
        require_count("references", self.references)

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        logits = model.logits(x)
        targets = as_targets(target, logits)
        apart = (logits - model.score_from_logits(logits, target, "logit")[:, None]).abs()
        apart = apart.scatter(1, targets[:, None], torch.inf)  # no class is a reference of its own
        count = min(self.references, logits.shape[1] - 1)
        if count == 0:
            raise MethodError("finer-cam compares classes, and this network has one: grad-cam would do")
        nearest = apart.argsort(dim=1, stable=True)[:, :count]
        contrast = torch.zeros_like(logits).scatter(1, nearest, -self.gamma / count)
        contrast = contrast.scatter(1, targets[:, None], 1)
        record = model.record(x, contrast, self.layer)
        return to_heatmap(grad_cam(record.activations, record.gradients), x, self)

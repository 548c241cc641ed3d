"""Methods that weight activations by gradients: Grad-CAM and its variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import MethodError, require_count, require_known
from fusioncam.functional.cam import (
    eigen_grad_cam,
    elementwise_grad_cam,
    factorised_cam,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    layer_cam,
    seg_eigen_cam,
    spatial_sum,
    xgrad_cam,
)
from fusioncam.functional.heatmaps import denoise, expand_like, weighted_sum
from fusioncam.methods.base import RecordedCAM, require_percentile, to_heatmap
from fusioncam.methods.costs import RECORDED, PassCount
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.hessian_product import record_with_hessian_product
from fusioncam.model.parameters import head_weights
from fusioncam.model.scores import Target, coefficients, score_from_logits


class GradCAM(RecordedCAM):
    """Grad-CAM: channels weighted by their mean gradient (Selvaraju et al. 2017, arXiv 1610.02391, eq. 1-2).

    ``layer`` defaults to the model's. Calls with ``x (N, C, *s)`` and ``target (N,)`` return heatmaps ``(N, *s)``:
    the cam after a ReLU, upsampled to the size of the input and rescaled to [0, 1].
    """

    paper: ClassVar[str] = "arXiv 1610.02391"

    def cam(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return ``sum_k mean(g_k) A_k``."""
        return grad_cam(activations, gradients)


class GradCAMPlusPlus(RecordedCAM):
    """Grad-CAM++: positive gradients weighted by their share of the score (Chattopadhyay et al. 2018).

    arXiv 1710.11063. The general ``alpha`` uses the second and third derivatives of a score ``Y``. For ``Y = exp(S)``
    of a logit ``S`` whose own second derivatives are taken as 0, they are powers of ``g = dS/dA``:
    ``alpha = g^2 / (2 g^2 + sum(A) g^3)``, 0 where the denominator is 0. The weights are ``sum alpha relu(g)``. The
    factor ``exp(S)`` is the same for the whole map and is omitted.
    """

    paper: ClassVar[str] = "arXiv 1710.11063"

    def cam(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return ``sum_k sum(alpha_k relu(g_k)) A_k``."""
        return grad_cam_plus_plus(activations, gradients)


class XGradCAM(RecordedCAM):
    """XGrad-CAM: channels weighted by their activation-weighted mean gradient (Fu et al. 2020, arXiv 2008.02312).

    The weight of a channel is ``sum(A g) / sum(A)``, 0 where ``sum(A)`` is 0. If average pooling and a linear layer
    follow, it equals Grad-CAM.
    """

    paper: ClassVar[str] = "arXiv 2008.02312"

    def cam(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return ``sum_k (sum(A_k g_k) / sum(A_k)) A_k``."""
        return xgrad_cam(activations, gradients)


class LayerCAM(RecordedCAM):
    """LayerCAM: every location weighted by its own positive gradient (Jiang et al. 2021, 10.1109/TIP.2021.3089943).

    ``sum_k relu(g_k) A_k``. It is also meant for early layers, whose maps have a higher resolution.
    """

    paper: ClassVar[str] = "10.1109/TIP.2021.3089943"

    def cam(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return ``sum_k relu(g_k) A_k``."""
        return layer_cam(activations, gradients)


class HiResCAM(RecordedCAM):
    """HiResCAM: every location weighted by its own signed gradient (Draelos and Carin 2020, arXiv 2011.08891).

    ``sum_k g_k A_k``, with a ReLU only at the end.
    """

    paper: ClassVar[str] = "arXiv 2011.08891"

    def cam(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return ``sum_k g_k A_k``."""
        return hires_cam(activations, gradients)


class ElementwiseGradCAM(RecordedCAM):
    """Element-wise Grad-CAM: HiResCAM with a ReLU per channel, so that channels do not cancel.

    ``sum_k relu(g_k A_k)``. It has no paper of its own; pytorch-grad-cam introduced it.
    """

    paper: ClassVar[str] = "pytorch-grad-cam"

    def cam(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return ``sum_k relu(g_k A_k)``."""
        return elementwise_grad_cam(activations, gradients)


class EigenGradCAM(RecordedCAM):
    """Eigen-Grad-CAM: EigenCAM of activations times gradients, which makes it class-specific.

    It has no paper of its own; pytorch-grad-cam introduced it. The products are not centred. The sign is the one that
    gives the map a positive inner product with HiResCAM's, so that high values support the class.
    """

    paper: ClassVar[str] = "pytorch-grad-cam"

    def cam(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return the projection of activations times gradients on their first principal component."""
        return eigen_grad_cam(activations, gradients)


class SegEigenCAM(RecordedCAM):
    """Seg-Eigen-CAM: the first principal component of activations times absolute gradients (Chung and Ying 2025).

    10.3390/app15137562, eq. 10-13. It was made for segmentation. The products are centred, and the sign makes the
    value of the largest magnitude positive.
    """

    paper: ClassVar[str] = "10.3390/app15137562"

    def cam(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return the projection of the centred ``|g_k| A_k`` on their first principal component."""
        return seg_eigen_cam(activations, gradients)


@dataclass(frozen=True)
class DFF(RecordedCAM):
    """DFF: deep feature factorization, concepts of the activations weighted for the class (Collins et al. 2018).

    arXiv 1806.10206. The activations are factorised into ``concepts`` non-negative parts, each a pattern of channels
    and its map. The paper finds them over several images and shows each map alone. Here each image is factorised by
    itself, and the maps are summed with the mean gradient of the score along each pattern as their weights, which
    makes it Grad-CAM of the factorised activations.
    """

    paper: ClassVar[str] = "arXiv 1806.10206"

    concepts: int = 4

    def __post_init__(self) -> None:
        require_count("concepts", self.concepts)

    def cam(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return the sum of the concepts' maps, weighted for the class."""
        return factorised_cam(activations, gradients, self.concepts)


@dataclass(frozen=True)
class CAM:
    """CAM: channels weighted by the linear layer after average pooling (Zhou et al. 2016, arXiv 1512.04150).

    It needs a network whose scores are ``W mean(A) + b``; others raise :class:`MethodError`. No ReLU, as in the
    paper.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = RECORDED
    paper: ClassVar[str] = "arXiv 1512.04150"

    layer: str | None = None

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        record = model.record(x, target, self.layer)
        weights = head_weights(model, record, target)
        return to_heatmap(weighted_sum(record.activations, weights), x, self, relu=False)


@dataclass(frozen=True)
class DenoisedGradCAM:
    """The gradient map of Union-CAM (Hu et al. 2024, 10.3389/fnbot.2024.1490198).

    In each channel, gradients that are negative or below the channel's ``theta``-th percentile become 0, and the
    others are divided by their sum plus ``epsilon``. The map is the sum over channels of these weights times the
    activations at each location. Without ``epsilon``, a channel whose positive gradients are mere rounding would
    weigh as much as any other; its default is that of the public codes.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = RECORDED
    paper: ClassVar[str] = "10.3389/fnbot.2024.1490198"

    theta: float = 10
    epsilon: float = 1e-8
    layer: str | None = None

    def __post_init__(self) -> None:
        require_percentile(self.theta)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        record = model.record(x, target, self.layer)
        gradients = record.gradients
        positive = denoise(gradients.flatten(0, 1), self.theta).relu().reshape(gradients.shape)
        weights = positive / expand_like(spatial_sum(positive) + self.epsilon, positive)
        return to_heatmap((weights * record.activations).sum(1), x, self, relu=False)


@dataclass(frozen=True)
class ShapleyCAM:
    """ShapleyCAM: Grad-CAM with a second-order correction of the gradient (Cai 2025, arXiv 2501.06261).

    Channel weights are the means of ``dU/dA - H A / 2``, where ``H`` is the Hessian of the ``utility`` ``U`` with
    respect to the activations. The utility is "rest", the logit plus the logarithm of the probability, as the paper
    proposes, or "logit".
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = RECORDED
    paper: ClassVar[str] = "arXiv 2501.06261"

    utility: str = "rest"
    layer: str | None = None

    def __post_init__(self) -> None:
        require_known("utility", self.utility, ("rest", "logit"))

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        return to_heatmap(weighted_sum(*self.channel_weights(model, x, target)), x, self)

    def channel_weights(self, model: ExplainedModel, x: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """Return the channels ``(N, K, *s)`` and their weights ``(N, K)``."""
        record, hessian_product = record_with_hessian_product(model, x, target, self.layer, self.utility)
        return record.activations, (record.gradients - hessian_product / 2).flatten(2).mean(2)


@dataclass(frozen=True)
class FinerCAM:
    """Finer-CAM: what separates the class from the most similar ones (Zhang et al. 2025, arXiv 2501.11309).

    Grad-CAM of ``y_c - gamma mean(y_d)``, where ``d`` are the ``references`` other classes with the nearest logits.
    For a target of several classes, ``y_c`` is its score and ``d`` are classes that are not among them. A network
    without other classes raises :class:`MethodError`.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = PassCount(full=2)
    paper: ClassVar[str] = "arXiv 2501.11309"

    references: int = 3
    gamma: float = 0.6
    layer: str | None = None

    def __post_init__(self) -> None:
        require_count("references", self.references)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        contrast = self._contrast(model, model.logits(x), target)
        record = model.record(x, contrast, self.layer)
        return to_heatmap(grad_cam(record.activations, record.gradients), x, self)

    def _contrast(self, model: ExplainedModel, logits: Tensor, target: Target) -> Tensor:
        """Return the coefficients ``(N, classes)`` of the logits in the contrast score."""
        own = coefficients(target, logits)
        distances = (logits - score_from_logits(logits, target, "logit")[:, None]).abs()
        distances = distances.where(own == 0, torch.inf)  # a class is not its own reference
        counts = (own == 0).sum(1).clamp(max=self.references)
        if not counts.all():
            raise MethodError("finer-cam compares the target with other classes, and there are none; use grad-cam")
        nearest = distances.argsort(dim=1, stable=True)
        ranks = torch.arange(logits.shape[1], device=logits.device)
        weights = (-self.gamma / counts.double())[:, None].where(ranks < counts[:, None], 0)
        return own + torch.zeros_like(logits).scatter(1, nearest, weights.to(logits))

"""Methods that read the activations alone: they need no gradients, and most of them do not depend on the class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from fusioncam.errors import SettingError
from fusioncam.functional.cam import eigen_cam, feature_explanation, kernel_pca_cam
from fusioncam.methods.base import to_heatmap
from fusioncam.methods.costs import RECORDED, PassCount
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class ActivationCAM(ABC):
    """Base class of methods that compute their cam from the activations of one recorded pass.

    A subclass defines its citation, ``paper``, and :meth:`cam`. The heatmap is the same for every target.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = RECORDED
    paper: ClassVar[str]

    layer: str | None = None

    @abstractmethod
    def cam(self, activations: Tensor) -> Tensor:
        """Return the cam ``(N, *s)`` of activations ``(N, K, *s)``."""

    @final
    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        return to_heatmap(self.cam(model.record(x, target, self.layer).activations), x, self)


class EigenCAM(ActivationCAM):
    """EigenCAM: the first principal component of the activations (Muhammad and Yeasin 2020, arXiv 2008.00299).

    It does not depend on the class: the map is the same for every target. The activations are not centred, as in the
    paper. The paper leaves the sign open; here the sum of the map is positive. It needs no gradients.
    """

    paper: ClassVar[str] = "arXiv 2008.00299"

    def cam(self, activations: Tensor) -> Tensor:
        """Return the projection of the activations on their first principal component."""
        return eigen_cam(activations)


class KPCACAM(ActivationCAM):
    """KPCA-CAM: EigenCAM with a kernel, for structure that is not linear (Karmani et al. 2024, arXiv 2410.00267).

    It does not depend on the class, and needs no gradients. The kernel of two locations is ``tanh(a b / K + 1)`` of
    their centred channels, the sigmoid kernel of pytorch-grad-cam. The sign, which the method leaves open, makes the
    value of the largest magnitude positive. Memory grows with the square of the number of locations.
    """

    paper: ClassVar[str] = "arXiv 2410.00267"

    def cam(self, activations: Tensor) -> Tensor:
        """Return the projection on the first principal component under the kernel."""
        return kernel_pca_cam(activations)


@dataclass(frozen=True)
class FEM(ActivationCAM):
    """FEM: the locations that stand out in each channel, weighted by the channel's mean (Fuad et al. 2020).

    10.1109/IPTA50016.2020.9286629. A location stands out if it exceeds the channel's mean by ``k`` standard
    deviations. It does not depend on the class, and needs no gradients. The paper's text was not available: this
    follows the definition in the documentation of xplique, which cites it.
    """

    paper: ClassVar[str] = "10.1109/IPTA50016.2020.9286629"

    k: float = 2

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, (int, float)):
            raise SettingError(f"k must be a number of standard deviations, got {self.k!r}")

    def cam(self, activations: Tensor) -> Tensor:
        """Return the sum of the locations that stand out, weighted by the channels' means."""
        return feature_explanation(activations, self.k)

"""The classes of pytorch-grad-cam that have a method here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from fusioncam import methods
from fusioncam.compat.pytorch_grad_cam.base_cam import BaseCAM, Layers
from fusioncam.errors import InputTypeError, SettingError, shown
from fusioncam.methods.base import Method


class GradCAM(BaseCAM):
    """Grad-CAM, our ``grad-cam``."""

    method = methods.GradCAM()


class GradCAMPlusPlus(BaseCAM):
    """Grad-CAM++, our ``grad-cam++``."""

    method = methods.GradCAMPlusPlus()


class XGradCAM(BaseCAM):
    """XGrad-CAM, our ``xgrad-cam``."""

    method = methods.XGradCAM()


class LayerCAM(BaseCAM):
    """LayerCAM, our ``layer-cam``."""

    method = methods.LayerCAM()


class HiResCAM(BaseCAM):
    """HiResCAM, our ``hires-cam``."""

    method = methods.HiResCAM()


class GradCAMElementWise(BaseCAM):
    """Element-wise Grad-CAM, our ``elementwise-grad-cam``."""

    method = methods.registry.METHODS["elementwise-grad-cam"]


class EigenCAM(BaseCAM):
    """EigenCAM, our ``eigen-cam``."""

    method = methods.EigenCAM()
    uses_gradients = False


class EigenGradCAM(BaseCAM):
    """Eigen-Grad-CAM, our ``eigen-grad-cam``."""

    method = methods.EigenGradCAM()


class SegEigenCAM(BaseCAM):
    """Seg-Eigen-CAM, our ``seg-eigen-cam``."""

    method = methods.SegEigenCAM()


class KPCA_CAM(BaseCAM):  # the name of the original
    """KPCA-CAM, our ``kpca-cam``, with the sigmoid kernel."""

    method = methods.KPCACAM()
    uses_gradients = False

    def __init__(
        self,
        model: nn.Module,
        target_layers: Layers = (),
        reshape_transform: Callable[[Any], Tensor] | None = None,
        kernel: str = "sigmoid",
        gamma: float | None = None,
        **settings: Any,
    ) -> None:
        if kernel != "sigmoid" or gamma is not None:
            raise SettingError(f"kernel={kernel!r} with gamma={gamma} is not available: use the sigmoid kernel")
        super().__init__(model, target_layers, reshape_transform, **settings)


class FEM(BaseCAM):
    """FEM, our ``fem``; ``k`` is the number of standard deviations."""

    method: Method | None = methods.FEM()  # type: ignore[misc] # each object has its own
    uses_gradients = False

    def __init__(
        self,
        model: nn.Module,
        target_layers: Layers = (),
        reshape_transform: Callable[[Any], Tensor] | None = None,
        k: float = 2,
        **settings: Any,
    ) -> None:
        super().__init__(model, target_layers, reshape_transform, **settings)
        self.method = methods.FEM(k=k)


class ShapleyCAM(BaseCAM):
    """ShapleyCAM, our ``shapley-cam(utility=logit)``; with ``ClassifierOutputReST`` the paper's utility."""

    method = methods.ShapleyCAM(utility="logit")
    compute_input_gradient = True


class ScoreCAM(BaseCAM):
    """Score-CAM, our ``score-cam``."""

    method = methods.ScoreCAM()
    uses_gradients = False


class RandomCAM(BaseCAM):
    """Random numbers per pixel, our ``random``; theirs weights the layer's channels at random."""

    method = methods.Random()


class FullGrad(BaseCAM):
    """FullGrad, our ``fullgrad``; it uses the biases of all layers, and ``target_layers`` is ignored."""

    method = methods.FullGrad()
    compute_input_gradient = True

    def __init__(
        self,
        model: nn.Module,
        target_layers: Layers = (),
        reshape_transform: Callable[[Any], Tensor] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(model, (), None, **settings)


class AblationCAM(BaseCAM):
    """Ablation-CAM, our ``ablation-cam``; ``ablation_layer`` is ignored, because ours changes the layer by a hook."""

    method = methods.AblationCAM()
    uses_gradients = False

    def __init__(
        self,
        model: nn.Module,
        target_layers: Layers = (),
        reshape_transform: Callable[[Any], Tensor] | None = None,
        ablation_layer: object = None,
        batch_size: int = 32,
        ratio_channels_to_ablate: float = 1.0,
        **settings: Any,
    ) -> None:
        if ratio_channels_to_ablate != 1:
            raise SettingError(
                f"ratio_channels_to_ablate={ratio_channels_to_ablate} is not available: ablate all channels, or use "
                "fusioncam's methods recipro-cam or score-cam(budget=auto), which need fewer passes"
            )
        super().__init__(model, target_layers, reshape_transform, batch_size=batch_size, **settings)


class RefineCAM(BaseCAM):
    """RefineCAM: the product of the heatmaps of ``base_method`` at the target layers."""

    method: Method | None = methods.GradCAMPlusPlus()  # type: ignore[misc] # each object has its own
    rule = "product"

    def __init__(
        self,
        model: nn.Module,
        target_layers: Layers,
        reshape_transform: Callable[[Any], Tensor] | None = None,
        base_method: type[BaseCAM] = GradCAMPlusPlus,
        **settings: Any,
    ) -> None:
        require_cam(base_method)
        super().__init__(model, target_layers, reshape_transform, **settings)
        self.method = base_method.method
        self.uses_gradients = base_method.uses_gradients


def require_cam(base_method: object) -> None:
    """Raise :class:`InputTypeError` unless the base method is a class of this package."""
    if not (isinstance(base_method, type) and issubclass(base_method, BaseCAM)):
        raise InputTypeError(f"base_method is a class such as GradCAM of this package, got {shown(base_method)}")

"""The interface of pytorch-grad-cam 1.5.7 with our methods behind, see "Coming from other libraries" in the docs.

Programs run with another import: ``from fusioncam.compat.pytorch_grad_cam import GradCAM``.
"""

from fusioncam.compat.pytorch_grad_cam.ablation_layer import (
    AblationLayer,
    AblationLayerFasterRCNN,
    AblationLayerVit,
)
from fusioncam.compat.pytorch_grad_cam.base_cam import BaseCAM
from fusioncam.compat.pytorch_grad_cam.cams import (
    FEM,
    KPCA_CAM,
    AblationCAM,
    EigenCAM,
    EigenGradCAM,
    FullGrad,
    GradCAM,
    GradCAMElementWise,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    RandomCAM,
    RefineCAM,
    ScoreCAM,
    SegEigenCAM,
    ShapleyCAM,
    XGradCAM,
)
from fusioncam.compat.pytorch_grad_cam.feature_factorization.deep_feature_factorization import (
    DeepFeatureFactorization,
)
from fusioncam.compat.pytorch_grad_cam.finer_cam import FinerCAM
from fusioncam.compat.pytorch_grad_cam.guided_backprop import GuidedBackpropReLUModel
from fusioncam.compat.pytorch_grad_cam.metrics import arcc, cam_mult_image, perturbation_confidence, road
from fusioncam.compat.pytorch_grad_cam.unavailable import (
    SESS,
    ActivationsAndGradients,
    run_dff_on_image,
)
from fusioncam.compat.pytorch_grad_cam.utils import find_layers, image, model_targets, reshape_transforms
from fusioncam.compat.pytorch_grad_cam.utils.image import show_cam_on_image
from fusioncam.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

__all__ = [
    "FEM",
    "KPCA_CAM",
    "SESS",
    "AblationCAM",
    "AblationLayer",
    "AblationLayerFasterRCNN",
    "AblationLayerVit",
    "ActivationsAndGradients",
    "BaseCAM",
    "ClassifierOutputTarget",
    "DeepFeatureFactorization",
    "EigenCAM",
    "EigenGradCAM",
    "FinerCAM",
    "FullGrad",
    "GradCAM",
    "GradCAMElementWise",
    "GradCAMPlusPlus",
    "GuidedBackpropReLUModel",
    "HiResCAM",
    "LayerCAM",
    "RandomCAM",
    "RefineCAM",
    "ScoreCAM",
    "SegEigenCAM",
    "ShapleyCAM",
    "XGradCAM",
    "arcc",
    "cam_mult_image",
    "find_layers",
    "image",
    "model_targets",
    "perturbation_confidence",
    "reshape_transforms",
    "road",
    "run_dff_on_image",
    "show_cam_on_image",
]

"""CAM methods by name: ``METHODS[name](model, x, target)``."""

from fusioncam.methods.ablation import AblationCAM, ReciproCAM
from fusioncam.methods.activation import FEM, KPCACAM, EigenCAM
from fusioncam.methods.attention import AttentionRelevance, AttentionRollout
from fusioncam.methods.base import Method, RecordedCAM
from fusioncam.methods.baselines import Center, Edges, Ones, Random
from fusioncam.methods.black_box import HSIC, RISE, Occlusion, Sobol, TwoSidedOcclusion
from fusioncam.methods.cas_cam import CasCAM
from fusioncam.methods.costs import PassCount
from fusioncam.methods.d_rise import DRISE
from fusioncam.methods.ensembles import RULES, Fuse, MetaCAM, fuse
from fusioncam.methods.fusion import FusionCAM, FusionComponents, UnionCAM
from fusioncam.methods.grad_eclip import GradECLIP
from fusioncam.methods.gradient import (
    CAM,
    DFF,
    DenoisedGradCAM,
    EigenGradCAM,
    ElementwiseGradCAM,
    FinerCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    SegEigenCAM,
    ShapleyCAM,
    XGradCAM,
)
from fusioncam.methods.group_cam import GroupCAM
from fusioncam.methods.guided_filter import GuidedFilter
from fusioncam.methods.legrad import LeGrad
from fusioncam.methods.multi_layer import FullGrad, MultiLayer, Multiscale, PolyCAM, RefineCAM
from fusioncam.methods.opti_cam import OptiCAM
from fusioncam.methods.registry import METHODS
from fusioncam.methods.score_cam import ISCAM, SSCAM, ScoreCAM
from fusioncam.methods.smoothing import (
    Augmented,
    ExpectedGradCAM,
    ExpectedGradients,
    IntegratedGradients,
    SmoothGradCAMPlusPlus,
)
from fusioncam.methods.winsor_cam import WinsorCAM

__all__ = [
    "CAM",
    "DFF",
    "DRISE",
    "FEM",
    "HSIC",
    "ISCAM",
    "KPCACAM",
    "METHODS",
    "RISE",
    "RULES",
    "SSCAM",
    "AblationCAM",
    "AttentionRelevance",
    "AttentionRollout",
    "Augmented",
    "CasCAM",
    "Center",
    "DenoisedGradCAM",
    "Edges",
    "EigenCAM",
    "EigenGradCAM",
    "ElementwiseGradCAM",
    "ExpectedGradCAM",
    "ExpectedGradients",
    "FinerCAM",
    "FullGrad",
    "Fuse",
    "FusionCAM",
    "FusionComponents",
    "GradCAM",
    "GradCAMPlusPlus",
    "GradECLIP",
    "GroupCAM",
    "GuidedFilter",
    "HiResCAM",
    "IntegratedGradients",
    "LayerCAM",
    "LeGrad",
    "MetaCAM",
    "Method",
    "MultiLayer",
    "Multiscale",
    "Occlusion",
    "Ones",
    "OptiCAM",
    "PassCount",
    "PolyCAM",
    "Random",
    "ReciproCAM",
    "RecordedCAM",
    "RefineCAM",
    "ScoreCAM",
    "SegEigenCAM",
    "ShapleyCAM",
    "SmoothGradCAMPlusPlus",
    "Sobol",
    "TwoSidedOcclusion",
    "UnionCAM",
    "WinsorCAM",
    "XGradCAM",
    "fuse",
]

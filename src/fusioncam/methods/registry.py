"""The methods by name.

``METHODS[name](model, x, target)`` returns heatmaps ``(N, *s)`` in [0, 1]. The name may have settings:
``METHODS["fusion-cam(budget=24)"]``. A name with a colon is a preset that
reproduces a public code: ``official`` is the Fusion-CAM paper's, ``xplaincam`` its first author's library.
"""

from __future__ import annotations

from fusioncam.methods.ablation import AblationCAM, ReciproCAM
from fusioncam.methods.activation import FEM, KPCACAM, EigenCAM
from fusioncam.methods.attention import AttentionRelevance, AttentionRollout
from fusioncam.methods.base import Method
from fusioncam.methods.baselines import Center, Edges, Ones, Random
from fusioncam.methods.black_box import HSIC, RISE, Occlusion, Sobol, TwoSidedOcclusion
from fusioncam.methods.cas_cam import CasCAM
from fusioncam.methods.d_rise import DRISE
from fusioncam.methods.ensembles import Fuse, MetaCAM
from fusioncam.methods.fusion import FusionCAM, UnionCAM
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
from fusioncam.methods.score_cam import ISCAM, SSCAM, ScoreCAM
from fusioncam.methods.smoothing import (
    Augmented,
    ExpectedGradCAM,
    ExpectedGradients,
    IntegratedGradients,
    SmoothGradCAMPlusPlus,
)
from fusioncam.methods.winsor_cam import WinsorCAM
from fusioncam.utils.spec_grammar import Registry

_XPLAINCAM = ScoreCAM(readout="probability", softmax=False, normalise="before", maps="normalised")

METHODS: Registry[Method] = Registry(
    "method",
    {
        "cam": CAM(),
        "grad-cam": GradCAM(),
        "grad-cam++": GradCAMPlusPlus(),
        "smooth-grad-cam++": SmoothGradCAMPlusPlus(),
        "xgrad-cam": XGradCAM(),
        "layer-cam": LayerCAM(),
        "hires-cam": HiResCAM(),
        "elementwise-grad-cam": ElementwiseGradCAM(),
        "eigen-cam": EigenCAM(),
        "eigen-grad-cam": EigenGradCAM(),
        "seg-eigen-cam": SegEigenCAM(),
        "kpca-cam": KPCACAM(),
        "fem": FEM(),
        "dff": DFF(),
        "fullgrad": FullGrad(),
        "shapley-cam": ShapleyCAM(),
        "finer-cam": FinerCAM(),
        "expected-grad-cam": ExpectedGradCAM(),
        "refine-cam": RefineCAM(),
        "winsor-cam": WinsorCAM(),
        "legrad": LeGrad(),
        "grad-eclip": GradECLIP(),
        "attention-rollout": AttentionRollout(),
        "attention-relevance": AttentionRelevance(),
        "integrated-gradients": IntegratedGradients(),
        "expected-gradients": ExpectedGradients(),
        "denoised-grad-cam": DenoisedGradCAM(),
        "score-cam": ScoreCAM(),
        "score-cam:official": ScoreCAM(),
        "score-cam:xplaincam": _XPLAINCAM,
        "score-cam:cic": ScoreCAM(readout="probability", softmax=False, increase=True),
        "faster-score-cam": ScoreCAM(channels=10),
        "ss-cam": SSCAM(),
        "is-cam": ISCAM(),
        "ablation-cam": AblationCAM(),
        "group-cam": GroupCAM(),
        "group-cam:k-means": GroupCAM(cluster="k-means"),
        "group-cam:official": GroupCAM(theta=0, clamp=True, fill="light-blur"),
        "group-cam:xplaincam": GroupCAM(theta=0, clamp=True, maps="raw"),
        "recipro-cam": ReciproCAM(),
        "opti-cam": OptiCAM(),
        "poly-cam": PolyCAM(),
        "occlusion": Occlusion(),
        "two-sided-occlusion": TwoSidedOcclusion(),
        "rise": RISE(),
        "hsic": HSIC(),
        "sobol": Sobol(),
        "d-rise": DRISE(),
        "union-cam": UnionCAM(),
        "union-cam:official": UnionCAM(gains="official"),
        "union-cam:xplaincam": UnionCAM(region=_XPLAINCAM, gains="raw"),
        "fusion-cam": FusionCAM(),
        "fusion-cam:official": FusionCAM(gains="official"),
        "fusion-cam:xplaincam": FusionCAM(region=_XPLAINCAM, gains="raw", strict=True),
        "fusion-cam:multiscale": Multiscale(),
        "meta-cam": MetaCAM(),
        "fuse": Fuse(),
        "augmented": Augmented(),
        "multi-layer": MultiLayer(),
        "cas-cam": CasCAM(),
        "guided-filter": GuidedFilter(),
        "random": Random(),
        "center": Center(),
        "ones": Ones(),
        "edges": Edges(),
    },
    instead="use one, or explain_each(...)",
)
_SPECS = METHODS.specs


def as_methods(spec: str | Method) -> list[tuple[str, Method]]:
    """Return the methods that a SPEC describes, with their names for tables.

    Args:
        spec: a name with settings in brackets, or a method. A setting with alternatives stands for several methods.

    Returns:
        Pairs of a name and a method.

    Raises:
        UnknownNameError: for a name that is no method or no setting.
        SettingError: for a value out of range.

    Examples:
        ```python
        from fusioncam.methods.registry import as_methods

        methods = dict(as_methods("fusion-cam(theta=10|20)"))
        heatmaps = methods["fusion-cam(theta=20)"](model, x, target)
        ```
    """
    return _SPECS.many(spec)


def as_method(spec: str | Method) -> tuple[str, Method]:
    """Return the name and the method of a SPEC that describes one method; a callable is itself a method."""
    return _SPECS.one(spec)


def expand(spec: str) -> list[str]:
    """Expand the alternatives of a SPEC.

    >>> expand("fusion-cam(gradient=grad-cam|layer-cam, theta=20)")
    ['fusion-cam(gradient=grad-cam, theta=20)', 'fusion-cam(gradient=layer-cam, theta=20)']
    """
    return _SPECS.expand(spec)


def parse(spec: str) -> Method:
    """Parse a SPEC of one method.

    Args:
        spec: a name with settings in brackets.

    Returns:
        The method.

    Raises:
        UnknownNameError: for a name that is no method or no setting.
        SettingError: for a value out of range, and for several methods.

    Examples:
        ```python
        from fusioncam.methods.registry import parse

        heatmaps = parse("score-cam(budget=8)")(model, x, target)
        ```
    """
    return _SPECS.parse(spec)


def described(name: str) -> str:
    """Describe a method of METHODS; a preset by its method and the settings that differ.

    >>> described("faster-score-cam"), described("score-cam:official")
    ('score-cam with channels=10', 'the same as score-cam')
    """
    return _SPECS.described(name)


def settings_of(method: object) -> list[str]:
    """Return a method's settings and values, as in a SPEC.

    >>> settings_of(METHODS["fusion-cam"])[:3]
    ['gradient=grad-cam', 'region=score-cam', 'theta=10']
    """
    return _SPECS.settings_of(method)

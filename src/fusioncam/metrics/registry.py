"""The metrics by name.

``METRICS[name](model, x, target, heatmaps)`` returns values ``(N,)``, and the name may have settings:
``METRICS["insertion(steps=8)"]``. Some also need ``truth=`` or ``method=``. A
name with a colon is a named protocol: a metric as another library or a paper measures it. ``PROTOCOLS`` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from fusioncam.data.ground_truth import Truth
from fusioncam.methods.base import Method
from fusioncam.methods.ensembles import Fuse
from fusioncam.methods.registry import METHODS
from fusioncam.metrics.adcc import ADCC, ARCC, Coherency, Complexity
from fusioncam.metrics.base import Metric, MetricLike
from fusioncam.metrics.contrast import Contrast, GridContrast
from fusioncam.metrics.cost import Cost
from fusioncam.metrics.curves import Deletion, Insertion
from fusioncam.metrics.f_fidelity import FFidelity
from fusioncam.metrics.faithfulness import AverageDrop, AverageGain, IncreaseInConfidence
from fusioncam.metrics.grid_pointing_game import GridPointingGame
from fusioncam.metrics.localization import BoxAccuracy, EnergyShare, IoU, PointingGame
from fusioncam.metrics.planted_shortcut import PlantedShortcut
from fusioncam.metrics.removal import ROAD, LeRF, MoRF
from fusioncam.metrics.sanity import EfficientRandomisation, MaxSensitivity, ModelRandomisation, NoiseStability
from fusioncam.metrics.single_deletion import IDSDS
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target
from fusioncam.utils.spec_grammar import Registry, Specs

METRICS: Registry[Metric] = Registry(
    "metric",
    {
        "average-drop": AverageDrop(),
        "average-drop:xplaincam": AverageDrop(epsilon=1e-8),
        "average-drop:torchcam": AverageDrop(readout="logit", classes="predicted", epsilon=1e-7),
        "average-drop:adcc": AverageDrop(classes="predicted"),
        "average-drop:score-cam": AverageDrop(keep=0.5),
        "increase": IncreaseInConfidence(),
        "increase:xplaincam": IncreaseInConfidence(),
        "increase:torchcam": IncreaseInConfidence(readout="logit", classes="predicted"),
        "increase:score-cam": IncreaseInConfidence(keep=0.5),
        "average-gain": AverageGain(),
        "insertion": Insertion(),
        "insertion:rise": Insertion(classes="predicted", sigma=5, size=11, pixels=224, ties="last"),
        "insertion:xplaincam": Insertion(pixels=448, ties="any"),
        "insertion:torchcam": Insertion(readout="logit", classes="predicted", fill="mean", steps=20),
        "deletion": Deletion(),
        "deletion:rise": Deletion(classes="predicted", pixels=224, ties="last"),
        "deletion:xplaincam": Deletion(pixels=448, ties="any"),
        "deletion:torchcam": Deletion(readout="logit", classes="predicted", steps=20),
        "morf": MoRF(),
        "morf:road": MoRF(readout="top-1", fill="linear", steps=9, upto=0.9),
        "lerf": LeRF(),
        "lerf:road": LeRF(readout="top-1", fill="linear", steps=9, upto=0.9),
        "road": ROAD(),
        "road:pgc": ROAD(readout="logit", removed=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        "idsds": IDSDS(),
        "f-fidelity": FFidelity(),
        "coherency": Coherency(),
        "coherency:adcc": Coherency(classes="predicted"),
        "complexity": Complexity(),
        "adcc": ADCC(),
        "adcc:official": ADCC(classes="predicted"),
        "arcc": ARCC(),
        "arcc:pgc": ARCC(readout="logit"),
        "pointing-game": PointingGame(),
        "energy-in-box": EnergyShare(),
        "energy-in-mask": EnergyShare("mask"),
        "iou": IoU(),
        "best-iou": IoU(threshold=None),
        "box-accuracy": BoxAccuracy(),
        "grid-pointing-game": GridPointingGame(),
        "grid-contrast": GridContrast(),
        "planted-shortcut": PlantedShortcut(),
        "model-randomisation": ModelRandomisation(),
        "smooth-model-randomisation": ModelRandomisation(samples=10),
        "efficient-model-randomisation": EfficientRandomisation(),
        "contrast": Contrast(),
        "noise-stability": NoiseStability(),
        "max-sensitivity": MaxSensitivity(),
        "seconds": Cost(),
        "passes": Cost("passes"),
        "partial-passes": Cost("partial passes"),
        "peak-memory": Cost("peak memory"),
    },
)

# the named protocols and their metrics. RISE's code differs in its blur: it folds the tails of the kernel back into
# 11 pixels and pads the image with zeros.
PROTOCOLS: dict[str, tuple[str, ...]] = {
    "ours": tuple(name for name in METRICS if ":" not in name),
    "rise": ("insertion:rise", "deletion:rise"),
    "xplaincam": ("average-drop:xplaincam", "increase:xplaincam", "insertion:xplaincam", "deletion:xplaincam"),
    "torchcam": ("average-drop:torchcam", "increase:torchcam", "insertion:torchcam", "deletion:torchcam"),
    "adcc": ("average-drop:adcc", "coherency:adcc", "complexity", "adcc:official"),
    "road": ("morf:road", "lerf:road"),
    "pgc": ("road:pgc", "arcc:pgc"),
    "score-cam": ("average-drop:score-cam", "increase:score-cam"),
}

_SPECS: Specs[MetricLike] = Specs("metric", METRICS)


def as_metrics(spec: str | MetricLike) -> list[tuple[str, MetricLike]]:
    """Return the metrics of a SPEC with the names under which tables show them.

    Args:
        spec: a name with settings in brackets, or a metric. A setting with alternatives stands for several metrics.

    Returns:
        Pairs of a name and a metric.

    Raises:
        UnknownNameError: for a name that is no metric or no setting.
        SettingError: for a value out of range.

    Examples:
        ```python
        heatmaps = fc.METHODS["grad-cam"](model, x, target)
        for name, metric in fc.metrics.as_metrics("insertion(fill=mean|blur, steps=20)"):
            print(name, metric(model, x, target, heatmaps))
        ```

    >>> as_metrics("insertion(fill=mean|blur, steps=20)")[0]
    ... # doctest: +ELLIPSIS
    ('insertion(fill=mean, steps=20)', Insertion(readout='probability', classes='target', fill='mean', ...
    """
    return _SPECS.many(spec)


def as_metric(spec: str | MetricLike) -> tuple[str, MetricLike]:
    """Return the name and the metric of a SPEC for one metric; a callable is returned as it is."""
    return _SPECS.one(spec)


def described(name: str) -> str:
    """Describe a metric of METRICS; a named protocol by its metric and the settings that differ.

    >>> described("average-drop:score-cam")
    'average-drop with keep=0.5'
    """
    return _SPECS.described(name)


def settings_of(metric: object) -> list[str]:
    """Return a metric's settings with their values, in the form of a SPEC."""
    return _SPECS.settings_of(metric)


def measure(
    metric: MetricLike,
    model: ExplainedModel,
    x: Tensor,
    target: Target,
    heatmaps: Tensor,
    truth: Truth | None = None,
    method: Method | None = None,
) -> Tensor:
    """Measure heatmaps by a metric; pass ``truth`` and ``method`` only to a metric that needs them.

    Your own callable may therefore take just ``(model, x, target, heatmaps)``.

    Args:
        metric: an entry of ``METRICS``, or a callable.
        model: the model that was explained.
        x: its inputs ``(N, C, H, W)``.
        target: the explained classes ``(N,)``.
        heatmaps: ``(N, H, W)`` in [0, 1].
        truth: boxes or masks of the objects.
        method: the method that made the heatmaps.

    Returns:
        Values ``(N,)``, one for each image.

    Examples:
        ```python
        heatmaps = fc.METHODS["grad-cam"](model, x, target)
        values = fc.metrics.measure(fc.METRICS["insertion"], model, x, target, heatmaps)
        ```
    """
    needed = _truth_for(metric, truth)
    if getattr(metric, "needs_method", False):
        needed["method"] = method
    return metric(model, x, target, heatmaps, **needed)


def curve_of(
    metric: MetricLike, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, truth: Truth | None = None
) -> Tensor | None:
    """Return a metric's curves ``(T, N)``; None if it has no curve, or one that calls the method again."""
    curve: Callable[..., Tensor] | None = getattr(metric, "curve", None)
    if curve is None or getattr(metric, "needs_method", False):
        return None
    return curve(model, x, target, heatmaps, **_truth_for(metric, truth))


def _truth_for(metric: MetricLike, truth: Truth | None) -> dict[str, Any]:
    return {"truth": truth} if getattr(metric, "needs_truth", False) else {}


def optimises_metric(metric: object, method: object) -> bool:
    """Return whether the method chooses its heatmap by what the metric measures, so that the metric favours it.

    This holds for Union-CAM, Fusion-CAM, Opti-CAM and MetaCAM, with any settings and inside other methods, and for
    drop, increase, gain and ADCC: all of them score the image masked by a whole heatmap. Score-CAM and its variants
    score masks of single channels and are not counted.

    >>> [optimises_metric(METRICS[name], METHODS["fusion-cam:multiscale"]) for name in ("average-drop", "insertion")]
    [True, False]
    """
    names = getattr(metric, "shares_objective", ())
    kinds = tuple(type(METHODS[name]) for name in names)
    return any(_chooses(part, kinds, names) for part in _parts(method))


def _chooses(method: object, kinds: tuple[type, ...], names: tuple[str, ...]) -> bool:
    if isinstance(method, Fuse):  # its rule may be that of one of the methods
        return f"{method.rule}-cam" in names
    # MetaCAM with one threshold makes no choice
    return isinstance(method, kinds) and len(getattr(method, "top", (0, 0))) > 1


def _parts(method: object) -> list[object]:
    """Return a method and all methods inside it."""
    found = [method]
    if is_dataclass(method):
        for field in fields(method):
            value = getattr(method, field.name)
            for part in value if isinstance(value, tuple) else (value,):
                found += _parts(part) if is_dataclass(part) else []
    return found

"""Class activation maps that show what a vision model looks at: Fusion-CAM and the methods around it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusioncam.bulk.parquet import read_heatmaps
    from fusioncam.data.clip_preprocessing import ClipPreprocessing
    from fusioncam.data.preprocessing import Preprocessing
    from fusioncam.data.volume_preprocessing import VolumePreprocessing
    from fusioncam.errors import FusionCamError, FusionCamWarning
    from fusioncam.explanations.comparison import Comparison, compare
    from fusioncam.explanations.explain import explain, explain_each
    from fusioncam.explanations.explanation import Explanation
    from fusioncam.inference.cache import cached_passes
    from fusioncam.inference.cache import cached_passes as sharing
    from fusioncam.inference.settings import Speed
    from fusioncam.methods.ensembles import fuse
    from fusioncam.methods.registry import METHODS
    from fusioncam.metrics.registry import METRICS
    from fusioncam.model.explained_model import ExplainedModel
    from fusioncam.zoo.loading import load_model

# where each public name lives; the module is imported when the name is first used (PEP 562)
_HOMES = {
    "METHODS": "methods.registry",
    "METRICS": "metrics.registry",
    "ClipPreprocessing": "data.clip_preprocessing",
    "Comparison": "explanations.comparison",
    "ExplainedModel": "model.explained_model",
    "Explanation": "explanations.explanation",
    "FusionCamError": "errors",
    "FusionCamWarning": "errors",
    "Preprocessing": "data.preprocessing",
    "Speed": "inference.settings",
    "VolumePreprocessing": "data.volume_preprocessing",
    "cached_passes": "inference.cache",
    "compare": "explanations.comparison",
    "explain": "explanations.explain",
    "explain_each": "explanations.explain",
    "fuse": "methods.ensembles",
    "load_model": "zoo.loading",
    "read_heatmaps": "bulk.parquet",
}
_ALIASES = {"sharing": "cached_passes"}  # names of version 0.1

__all__ = [
    "METHODS",
    "METRICS",
    "ClipPreprocessing",
    "Comparison",
    "ExplainedModel",
    "Explanation",
    "FusionCamError",
    "FusionCamWarning",
    "Preprocessing",
    "Speed",
    "VolumePreprocessing",
    "cached_passes",
    "compare",
    "explain",
    "explain_each",
    "fuse",
    "load_model",
    "read_heatmaps",
    "sharing",
]


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of the package such as ``fusioncam.tasks``, when it is first used."""
    name = _ALIASES.get(name, name)
    if name in _HOMES:
        return getattr(import_module(f"fusioncam.{_HOMES[name]}"), name)
    try:
        return import_module(f"fusioncam.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"fusioncam.{name}":
            raise
        raise AttributeError(f"module 'fusioncam' has no attribute '{name}'") from None


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

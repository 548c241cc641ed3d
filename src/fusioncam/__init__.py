"""Fusion-CAM and its kin: class activation maps that say what a vision model looked at."""

from fusioncam.bulk import read_heatmaps
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import FusionCamError, FusionCamWarning
from fusioncam.explanations.comparison import Comparison, compare
from fusioncam.explanations.explain import explain, explain_each
from fusioncam.explanations.explanation import Explanation
from fusioncam.inference.cache import sharing
from fusioncam.inference.settings import Speed
from fusioncam.methods.names import METHODS, fuse
from fusioncam.metrics.registry import METRICS
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.zoo.loading import load_model

__all__ = [
    "METHODS",
    "METRICS",
    "Comparison",
    "ExplainedModel",
    "Explanation",
    "FusionCamError",
    "FusionCamWarning",
    "Preprocessing",
    "Speed",
    "compare",
    "explain",
    "explain_each",
    "fuse",
    "load_model",
    "read_heatmaps",
    "sharing",
]

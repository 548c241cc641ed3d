"""Fusion-CAM and its kin: class activation maps that say what a vision model looked at."""

from .bulk import read_heatmaps
from .comparison import Comparison, compare
from .errors import FusionCamError, FusionCamWarning
from .explaining import explain, explain_each
from .explanation import Explanation
from .methods import METHODS, fuse
from .metrics import METRICS
from .model import ExplainedModel
from .preprocessing import Preprocessing
from .sharing import sharing
from .speed import Speed
from .zoo import load_model

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

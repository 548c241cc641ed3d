"""Metrics of heatmaps: ``METRICS[name](model, x, target, heatmaps)``."""

from fusioncam.metrics.adcc import ADCC, ARCC, Coherency, Complexity
from fusioncam.metrics.base import CurveMetric, Metric, MetricLike, protocol
from fusioncam.metrics.contrast import Contrast, GridContrast
from fusioncam.metrics.cost import Cost
from fusioncam.metrics.curves import Deletion, Insertion
from fusioncam.metrics.f_fidelity import FFidelity
from fusioncam.metrics.faithfulness import AverageDrop, AverageGain, IncreaseInConfidence
from fusioncam.metrics.grid_pointing_game import GridPointingGame
from fusioncam.metrics.localization import BoxAccuracy, EnergyShare, IoU, PointingGame
from fusioncam.metrics.passes import MetricPasses
from fusioncam.metrics.planted_shortcut import PlantedShortcut
from fusioncam.metrics.registry import (
    METRICS,
    PROTOCOLS,
    as_metric,
    as_metrics,
    described,
    measure,
    optimises_metric,
    settings_of,
)
from fusioncam.metrics.removal import ROAD, LeRF, MoRF
from fusioncam.metrics.sanity import EfficientRandomisation, MaxSensitivity, ModelRandomisation, NoiseStability
from fusioncam.metrics.single_deletion import IDSDS

__all__ = [
    "ADCC",
    "ARCC",
    "IDSDS",
    "METRICS",
    "PROTOCOLS",
    "ROAD",
    "AverageDrop",
    "AverageGain",
    "BoxAccuracy",
    "Coherency",
    "Complexity",
    "Contrast",
    "Cost",
    "CurveMetric",
    "Deletion",
    "EfficientRandomisation",
    "EnergyShare",
    "FFidelity",
    "GridContrast",
    "GridPointingGame",
    "IncreaseInConfidence",
    "Insertion",
    "IoU",
    "LeRF",
    "MaxSensitivity",
    "Metric",
    "MetricLike",
    "MetricPasses",
    "MoRF",
    "ModelRandomisation",
    "NoiseStability",
    "PlantedShortcut",
    "PointingGame",
    "as_metric",
    "as_metrics",
    "described",
    "measure",
    "optimises_metric",
    "protocol",
    "settings_of",
]

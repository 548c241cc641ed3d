"""Detect the kind of a data set and read its samples."""

from fusioncam.data.datasets.registry import KINDS, open_dataset
from fusioncam.data.datasets.sample import Sample, Samples, draw

__all__ = ["KINDS", "Sample", "Samples", "draw", "open_dataset"]

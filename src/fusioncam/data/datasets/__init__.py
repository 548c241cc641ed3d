"""Find out what a folder or file of images is, and read it."""

from fusioncam.data.datasets.opening import KINDS, open_dataset
from fusioncam.data.datasets.sample import Sample, Samples, draw

__all__ = ["KINDS", "Sample", "Samples", "draw", "open_dataset"]

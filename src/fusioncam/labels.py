"""The name that version 0.1 had for :mod:`fusioncam.data.labels`, kept because factories of models import it."""

from fusioncam.data.labels import find_class, imagenet_labels, read_labels

__all__ = ["find_class", "imagenet_labels", "read_labels"]

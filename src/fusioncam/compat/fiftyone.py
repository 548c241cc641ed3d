"""Heatmaps as labels of FiftyOne."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fusioncam.explanations.explain import explain_each
from fusioncam.explanations.explanation import Explanation
from fusioncam.utils.optional import extra


def as_heatmap(explanation: Explanation) -> Any:
    """Return an explanation as a ``fiftyone.Heatmap`` of the whole image, 0 where the network saw nothing."""
    package = extra("fiftyone", "fiftyone", "heatmaps of FiftyOne")
    return package.Heatmap(map=explanation.full_heatmap.numpy(), range=[0, 1])


def add_heatmaps(samples: Iterable[Any], field: str = "heatmap", **settings: Any) -> None:
    """Explain the images of a FiftyOne dataset or view, and store each heatmap in a field of its sample.

    ``settings`` are those of :func:`fusioncam.explain_each` for one method and class, such as ``model``. Raises a
    :class:`FusionCamError` for the first image that cannot be explained; earlier samples are then stored.
    """
    for sample in samples:
        explanation, *_ = explain_each([sample.filepath], **settings)
        sample[field] = as_heatmap(explanation)
        sample.save()

"""The summary of each class: where its heat lies, how its heatmaps differ, and which images are typical or odd."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fusioncam.audit.clusters import heat_clusters
from fusioncam.audit.heat import mean_and_deviation, similarity, spread
from fusioncam.audit.records import Record, by_class, grids_of, rounded

_EXAMPLES = 3  # typical and odd images of a class


def summarise_classes(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return a row for each class that is predicted, after finding the clusters of its heatmaps."""
    return [summarise(members) for members in by_class(records).values()]


def summarise(records: Sequence[Record]) -> dict[str, Any]:
    """Return the row of the records of one class, and set their ``typicality`` and ``cluster``."""
    grids = grids_of(records)
    mean, deviation = mean_and_deviation(grids)
    for one, cluster in zip(records, heat_clusters(grids).tolist(), strict=True):
        one.typicality, one.cluster = similarity(one.grid, mean), cluster
    order = [one.image for one in sorted(records, key=lambda one: -one.typicality)]
    odd = [name for name in order[::-1][:_EXAMPLES] if name not in order[:_EXAMPLES]]
    facts = {"target": records[0].target, "label": records[0].label, "images": len(records)}
    facts |= right_and_wrong(records) | _means(records)
    facts |= {"spread": spread(grids), "clusters": [len(one) for one in clusters_of(records)]}
    facts |= {"typical": order[:_EXAMPLES], "odd": odd, "mean": mean, "deviation": deviation}
    return {name: rounded(value) for name, value in facts.items()}


def clusters_of(records: Sequence[Record]) -> list[list[Record]]:
    """Return the records of each cluster of a class, the largest first."""
    names = sorted({one.cluster for one in records})
    return [[one for one in records if one.cluster == name] for name in names]


def right_and_wrong(records: Sequence[Record]) -> dict[str, Any]:
    """Return how many predictions are right, and how the heat of right and of wrong ones differs."""
    groups = {name: [one for one in records if one.right is value] for name, value in _SIDES.items()}
    known = len(groups["right"]) + len(groups["wrong"])
    facts: dict[str, Any] = {name: len(group) if known else None for name, group in groups.items()}
    facts["share_right"] = len(groups["right"]) / known if known else None
    for name, group in groups.items():
        facts[f"on_object_{name}"] = mean_of(one.on_object for one in group)
    both = [grids_of(group).mean(0) for group in groups.values() if group]
    facts["similarity_right_wrong"] = similarity(*both) if len(both) == len(_SIDES) else None
    return facts


_SIDES = {"right": True, "wrong": False}


def _means(records: Sequence[Record]) -> dict[str, Any]:
    names = ("probability", "border", "corner", "on_object", "object_area", "text", "text_area", "reliance")
    facts: dict[str, Any] = {name: mean_of(getattr(one, name) for one in records) for name in names}
    return facts | {"low_trust": mean_of(None if one.low_trust is None else float(one.low_trust) for one in records)}


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known, None if there are none.

    >>> mean_of([1.0, None, 2.0]), mean_of([None])
    (1.5, None)
    """
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None

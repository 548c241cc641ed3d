"""Suspected shortcuts: groups of images whose heat lies at one place or off the object, with a test of each.

A group is a cluster of a class's heatmaps. It is suspected for two reasons:

- ``place``: its mean heat has a region with at least twice the heat that three quarters of the other classes have
  there, and the region is not on the object as far as this is known.
- ``off-object``: most of its heat lies off the object, where boxes or masks are known.

The test removes the region from images of the group, and equally large regions elsewhere. Suspects are ranked by
their strength (the surplus of heat in the region, or the heat off the object) times the effect of the removal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusioncam.audit.classes import clusters_of, mean_of
from fusioncam.audit.heat import Grid
from fusioncam.audit.images import AuditImages
from fusioncam.audit.records import Record, by_class, grids_of, rounded
from fusioncam.audit.regions import Region, distinct_region, highlighted, place_of
from fusioncam.audit.removal import Removal, RemovalJob

PLACE, OFF_OBJECT = "place", "off-object"
SMALLEST = 4  # images of a suspect
TESTED = 24  # images of a suspect on which the removal is tested
MOST = 24  # suspects that are tested, those of the largest strength
_SURPLUS = 0.1  # least share of the heat that a distinct place has more than usual
_TIMES = 2  # the usual share, which a distinct place has at least
_USUAL = 0.75  # quantile of the other classes' shares that counts as usual
_OFF = 0.5  # least share of the heat off the object
_LARGEST = 0.5  # share of the image above which a region is no single place
EFFECT = 0.1  # least effect that confirms a suspicion
_MAJORITY = 0.5  # of the regions elsewhere, whose removal leaves more


@dataclass(frozen=True)
class Suspect:
    """Images of one class whose heat lies in ``regions``, one for each image; ``share`` is their mean heat there.

    ``usual`` is what is expected there: the heat of other classes' images, or the share of the pixels off the object.
    """

    kind: str
    records: Sequence[Record]
    regions: Sequence[Region]
    share: float
    usual: float

    @property
    def strength(self) -> float:
        """How much heat lies where it is suspicious."""
        return self.share - self.usual if self.kind == PLACE else self.share

    @property
    def shown_region(self) -> Region:
        """The cells that are in the regions of at least half of the images."""
        shown: Region = np.mean(self.regions, axis=0) >= 0.5
        return shown

    @property
    def tested(self) -> list[int]:
        """The positions of the images that are tested, spread evenly over the group."""
        return [int(n) for n in np.unique(np.linspace(0, len(self.records) - 1, TESTED).astype(int))]


def find_suspects(records: Sequence[Record]) -> list[Suspect]:
    """Return the suspects of all classes, the strongest first, at most ``MOST``."""
    groups = by_class(records)
    means = {target: grids_of(members).mean(0) for target, members in groups.items()}
    found = [
        suspect
        for target, members in groups.items()
        for cluster in clusters_of(members)
        if len(cluster) >= SMALLEST
        for suspect in _suspects_of(cluster, other_means(means, target))
    ]
    return sorted(found, key=lambda suspect: -suspect.strength)[:MOST]


def other_means(means: dict[int, Grid], target: int) -> Grid:
    """Return the mean heat of each of the other classes ``(classes, g, g)``; even heat if there are none."""
    others = [mean for other, mean in means.items() if other != target]
    even = np.full(means[target].shape, 1 / means[target].size)
    return np.stack(others or [even])


def _suspects_of(cluster: Sequence[Record], others: Grid) -> Iterator[Suspect]:
    mean = grids_of(cluster).mean(0)
    region = distinct_region(mean, others.mean(0))
    share, usual = float(mean[region].sum()), float(np.quantile(others[:, region].sum(1), _USUAL))
    is_distinct = share - usual >= _SURPLUS and share >= _TIMES * usual and region.mean() <= _LARGEST
    if is_distinct and not _is_on_object(cluster, region):
        yield Suspect(PLACE, cluster, [region] * len(cluster), share, usual)
    known = [one for one in cluster if one.on_object is not None and _off_object(one).any()]
    off = 1 - (mean_of(one.on_object for one in known) or 0)
    if len(known) >= SMALLEST and off >= _OFF:
        area = 1 - (mean_of(one.object_area for one in known) or 0)
        yield Suspect(OFF_OBJECT, known, [_off_object(one) for one in known], off, area)


def _is_on_object(records: Sequence[Record], region: Region) -> bool:
    """Return whether most of the heat in a region is on the object, in the images whose objects are known."""
    known = [(one.grid, one.object_grid) for one in records if one.object_grid is not None]
    on_object = sum(float((grid * object_grid)[region].sum()) for grid, object_grid in known)
    return on_object > sum(float(grid[region].sum()) for grid, _ in known) / 2


def _off_object(record: Record) -> Region:
    """Return the highlighted cells that lie mostly off the object."""
    assert record.object_grid is not None
    return highlighted(record.grid) & (record.object_grid < 0.5)


def suspect_jobs(suspect: Suspect, images: AuditImages) -> list[RemovalJob]:
    """Return the tests of a suspect."""
    return [
        RemovalJob(images.by_name[suspect.records[n].image].image, suspect.records[n].target, suspect.regions[n])
        for n in suspect.tested
    ]


def suspect_row(suspect: Suspect, results: Sequence[Removal | None]) -> dict[str, Any]:
    """Return a suspect with the result of its test as it is stored."""
    first = suspect.records[0]
    facts: dict[str, Any] = {
        "kind": suspect.kind,
        "target": first.target,
        "label": first.label,
        "place": place_of(suspect.shown_region),
        "images": [one.image for one in suspect.records],
        "share": suspect.share,
        "usual": suspect.usual,
        "area": float(np.mean([region.mean() for region in suspect.regions])),
        "region": suspect.shown_region.astype(int),
        "mean": grids_of(suspect.records).mean(0),
        "wrong": sum(one.right is False for one in suspect.records),
    }
    facts |= outcome_of([one for one in results if one is not None])
    facts["score"] = suspect.strength * max(0.0, facts["effect"])
    return {name: rounded(value) for name, value in facts.items()}


def outcome_of(results: Sequence[Removal]) -> dict[str, Any]:
    """Return the mean probabilities of a test, its effect, and whether it confirms the suspicion.

    The effect is the probability that the removal of the region takes more than removal elsewhere. It is confirmed if
    it is at least ``EFFECT``, and if most regions elsewhere matter less.
    """
    means = {
        name: mean_of(one[name] for one in results) or 0.0 for name in ("whole", "without", "elsewhere", "below")
    }
    effect = means["elsewhere"] - means["without"]
    confirmed = effect >= EFFECT and means["below"] > _MAJORITY
    return {"tested": len(results), **means, "effect": effect, "confirmed": confirmed}


def ranked(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of suspects, those with the largest product of strength and effect first."""
    return sorted(rows, key=lambda row: (-row["score"], -row["share"]))

"""The choice of a method on one half of the images, and its report on the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from evidence import METRICS, ON_GROUP_CAM, Setting, kind, settings, table

from fusioncam.report.results import Column
from fusioncam.report.statistics import find_leaders, rank_methods
from fusioncam.report.tables.model import is_baseline

# settings with fewer images that report are left out
LEAST_IMAGES = 5
CANDIDATES = (
    "fusion-cam(budget=64)",
    "fusion-cam:multiscale(base=fusion-cam(region=group-cam), weights=[1,0.5,0.25])",
    ON_GROUP_CAM,
    f"fuse(partners=[{ON_GROUP_CAM}, refine-cam(method=layer-cam)], rule=product)",
)


def choice(candidates: Sequence[str]) -> str:
    """Return a table of the candidates' mean ranks among themselves on the first half, by metric and over all."""
    ranks = {metric: _ranks(metric, candidates) for metric in METRICS}
    shown = [metric for metric in METRICS if ranks[metric] is not None]
    rows = [
        [f"`{name}`", *(f"{ranks[metric][k]:.2f}" for metric in shown), f"{overall(candidates)[k]:.2f}"]
        for k, name in enumerate(candidates)
    ]
    return table(["candidate", *shown, "all"], rows)


def chosen(candidates: Sequence[str]) -> str:
    """Return the candidate with the lowest mean rank on the first half."""
    return candidates[int(overall(candidates).argmin())]


def overall(candidates: Sequence[str]) -> np.ndarray:
    """Return the mean rank of each candidate over metrics, each metric counting once."""
    found = [ranks for metric in METRICS if (ranks := _ranks(metric, candidates)) is not None]
    return np.mean(found, 0)


def _ranks(metric: str, candidates: Sequence[str]) -> np.ndarray | None:
    found = []
    for setting in settings(metric):
        column = setting.half(first=True).column
        if set(candidates) <= set(column.methods):
            values = np.stack([column.values_of(name) for name in candidates], 1)
            ranked = rank_methods(values, higher_is_better=column.higher_is_better)
            found += [] if ranked is None else [ranked.mean]
    return np.mean(found, 0) if found else None


def standing(method: str) -> list[tuple[Setting, int, str]]:
    """Return for each setting on the second half the place of the method's mean, and first, tied or worse."""
    found = []
    for metric in METRICS:
        for setting in settings(metric):
            half = setting.half(first=False)
            names = [name for name in half.column.methods if not is_baseline(name)]
            column = half.column.select(names)
            if method not in names or len(column.values) - np.isnan(column.values).all(1).sum() < LEAST_IMAGES:
                continue
            found.append((half, *_place(column, names.index(method))))
    return found


def _place(column: Column, index: int) -> tuple[int, str]:
    leaders = find_leaders(column.values, higher_is_better=column.higher_is_better, rate=column.rate)
    means = np.nanmean(column.values, 0) * (1 if column.higher_is_better else -1)
    place = 1 + int((means > means[index] + 1e-9).sum())
    word = "first" if index == leaders.best else "tied" if index in (*leaders.tied, *leaders.duplicates) else "worse"
    return place, word


def standing_table(method: str) -> str:
    """Return the table of the method's places on the second half, a row per setting."""
    rows = []
    for setting, place, word in standing(method):
        column = setting.column
        names = [name for name in column.methods if not is_baseline(name)]
        best = find_leaders(column.select(names).values, higher_is_better=column.higher_is_better).best
        count = int((~np.isnan(column.values_of(method))).sum())
        rows.append(
            [
                f"{kind(column.metric)} {column.direction}",
                setting.title,
                str(count),
                f"{np.nanmean(column.values_of(method)):.3f}",
                f"{np.nanmean(column.values_of(names[best])):.3f} `{names[best]}`",
                f"{place} of {len(names)}",
                word,
            ]
        )
    return table(["metric", "network, data", "images", "mean", "best mean", "place", "standing"], rows)

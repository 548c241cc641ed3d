"""Outlines of heatmaps: where their lines and boxes are."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fusioncam.report.html.outlines import SIDE, outlines_of


def corners(path):
    """Return the points ``(P, 2)`` that lines of a path pass."""
    points = []
    for piece in path.split("M")[1:]:
        numbers = [int(number) for number in re.findall(r"-?\d+", piece)]
        steps = np.array(numbers).reshape(-1, 2)
        points.append(steps.cumsum(axis=0))
    return np.concatenate(points)


def disc(side=224, radius=0.25):
    """Return a heatmap that falls from 1 in the middle to 0.5 at the radius, and on to 0."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    return (1 - 0.5 * np.hypot(x, y) / radius).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("side", [224, 64, 40])
def test_line_is_at_half_heat(side):
    """The line around a disc is a circle of its radius; heatmaps of any size have the same units."""
    points = corners(outlines_of(disc(side)).line)
    radii = np.hypot(*(points / SIDE - 0.5).T)

    assert radii == pytest.approx(0.25, abs=0.012)
    assert points[0].tolist() == points[-1].tolist()


def test_line_ends_at_the_edges():
    """It separates the hot left half from the rest over the whole height."""
    heatmap = np.zeros((32, 48), np.float32)
    heatmap[:, :24] = 1
    points = corners(outlines_of(heatmap).line)

    assert set(points[:, 0]) == {SIDE // 2}
    assert {points[:, 1].min(), points[:, 1].max()} == {0, SIDE}


def test_slices_lie_one_below_the_other():
    """Each slice has its own line; none crosses from one to the next, and there are no boxes."""
    outlines = outlines_of(np.concatenate([disc(), np.zeros((224, 224), np.float32), disc()]), 3)
    heights = corners(outlines.line)[:, 1]

    assert outlines.boxes == ""
    assert set(heights // SIDE) == {0, 2}


def test_each_piece_has_a_box():
    """Two squares have two boxes; a single hot value has none."""
    heatmap = np.zeros((64, 64), np.float32)
    heatmap[4:20, 8:24], heatmap[40:60, 36:52], heatmap[0, 63] = 1, 0.9, 1

    boxes = re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-\d+z", outlines_of(heatmap).boxes)
    found = sorted(tuple(int(number) / 4 for number in box) for box in boxes)
    assert found == [pytest.approx((8, 4, 16, 16), abs=0.8), pytest.approx((36, 40, 16, 20), abs=0.8)]


def test_heatmaps_without_heat_have_no_outlines():
    """Neither an even heatmap has any line."""
    assert outlines_of(np.zeros((8, 8), np.float32)) == ("", "")
    assert outlines_of(np.full((8, 8), 0.25, np.float32)).line == ""

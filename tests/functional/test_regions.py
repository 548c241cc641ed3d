"""Thresholds of heatmaps, against Otsu's rule written as a loop."""

from __future__ import annotations

import numpy as np
import pytest

from fusioncam.errors import InputTypeError, SettingError
from fusioncam.functional.regions import highlighted, otsu, place, threshold_of


def best_split(heatmap, thresholds):
    """Return the largest variance between the classes below and above a threshold."""
    variances = []
    for threshold in thresholds:
        low, high = heatmap[heatmap < threshold], heatmap[heatmap >= threshold]
        variances.append(len(low) * len(high) * (high.mean() - low.mean()) ** 2 if len(low) and len(high) else 0)
    return variances


def test_otsu_separates_the_classes_best():
    """No threshold of a fine grid has a variance between the classes that is larger by more than a bin explains."""
    rng = np.random.default_rng(0)
    heatmap = np.concatenate([rng.normal(0.2, 0.08, 800), rng.normal(0.7, 0.1, 200)]).clip(0, 1).astype(np.float32)
    grid = np.linspace(0.005, 0.995, 991)
    (own,) = best_split(heatmap, [otsu(heatmap)])
    assert own >= 0.99 * max(best_split(heatmap, grid))
    assert 0.35 < otsu(heatmap) < 0.55


def test_a_constant_heatmap_has_a_threshold():
    """There is nothing to separate, and no division by zero."""
    assert 0 <= otsu(np.full((3, 3), 0.4, np.float32)) <= 1


@pytest.mark.parametrize(
    ("rule", "count"), [("top20%", 20), ("top 0.5 %", 1), ("top100%", 99), (0.5, 50), ("0.5", 50)]
)
def test_rules_select_pixels(rule, count):
    """Of the values 0.00 to 0.99, the highest or those above a share of the highest; 0 is never selected."""
    heatmap = (np.arange(100, dtype=np.float32) / 100).reshape(10, 10)
    assert highlighted(heatmap, rule).sum() == count
    assert highlighted(heatmap / 2, rule).sum() == count


@pytest.mark.parametrize("rule", ["top0%", "top101%", "best", 1.5, -0.1, float("nan"), "", "top%"])
def test_wrong_rules_are_reported(rule):
    """The error shows all three forms."""
    with pytest.raises(SettingError, match=r'must be "otsu", a number in \[0, 1\] or such as "top20%"'):
        threshold_of(np.zeros((2, 2), np.float32), rule)


@pytest.mark.parametrize("rule", [None, True, [0.5]])
def test_rules_of_wrong_types_are_reported(rule):
    """A list or a truth value is no threshold."""
    with pytest.raises(InputTypeError, match="threshold must be"):
        threshold_of(np.zeros((2, 2), np.float32), rule)


def test_heatmaps_are_placed_in_the_whole_image():
    """A window that goes beyond the image, as with grey bars, is cut off; elsewhere the map is 0."""
    ramp = np.arange(8, dtype=np.float32)[None].repeat(8, 0)
    placed = place(ramp, (-4, 0, 4, 8), (6, 8))
    assert placed.shape == (8, 6)
    assert placed[3].tolist() == [4, 5, 6, 7, 0, 0]
    below = place(ramp.T, (0, 2, 8, 10), (8, 9))
    assert below[:, 5].tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6]

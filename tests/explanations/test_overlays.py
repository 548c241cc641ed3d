"""Overlays of an explanation: colours, opacity, lines and boxes, and the whole image around the network's part."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

import fusioncam as fc
import samples
from fusioncam.errors import SettingError, UnknownNameError
from fusioncam.visualization import OverlayStyle, draw_contour, overlay, with_colorbar

GREY = Image.new("RGB", (64, 32), (90, 90, 90))
RAMP = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (32, 1))


def explained(size=(120, 60), heatmap=None, image=None):
    """Explain an image of this size; the small network receives the square at its centre."""
    explanation = fc.explain(
        samples.photo(size=size) if image is None else image, model=samples.small(), method="grad-cam"
    )
    return explanation if heatmap is None else replace(explanation, heatmap=heatmap)


def hot_corner():
    """Return a heatmap whose upper left quarter is 1."""
    heatmap = torch.zeros(32, 32)
    heatmap[:16, :16] = 1
    return heatmap


def pixels(image):
    """Return the levels ``(H, W, 3)`` of an image, as integers that can be negative."""
    return np.asarray(image).astype(int)


# -- colours and opacity --------------------------------------------------------------------------------------------


def test_the_opacity_follows_the_heat():
    """Without heat the image keeps its colours, and the change grows with the heat up to the full opacity."""
    changed = np.abs(pixels(overlay(GREY, RAMP, OverlayStyle(0.5, "hot"))) - 90).sum(2)[10]
    assert changed[0] == 0
    assert changed[63] > changed[10] > 0
    everywhere = pixels(overlay(GREY, RAMP, OverlayStyle(0.5, "hot", fade=False)))
    assert np.abs(everywhere[10, 0] - 45).max() <= 6


@pytest.mark.parametrize("name", ["turbo", "viridis", "inferno", "magma", "jet", "coolwarm"])
def test_colours_are_those_of_the_colormap(name):
    """With an opacity of 1 everywhere they are matplotlib's."""
    from matplotlib import colormaps

    shown = pixels(overlay(GREY, RAMP, OverlayStyle(1, name, fade=False)))[10]
    for column, value in ((0, 0.0), (63, 1.0)):
        assert np.abs(shown[column] - 255 * np.array(colormaps[name](value)[:3])).max() <= 2


@pytest.mark.parametrize(
    ("style", "error", "message"),
    [
        ({"colormap": "virids"}, UnknownNameError, "unknown colormap 'virids'; did you mean 'viridis'"),
        ({"opacity": 50}, SettingError, "opacity must be between 0 and 1, got 50"),
        ({"contour": -0.1}, SettingError, "contour must be between 0 and 1"),
        ({"contour": float("nan")}, SettingError, "contour must be between 0 and 1"),
        ({"view": "whole"}, UnknownNameError, "unknown view 'whole'"),
    ],
)
def test_wrong_styles_are_reported(style, error, message):
    """The error names the setting and what was given."""
    with pytest.raises(error, match=message):
        explained().overlay(**style)


def test_a_contour_runs_along_its_level():
    """White at the column where the ramp reaches the level, and nowhere else."""
    drawn = GREY.copy()
    draw_contour(drawn, RAMP, 0.5)
    assert {int(column) for _, column in np.argwhere((pixels(drawn) == 255).all(2))} <= {31, 32}
    assert (pixels(drawn)[10] == 255).all(1).any()


def test_a_colorbar_is_added_beside_the_image():
    """The image itself stays as it is, and the highest colour is at the top."""
    with_bar = pixels(with_colorbar(GREY, "gray"))
    assert np.array_equal(with_bar[:, :64], pixels(GREY))
    column = with_bar[:, 64 + 3, 0]
    assert column[0] > 240
    assert column[-1] < 15
    assert all(below <= above for above, below in pairwise(column))


# -- the whole image ------------------------------------------------------------------------------------------------


def test_the_whole_image_is_shown_at_its_own_resolution():
    """The network receives the square in the middle; the rest is dark and has no colours of the heatmap."""
    explanation = explained(heatmap=torch.ones(32, 32))
    image, shown = samples.photo(size=(120, 60)), explanation.overlay()
    assert shown.size == image.size
    left, _, right, _ = explanation.whole.window
    assert 25 < left < 35
    assert 85 < right < 95
    outside = pixels(shown)[:, : int(left) - 2]
    assert np.abs(outside - 0.6 * pixels(image)[:, : int(left) - 2]).max() <= 1
    assert explanation.overlay(view="crop").size == explanation.image.size


def test_a_changed_or_removed_file_is_not_shown(tmp_path):
    """The explanation has the part that the network received, and does not show it on another image."""
    path = tmp_path / "cat.png"
    samples.photo(size=(120, 60)).save(path)
    explanation = explained(image=path)
    assert explanation.overlay().size == (120, 60)
    samples.corners(120, 60).save(path)
    assert explanation.overlay().size == explanation.image.size
    path.unlink()
    assert explanation.overlay().size == explanation.image.size


def test_images_from_memory_are_kept():
    """The array of the caller may change, as that of a camera does, and the explanation may be pickled."""
    array = np.array(samples.photo(size=(120, 60)))
    explanation = explained(image=array)
    before = pixels(explanation.overlay())
    array[:] = 0
    assert np.array_equal(pixels(explanation.overlay()), before)
    assert np.array_equal(pixels(pickle.loads(pickle.dumps(explanation)).overlay()), before)


def test_inputs_of_a_batch_are_shown_as_they_are():
    """They have no other image behind them."""
    (one,) = fc.explain_each([torch.zeros(1, 3, 32, 32)], model=samples.small(), methods=["ones"])
    assert one.overlay().size == (32, 32)
    assert one.full_heatmap.shape == (32, 32)


# -- regions --------------------------------------------------------------------------------------------------------


def test_regions_have_the_coordinates_of_the_whole_image():
    """The hot corner of the network's square lies inside the image, and the mask and the box are the same region."""
    explanation = explained(heatmap=hot_corner())
    left, top, right, bottom = explanation.whole.window
    (box,) = explanation.boxes()
    expected = (left, top, (left + right) / 2, (top + bottom) / 2)
    assert box == pytest.approx(expected, abs=0.02)
    mask = explanation.mask(0.5)
    assert mask.shape == explanation.full_heatmap.shape == (60, 120)
    rows, columns = np.nonzero(mask.numpy())
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert found == pytest.approx(expected, abs=1)


def test_the_largest_piece_can_be_chosen():
    """Two pieces have two boxes."""
    heatmap = hot_corner()
    heatmap[28:, 28:] = 1
    explanation = explained(heatmap=heatmap)
    assert len(explanation.boxes(0.5)) == 2
    assert explanation.boxes(0.5, "largest") == explained(heatmap=hot_corner()).boxes(0.5)
    with pytest.raises(UnknownNameError, match="unknown pieces 'biggest'"):
        explanation.boxes(0.5, "biggest")


def test_a_heatmap_without_heat_has_no_region():
    """Neither a mask nor a box."""
    explanation = explained(heatmap=torch.zeros(32, 32))
    for rule in ("otsu", 0.5, 0, "top20%"):
        assert not explanation.mask(rule).any()
        assert explanation.boxes(rule) == []


def test_boxes_are_drawn():
    """White lines at the box of the hot corner."""
    explanation = explained(heatmap=hot_corner())
    ((_, _, right, bottom),) = explanation.boxes()
    assert (pixels(explanation.overlay(boxes=True))[round(bottom) // 2, round(right)] == 255).all()


# -- files ----------------------------------------------------------------------------------------------------------


def test_raw_heatmaps_are_exact(tmp_path):
    """The TIFF holds the float32 values, the PNG all 16 bits of them."""
    explanation = explained()
    paths = explanation.save(tmp_path, "cat", raw=["png16", "tiff"])
    assert [path.name for path in paths] == ["cat.heatmap.png", "cat.tiff", "cat.png", "cat.npy", "cat.json"]
    with Image.open(tmp_path / "cat.tiff") as image:
        assert np.array_equal(np.asarray(image), explanation.heatmap.numpy())
    with Image.open(tmp_path / "cat.heatmap.png") as image:
        assert np.abs(np.asarray(image) / 65535 - explanation.heatmap.numpy()).max() < 1 / 65535
    with pytest.raises(UnknownNameError, match="unknown raw format 'bmp'"):
        explanation.save(tmp_path, "cat", raw=["bmp"])


def test_saved_overlays_have_the_style(tmp_path):
    """The arguments of ``overlay`` are those of ``save``."""
    explanation = explained()
    explanation.save(tmp_path, "cat", opacity=0.9, view="crop", colormap="viridis")
    with Image.open(tmp_path / "cat.png") as image:
        expected = explanation.overlay(0.9, view="crop", colormap="viridis")
        assert np.array_equal(np.asarray(image), np.asarray(expected))


# -- posters --------------------------------------------------------------------------------------------------------


def test_a_poster_states_the_figures_of_the_card():
    """The sentence is the same whether the card was measured before or not; a pickled explanation has none."""
    explanation = explained()
    sentence = explanation.evidence
    figures = explained().check().questions[0].figures
    kept = figures["only"] / figures["whole"]
    assert sentence.startswith(f"The highlighted 30% of the pixels alone keep {kept:.0%} of the confidence; random")
    checked = explained()
    checked.check()
    assert checked.evidence == sentence
    assert pickle.loads(pickle.dumps(explained())).evidence == ""


def test_a_poster_shows_the_image_and_the_overlay():
    """Both lie side by side, at the same size, on white."""
    explanation = explained(heatmap=torch.zeros(32, 32), size=(60, 60))
    poster = pixels(explanation.poster())
    height, width = poster.shape[:2]
    middle = poster[height // 2 - 100 : height // 2 + 100]
    left, right = middle[:, : width // 2], middle[:, width // 2 :]
    columns = [np.flatnonzero((half != 255).any((0, 2))) for half in (left, right)]
    assert len(columns[0]) == pytest.approx(len(columns[1]), abs=3)
    shown = [half[:, inside[0] + 5 : inside[-1] - 5] for half, inside in zip((left, right), columns, strict=True)]
    common = min(one.shape[1] for one in shown)
    assert np.abs(shown[0][:, :common] - shown[1][:, :common]).mean() < 3
    assert (poster[:20] == 255).all()

"""Test that images with little to see are reported before they are explained."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import fusioncam as fc
from fusioncam.errors import FusionCamWarning
from samples import photo, small


def explained(image):
    """Return the warnings of an explanation."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fc.explain(image, model=small(), method="center")
    return [str(one.message) for one in caught]


def test_a_nearly_black_image_is_reported():
    """Values of 12 bits that were written as 16 bits reach a sixteenth of the range."""
    pixels = np.asarray(photo()) // 16
    (message,) = explained(pixels)
    assert message.startswith("ndarray: the image is nearly black: 99% of its pixels are at most 5% bright.")
    assert message.endswith("scale its values to 0 to 255")


def test_a_dark_image_with_bright_parts_is_not_reported():
    """A night sky with a moon is what it is."""
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[10:30, 10:30] = 200
    assert explained(pixels) == []


@pytest.mark.parametrize(("size", "kept"), [((320, 180), 1), ((180, 320), 1), ((100, 30), 0.3), ((30, 200), 0.15)])
def test_an_image_that_is_mostly_cropped_away_is_reported(size, kept):
    """Photographs of 16:9 lose less than half of their sides; panoramas lose most of the image."""
    found = explained(photo(size=size))
    if kept == 1:
        assert found == []
    else:
        (message,) = found
        assert f"the network receives {kept:.0%} of the image, the rest is cropped away" in message
        assert "Preprocessing(size, resize=size)" in message


def test_resizing_the_whole_image_crops_nothing():
    """What the warning advises removes it."""
    model = fc.ExplainedModel(small().network, preprocessing=fc.Preprocessing((32, 32), (32, 32)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FusionCamWarning)
        fc.explain(photo(size=(300, 20)), model=model, method="center")

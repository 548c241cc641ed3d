"""Heatmaps as labels of FiftyOne, of which a stand-in is enough."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fusioncam import explain
from fusioncam.compat.fiftyone import add_heatmaps, as_heatmap
from fusioncam.errors import MissingExtraError
from samples import small

SETTINGS = {"model": small(), "target": 1}


class Sample(dict):
    """A sample with a path and fields."""

    def __init__(self, filepath):
        super().__init__()
        self.filepath, self.saved = filepath, False

    def save(self):
        """Note that it was stored."""
        self.saved = True


@pytest.fixture
def fiftyone(monkeypatch):
    """Stand for the package: a heatmap is its arguments."""
    monkeypatch.setitem(sys.modules, "fiftyone", SimpleNamespace(Heatmap=lambda **arguments: arguments))


def test_each_sample_gets_the_heatmap_of_its_image(fiftyone, cat, tmp_path):
    """In the size of the image, with the range of its values."""
    cat.save(tmp_path / "cat.png")
    sample = Sample(str(tmp_path / "cat.png"))
    add_heatmaps([sample], "grad_cam", methods=["grad-cam"], **SETTINGS)
    expected = explain(tmp_path / "cat.png", method="grad-cam", **SETTINGS)
    assert sample.saved
    assert sample["grad_cam"]["range"] == [0, 1]
    assert sample["grad_cam"]["map"].shape == cat.size[::-1]
    np.testing.assert_array_equal(sample["grad_cam"]["map"], expected.full_heatmap)


def test_without_the_package(monkeypatch, cat):
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(MissingExtraError, match=r"heatmaps of FiftyOne need fiftyone: pip install \"fusioncam\[fift"):
        as_heatmap(explain(cat, method="grad-cam", **SETTINGS))

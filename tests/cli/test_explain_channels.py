"""`explain` on arrays and on images of other channels than RGB."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image


def test_the_command_line_explains_an_array(cli, tmp_path):
    """A .npy file of six channels has an overlay of its first three."""
    np.save(tmp_path / "scene.npy", np.random.default_rng(0).integers(0, 256, (40, 50, 6), np.uint8))
    out = tmp_path / "out"
    result = cli("explain", tmp_path / "scene.npy", "--model", "samples:six_bands", "-m", "grad-cam", "--out", out)
    assert result.code == 0, result.err
    (one,) = json.loads((out / "explanations.json").read_text())["explanations"]
    with Image.open(out / one["files"][0]) as overlay:
        assert overlay.mode == "RGB"


def test_doctor_opens_an_image_as_explain_does(cli, tmp_path):
    """It describes what a network of six channels does with such an array."""
    np.save(tmp_path / "scene.npy", np.random.default_rng(0).integers(0, 256, (40, 50, 6), np.uint8))
    result = cli("doctor", tmp_path / "scene.npy", "--model", "samples:six_bands")
    assert result.code == 0, result.err
    assert "for an input (6, 32, 32)" in result.out


def test_an_image_of_other_channels_is_reported_in_one_line(cli, photos):
    """An RGB image for a network of six channels is an error without a traceback."""
    result = cli("explain", photos / "cat.png", "--model", "samples:six_bands", "-m", "grad-cam")
    assert result.code == 1
    assert "takes 6 channels, got" in result.err
    assert "Traceback" not in result.err

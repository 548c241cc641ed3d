"""DICOM files as images, such as X-rays, written by pydicom."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason='DICOM files need pip install "fusioncam[volumes]"')

from pydicom.uid import JPEGLSLossless  # noqa: E402

from fusioncam.data.image_files import find_images  # noqa: E402
from fusioncam.data.images import open_image, read_image  # noqa: E402
from fusioncam.errors import FusionCamWarning, ImageError  # noqa: E402
from scans import write_dicom  # noqa: E402

ROWS, COLUMNS = 4, 5
GREY = np.arange(COLUMNS * ROWS, dtype=np.uint16).reshape(COLUMNS, ROWS, 1) * 100  # up to 1900
WINDOW = {"WindowCenter": 900.5, "WindowWidth": 1001}  # from 400 to 1400


def shown(values):
    """Return what values ``(columns, rows, 1)`` look like in the window."""
    grey = (255 * ((values[..., 0].T.astype(float) - 400) / 1000).clip(0, 1)).round()
    return np.stack([grey] * 3, 2)


def test_greys_are_those_of_the_window(tmp_path):
    """Values below and above the window are black and white; rows are the first axis."""
    path = write_dicom(tmp_path / "xray.dcm", GREY, **WINDOW)
    image = open_image(path)
    assert image.size == (COLUMNS, ROWS)
    np.testing.assert_allclose(np.asarray(image), shown(GREY), atol=1)
    np.testing.assert_array_equal(np.asarray(read_image(path.read_bytes(), "xray.dcm")), np.asarray(image))


def test_low_values_of_monochrome1_are_bright(tmp_path):
    """The image is the negative of MONOCHROME2."""
    path = write_dicom(tmp_path / "xray.dcm", GREY, **WINDOW, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(np.asarray(open_image(path)), 255 - shown(GREY), atol=1)


def test_the_window_is_in_units(tmp_path):
    """Stored values are rescaled first."""
    changes = {**WINDOW, "RescaleSlope": 2, "RescaleIntercept": -100}
    path = write_dicom(tmp_path / "ct.dcm", GREY // 2 + 50, **changes)
    np.testing.assert_allclose(np.asarray(open_image(path)), shown(GREY // 2 * 2), atol=1)


def test_a_table_replaces_the_window(tmp_path):
    """The table of the file says which grey each value has."""
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [20, 0, 8], list(range(200, 220))
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "US"
    path = write_dicom(tmp_path / "xray.dcm", GREY // 100, VOILUTSequence=[table])
    np.testing.assert_array_equal(np.asarray(open_image(path))[..., 0], 200 + GREY[..., 0].T // 100)


def test_without_a_window_all_values_are_shown(tmp_path):
    """The lowest value is black, the highest white, and a warning says so."""
    path = write_dicom(tmp_path / "xray.dcm", GREY)
    with pytest.warns(FusionCamWarning, match=r"xray.dcm: it states no window: its values from 0 to 1900 become"):
        pixels = np.asarray(open_image(path))
    np.testing.assert_array_equal(pixels[..., 0], (255 * (GREY[..., 0].T / 1900)).round())


@pytest.mark.parametrize("bits", [np.uint8, np.uint16])
def test_colours(tmp_path, bits):
    """Of more than 8 bits, the upper ones are shown."""
    values = np.random.default_rng(0).integers(0, np.iinfo(bits).max, (COLUMNS, ROWS, 1, 3), bits)
    pixels = np.asarray(open_image(write_dicom(tmp_path / "skin.dcm", values)))
    np.testing.assert_array_equal(pixels, values[:, :, 0].swapaxes(0, 1) >> (8 * values.itemsize - 8))


def test_a_frame_of_several(tmp_path):
    """They are chosen as the pages of a TIFF are."""
    path = write_dicom(tmp_path / "run.dcm", np.concatenate([GREY, GREY[::-1]], 2), **WINDOW)
    np.testing.assert_allclose(np.asarray(open_image(path, frame=2)), shown(GREY[::-1]), atol=1)
    with pytest.warns(FusionCamWarning, match="frame 1 of 2 is used"):
        np.testing.assert_allclose(np.asarray(open_image(path)), shown(GREY), atol=1)
    with pytest.raises(ImageError, match="no frame 3"):
        open_image(path, frame=3)


def test_folders_are_searched_for_dicom(tmp_path):
    """By the suffix, as other images."""
    path = write_dicom(tmp_path / "xray.DCM", GREY, **WINDOW)
    assert list(find_images([tmp_path])) == [path]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-20], "damaged or truncated"),
        (lambda data: data[:300], "damaged or truncated|DICOM without an image"),
        (lambda data: data[:132], "damaged or truncated|DICOM without an image"),
    ],
    ids=["pixels", "header", "nothing"],
)
def test_damaged_files(tmp_path, damage, message):
    """The name of the file is in the message."""
    path = write_dicom(tmp_path / "xray.dcm", GREY, **WINDOW)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ImageError, match=rf"xray.dcm: ({message})"):
        open_image(path)


def test_compression_without_a_decoder(tmp_path, monkeypatch):
    """The message names the compression and what to install."""
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    pixels = pydicom.encaps.encapsulate([b"frame "])
    path = write_dicom(tmp_path / "xray.dcm", GREY, JPEGLSLossless, **WINDOW, PixelData=pixels)
    with pytest.raises(ImageError, match=r"xray.dcm: it is compressed as JPEG-LS .* pip install pylibjpeg"):
        open_image(path)


def test_without_pydicom_the_extra_is_named(tmp_path, monkeypatch):
    """Nothing is said about damage."""
    path = write_dicom(tmp_path / "xray.dcm", GREY, **WINDOW)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImageError, match=r"xray.dcm: DICOM files need pydicom: pip install"):
        open_image(path)

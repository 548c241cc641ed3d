"""DICOM of several frames in one file, of colours, and of compressed pixels, written by pydicom."""

from __future__ import annotations

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason='volumes need pip install "fusioncam[volumes]"')
pytest.importorskip("nibabel", reason='volumes need pip install "fusioncam[volumes]"')

from pydicom.pixels import convert_color_space  # noqa: E402
from pydicom.uid import MPEG2MPML, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless  # noqa: E402

from fusioncam.data.volume_files import open_volume  # noqa: E402
from fusioncam.errors import FusionCamWarning, ImageError  # noqa: E402
from scans import write_dicom  # noqa: E402

SHAPE = (5, 4, 3)  # columns, rows, frames
GREY = np.arange(60, dtype=np.uint16).reshape(SHAPE) * 10
COLOURS = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)


def item(**values):
    """Return a sequence of one item."""
    dataset = pydicom.Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return [dataset]


def groups(heights, slope=2.0, intercept=-100.0):
    """Return the functional groups of frames at these heights, with voxels of 0.5 x 0.25 mm."""
    shared = item(
        PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=item(PixelSpacing=[0.5, 0.25], SliceThickness=3),
        PixelValueTransformationSequence=item(RescaleSlope=slope, RescaleIntercept=intercept),
    )
    each = [item(PlanePositionSequence=item(ImagePositionPatient=[1, 2, height]))[0] for height in heights]
    return {"SharedFunctionalGroupsSequence": shared, "PerFrameFunctionalGroupsSequence": each}


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_frames_are_sorted_by_position(tmp_path, syntax):
    """In the units of the file, and with the voxels where the functional groups state them, also compressed."""
    volume = open_volume(write_dicom(tmp_path / "a.dcm", GREY, syntax, **groups([9, 3, 6])), 1)
    np.testing.assert_allclose(volume.values[..., 0], GREY[:, :, [1, 2, 0]] * 2.0 - 100)
    np.testing.assert_allclose(volume.affine[:3, :3], np.diag([-0.25, -0.5, 3]))
    np.testing.assert_allclose(volume.affine[:3, 3], [-1, -2, 3])


def test_frames_without_positions_keep_their_order(tmp_path):
    """As those of ultrasound."""
    with pytest.warns(FusionCamWarning, match="does not state where its slices are"):
        volume = open_volume(write_dicom(tmp_path / "a.dcm", GREY), 1)
    np.testing.assert_allclose(volume.values[..., 0], GREY)


@pytest.mark.parametrize("stored", ["RGB", "YBR_FULL", "PALETTE COLOR"])
def test_colours_are_channels(tmp_path, stored):
    """In RGB; a network of one channel gets their luminance."""
    values, changes = COLOURS, groups([0, 1, 2])
    if stored == "YBR_FULL":
        values, changes["PhotometricInterpretation"] = convert_color_space(COLOURS, "RGB", "YBR_FULL"), stored
    if stored == "PALETTE COLOR":
        values, table = COLOURS[..., 0], np.arange(255, -1, -1, dtype=np.uint8)
        changes["PhotometricInterpretation"] = stored
        for name in ("Red", "Green", "Blue"):
            changes[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
            changes[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    expected = COLOURS if stored != "PALETTE COLOR" else np.repeat(255 - COLOURS[..., :1], 3, -1)
    path = write_dicom(tmp_path / "a.dcm", values, **changes)
    np.testing.assert_allclose(open_volume(path, 3).values, expected, atol=2)  # YBR is rounded
    luminance = expected @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(open_volume(path, 1).values[..., 0], luminance, atol=2)


@pytest.mark.parametrize(("signed", "highest"), [(0, 65535), (1, -1)])
def test_monochrome1_is_inverted(tmp_path, signed, highest):
    """Its low values are bright."""
    changes = groups([0, 1, 2], 1.0, 0.0) | {
        "PhotometricInterpretation": "MONOCHROME1",
        "PixelRepresentation": signed,
    }
    volume = open_volume(write_dicom(tmp_path / "a.dcm", GREY, **changes), 1)
    np.testing.assert_allclose(volume.values[..., 0], highest - GREY.astype(int))


@pytest.mark.parametrize(
    ("syntax", "message"),
    [
        (JPEGLSLossless, "compressed as JPEG-LS Lossless Image Compression, and no decoder for it is installed: pip"),
        (MPEG2MPML, "compressed as MPEG2 Main Profile / Main Level, which pydicom does not read: convert it"),
    ],
)
def test_compressed_pixels_without_a_decoder_are_named(tmp_path, syntax, message, monkeypatch):
    """The error names the compression and what to install."""
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    fragments = pydicom.encaps.encapsulate([b"frame "] * SHAPE[2])
    path = write_dicom(tmp_path / "a.dcm", GREY, syntax, PixelData=fragments)
    with pytest.raises(ImageError, match=message) as caught:
        open_volume(path, 1)
    assert str(caught.value).startswith(str(path))


def test_positions_of_other_frames_are_refused(tmp_path):
    """Of fewer frames than the file states."""
    with pytest.raises(ImageError, match="it states 3 frames, and the positions of 2"):
        open_volume(write_dicom(tmp_path / "a.dcm", GREY, **groups([0, 1])), 1)

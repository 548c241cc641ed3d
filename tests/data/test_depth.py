"""Test the scaling of images with more than 8 bits, and the choice among several frames."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from fusioncam.data.images import open_image
from fusioncam.errors import FusionCamWarning, ImageError
from image_cases import png, saved

SHORT, SIGNED = 3, 8


def tiff(path: Path, bits: int, rows: np.ndarray | bytes, size: tuple[int, int], **tags: object) -> Path:
    """Write a TIFF of grey pixels with any tags, given as ``t340=(type, value)``."""
    data = rows if isinstance(rows, bytes) else rows.tobytes()
    entries = {256: (SHORT, size[0]), 257: (SHORT, size[1]), 258: (SHORT, bits), 259: (SHORT, 1), 262: (SHORT, 1)}
    entries |= {273: (4, 8), 277: (SHORT, 1), 278: (SHORT, size[1]), 279: (4, len(data))}
    entries |= {int(name[1:]): entry for name, entry in tags.items()}
    directory = struct.pack("<H", len(entries))
    for tag, (kind, value) in sorted(entries.items()):
        directory += struct.pack("<HHIi", tag, kind, 1, value)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory + bytes(4))
    return path


def greys(image: Image.Image) -> list[int]:
    """Return the grey values of the first row."""
    pixels = np.asarray(image)
    assert (pixels[..., :1] == pixels).all()
    return pixels[0, :, 0].tolist()


RAMP = np.array([[0, 1024, 2048, 4095]] * 4, "<u2")


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
def test_12_bits_in_16_are_not_nearly_black(suffix, tmp_path):
    """Without a statement of the range in the file, the bits are taken from the values, with a warning."""
    path = saved(Image.fromarray(RAMP), tmp_path / f"a.{suffix}")
    with pytest.warns(FusionCamWarning, match=rf"a\.{suffix}: .* they reach 4,095: 12 bits are assumed"):
        assert greys(open_image(path)) == [0, 64, 128, 255]


def test_the_range_that_a_pgm_states_is_used(tmp_path):
    """A dark image of 12 stated bits stays dark."""
    (tmp_path / "a.pgm").write_bytes(b"P5 4 2 4095\n" + (RAMP[:2] // 16).astype(">u2").tobytes())
    assert greys(open_image(tmp_path / "a.pgm")) == [0, 4, 8, 15]


@pytest.mark.parametrize(
    ("highest", "bits"), [(200, 8), (1000, 10), (4000, 12), (16000, 14), (16384, 16), (65535, 16)]
)
@pytest.mark.filterwarnings("ignore::fusioncam.errors.FusionCamWarning")
def test_the_usual_depths_of_sensors_are_recognised(highest, bits, tmp_path):
    """The smallest usual depth that holds all values is used."""
    path = saved(Image.fromarray(np.array([[0, highest]] * 2, np.uint16)), tmp_path / "a.png")
    assert greys(open_image(path)) == [0, highest >> (bits - 8)]


def test_stated_ranges_are_used(tmp_path):
    """The tags of a TIFF for the lowest and highest value define black and white, without a warning."""
    for low, high in ((340, 341), (280, 281)):
        path = tiff(tmp_path / "a.tif", 16, RAMP, (4, 4), **{f"t{low}": (SHORT, 1024), f"t{high}": (SHORT, 2047)})
        assert greys(open_image(path)) == [0, 0, 255, 255]


def test_stated_bits_are_used(tmp_path):
    """12 packed bits are scaled by their own range."""
    row = bytes.fromhex("000400800fff")
    assert greys(open_image(tiff(tmp_path / "a.tif", 12, row * 4, (4, 4)))) == [0, 64, 128, 255]


def test_the_display_range_of_imagej_is_used(tmp_path):
    """ImageJ writes it into the description."""
    text = "ImageJ=1.53k\nmin=0.0\nmax=1023.0\n"
    path = saved(Image.fromarray(RAMP), tmp_path / "a.tif", description=text)
    assert greys(open_image(path)) == [0, 255, 255, 255]


@pytest.mark.filterwarnings("ignore::fusioncam.errors.FusionCamWarning")
def test_inverted_greys_are_turned(tmp_path):
    """In a TIFF the lowest value may be white, which PIL considers only up to 8 bits."""
    assert greys(open_image(tiff(tmp_path / "a.tif", 16, RAMP, (4, 4), t262=(SHORT, 0)))) == [255, 191, 127, 0]
    small = np.array([[0, 100, 255]] * 2, np.uint8)
    assert greys(open_image(tiff(tmp_path / "b.tif", 8, small, (3, 2), t262=(SHORT, 0)))) == [255, 155, 0]


@pytest.mark.parametrize(("bits", "kind"), [(16, "<i2"), (32, "<i4")])
def test_negative_values_are_scaled(bits, kind, tmp_path):
    """Air, water and bone of a CT are three greys, by the range of the data or by the tags."""
    rows = np.array([[-1000, 0, 1000]] * 2, kind)
    path = tiff(tmp_path / "ct.tif", bits, rows, (3, 2), t339=(SHORT, 2))
    with pytest.warns(FusionCamWarning, match="lowest, -1,000, is shown as black, and the highest, 1,000, as white"):
        assert greys(open_image(path)) == [0, 127, 255]
    window = {"t340": (SIGNED, 0), "t341": (SIGNED, 1000)}
    assert greys(open_image(tiff(tmp_path / "ct.tif", bits, rows, (3, 2), t339=(SHORT, 2), **window))) == [0, 0, 255]


def test_colours_of_12_bits_are_not_nearly_black(tmp_path):
    """PIL keeps the upper 8 of 16 bits; a warning says that few of them are used."""
    row = b"\0" + struct.pack(">6H", 0, 0, 0, 4095, 2048, 1024)
    path = png(tmp_path / "a.png", (2, 2), bits=16, kind=2, rows=row * 2)
    with pytest.warns(FusionCamWarning, match=r"a\.png: its colours use 12 of 16 bits"):
        assert open_image(path).getpixel((1, 0)) == (240, 128, 64)


def test_a_depth_that_cannot_be_read_is_reported(tmp_path):
    """The error contains the reason that PIL states."""
    with pytest.raises(ImageError, match=r"a\.tif: not an image in a known format.*TIFF: unknown pixel mode"):
        open_image(tiff(tmp_path / "a.tif", 13, RAMP, (4, 4)))


# -- frames ----------------------------------------------------------------------------------------------------


def frames(path: Path, **settings: object) -> Path:
    """Save three frames: red, green, blue."""
    first, *others = (Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue"))
    return saved(first, path, save_all=True, append_images=others, **settings)


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.png", "a.webp", "a.avif"])
def test_the_first_of_several_frames_is_used_with_a_warning(name, tmp_path):
    """Animations and stacks are treated alike, as files and as images of PIL."""
    path = frames(tmp_path / name)
    with pytest.warns(FusionCamWarning, match=r"frame 1 of 3 is used: choose another one by frame= \(--frame\)"):
        red = open_image(path)
    blue = open_image(path, frame=3).getpixel((4, 4))
    assert (red.getpixel((4, 4))[0] > 250, blue[2] > 250) == (True, True)
    assert np.array_equal(np.asarray(open_image(path, frame=1)), np.asarray(red))
    with Image.open(path) as image:
        assert open_image(image, frame=3).getpixel((4, 4)) == blue
        assert image.tell() == 0


@pytest.mark.parametrize("frame", [0, -1, 4, 2**70])
def test_a_frame_that_is_missing_is_reported(frame, tmp_path):
    """The error states the frames that exist."""
    with pytest.raises(ImageError, match=rf"a\.tif: it has no frame {frame}: choose 1 to 3"):
        open_image(frames(tmp_path / "a.tif"), frame=frame)


OLD_WRITERS = pytest.mark.skipif(
    int(PIL.__version__.partition(".")[0]) < 11,
    reason="Pillow 10.3 damages MPO files that it writes, and drops the tag",
)


@OLD_WRITERS
def test_the_depth_maps_of_phones_are_not_frames(tmp_path):
    """They raise no warning."""
    frames(tmp_path / "a.mpo")
    assert open_image(tmp_path / "a.mpo").getpixel((4, 4))[0] > 250


@OLD_WRITERS
def test_thumbnails_are_not_frames(tmp_path):
    """Those of a TIFF raise no warning."""
    thumbnail = Image.new("RGB", (4, 4))
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    saved(Image.new("RGB", (8, 8), "red"), tmp_path / "a.tif", save_all=True, append_images=[thumbnail])
    assert open_image(tmp_path / "a.tif").size == (8, 8)


def test_the_slices_that_imagej_stores_without_pages_are_counted(tmp_path):
    """Large stacks of ImageJ have one page and state the number of their slices."""
    path = saved(Image.new("L", (8, 8)), tmp_path / "a.tif", description="ImageJ=1.53k\nimages=180\n")
    with pytest.warns(FusionCamWarning, match="frame 1 of 180"):
        open_image(path)

"""Test opening files and arrays as upright RGB images, and the errors for bad ones."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from fusioncam.data.images import open_image
from fusioncam.errors import ImageError
from image_cases import png, saved
from samples import corners, photo

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def pixel(image: Image.Image, position: tuple[int, int] = (2, 2)) -> tuple[int, ...]:
    """Return the colour of an RGB image at ``position`` (x, y)."""
    assert image.mode == "RGB"
    return image.getpixel(position)


def two_colours() -> Image.Image:
    """Return a blue image with a palette of red and blue."""
    image = Image.new("P", (8, 8), 1)
    image.putpalette([*RED, *BLUE])
    return image


def near(colour: tuple[int, ...], other: tuple[int, ...], tolerance: int = 12) -> bool:
    """Return whether two colours are equal up to the loss of a lossy format."""
    return max(abs(first - second) for first, second in zip(colour, other, strict=True)) <= tolerance


# -- readable files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change", "settings"),
    [
        ("rgb.png", lambda rgb: rgb, {}),
        ("rgb.bmp", lambda rgb: rgb, {}),
        ("rgb.ppm", lambda rgb: rgb, {}),
        ("rgb.webp", lambda rgb: rgb, {"lossless": True}),
        ("rgb.jpg", lambda rgb: rgb, {"quality": 95}),
        ("ycbcr.jpg", lambda rgb: rgb.convert("YCbCr"), {"quality": 95}),
        ("cmyk.jpg", lambda rgb: rgb.convert("CMYK"), {"quality": 95}),
        ("cmyk.tif", lambda rgb: rgb.convert("CMYK"), {}),
        ("palette.png", lambda rgb: rgb.quantize(4), {}),
        ("palette.gif", lambda rgb: rgb.quantize(4), {}),
        ("rgba.png", lambda rgb: rgb.convert("RGBA"), {}),
        ("JPEG AS PNG.png", lambda rgb: rgb, {"format": "JPEG", "quality": 95}),
    ],
)
def test_colours_survive_every_format(name, change, settings, tmp_path):
    """Colours are kept for any format and mode, and for a wrong suffix."""
    opened = open_image(saved(change(corners()), tmp_path / name, **settings))
    assert opened.size == (60, 40)
    assert near(pixel(opened, (2, 2)), RED)
    assert near(pixel(opened, (57, 37)), BLUE)


@pytest.mark.parametrize(
    ("mode", "grey"), [("L", 76), ("1", 255), ("LA", 76)], ids=["8 bits", "1 bit", "grey with alpha"]
)
def test_grey_becomes_three_equal_channels(mode, grey, tmp_path):
    """A grey image of any depth becomes grey RGB."""
    image = Image.new("L", (8, 8), 255 if mode == "1" else grey).convert(mode)
    assert pixel(open_image(saved(image, tmp_path / "grey.png"))) == (grey,) * 3


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize(("deep", "shallow"), [(0, 0), (32768, 127), (65535, 255), (1000, 3)])
def test_16_bit_grey_becomes_8_bit_without_clipping(suffix, deep, shallow, tmp_path):
    """Mid grey stays mid grey and does not become white."""
    path = saved(Image.fromarray(np.full((8, 8), deep, np.uint16)), tmp_path / f"deep.{suffix}")
    assert near(pixel(open_image(path)), (shallow,) * 3, tolerance=1)


def test_big_endian_16_bit_grey_is_read(tmp_path):
    """The byte order of the file does not change the grey value."""
    image = Image.frombytes("I;16B", (8, 8), np.full((8, 8), 32768, ">u2").tobytes())
    assert near(pixel(open_image(saved(image, tmp_path / "deep.tif"))), (127,) * 3, tolerance=1)


def test_16_bit_colour_becomes_8_bit(tmp_path):
    """A 16-bit RGB image keeps its colours."""
    row = b"\0" + struct.pack(">3H", 32768, 1000, 65535) * 4
    path = png(tmp_path / "deep.png", (4, 4), bits=16, kind=2, rows=row * 4)
    assert near(pixel(open_image(path)), (128, 3, 255), tolerance=1)


@pytest.mark.parametrize(
    ("name", "make", "settings"),
    [
        ("palette.png", two_colours, {"transparency": 1}),
        ("palette.gif", two_colours, {"transparency": 1}),
        ("palette-alphas.png", two_colours, {"transparency": b"\xff\x00"}),
        ("rgb.png", lambda: Image.new("RGB", (8, 8), "red"), {"transparency": RED}),
        ("grey.png", lambda: Image.new("L", (8, 8), 9), {"transparency": 9}),
        ("la.png", lambda: Image.new("LA", (8, 8), (9, 0)), {}),
        ("rgba.png", lambda: Image.new("RGBA", (8, 8), (9, 9, 9, 0)), {}),
        ("rgba.webp", lambda: Image.new("RGBA", (8, 8), (9, 9, 9, 0)), {"lossless": True}),
    ],
)
def test_transparent_parts_become_white(name, make, settings, tmp_path):
    """The colour behind a transparent part does not reach the network."""
    assert pixel(open_image(saved(make(), tmp_path / name, **settings))) == WHITE


def test_half_transparent_parts_are_blended_with_white(tmp_path):
    """Half-transparent black on white is grey."""
    path = saved(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), tmp_path / "half.png")
    assert near(pixel(open_image(path)), (127,) * 3, tolerance=1)


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [
        (1, "upper left"),
        (2, "upper right"),
        (3, "lower right"),
        (4, "lower left"),
        (5, "upper left"),
        (6, "upper right"),
        (7, "lower right"),
        (8, "lower left"),
    ],
)
def test_exif_orientation_is_applied(orientation, corner, tmp_path):
    """The red corner is where an image viewer shows it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = open_image(saved(corners(), tmp_path / "phone.jpg", exif=exif, quality=95))
    assert opened.size == ((60, 40) if orientation < 5 else (40, 60))
    x = 2 if "left" in corner else opened.width - 3
    y = 2 if "upper" in corner else opened.height - 3
    assert near(pixel(opened, (x, y)), RED)
    assert near(pixel(opened, (opened.width - 1 - x, opened.height - 1 - y)), BLUE)


def test_exif_orientation_is_applied_to_pil_images(tmp_path):
    """An image opened by the caller is treated as a file is."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(saved(corners(), tmp_path / "phone.jpg", exif=exif)) as image:
        assert open_image(image).size == (40, 60)


def test_the_callers_image_is_not_changed():
    """Mode and pixels of the caller's image stay the same."""
    image = Image.new("RGBA", (8, 8), (9, 9, 9, 0))
    open_image(image)
    assert (image.mode, image.getpixel((0, 0))) == ("RGBA", (9, 9, 9, 0))


@pytest.mark.parametrize(
    "name", ["a b.png", "ü.png", "猫.PNG", "[1].png", "-x.png", "100%.png", "a.b.c.png", "no-suffix"]
)
def test_any_file_name_is_accepted(name, tmp_path):
    """Names may have spaces, other scripts, brackets and no suffix; a path may be a string."""
    path = saved(corners(), tmp_path / name, format="PNG")
    assert pixel(open_image(path)) == pixel(open_image(str(path))) == RED


# -- unreadable files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"hello, I am no image", "not an image in a known format .20 bytes"),
        (b"<!DOCTYPE html><html></html>", "not an image"),
        (b"\xff\xd8", "not an image|damaged"),
    ],
)
def test_files_that_are_not_images_are_reported(content, message, tmp_path):
    """The error names the file and what is wrong with it."""
    path = tmp_path / "cat.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"cat\.jpg.*({message})"):
        open_image(path)


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.tif", "photo.bmp", "photo.gif", "photo.webp"])
def test_a_truncated_file_is_an_error_and_never_a_grey_image(name, kept, tmp_path):
    """A truncated file is reported for every format and any length."""
    path = saved(photo(size=(200, 150)), tmp_path / name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ImageError, match=r"photo\.\w+: (damaged|not an image).*bytes"):
        open_image(path)


def test_a_damaged_file_is_an_error(tmp_path):
    """One changed byte in the pixels of a PNG is detected."""
    path = saved(corners(), tmp_path / "flipped.png")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"flipped\.png: damaged"):
        open_image(path)


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_001, 10_001), (2**31 - 1, 2**31 - 1)])
def test_decompression_bombs_are_rejected_before_they_are_decoded(size, tmp_path):
    """An image with too many pixels is rejected from its header, with the library's message."""
    path = png(tmp_path / "bomb.png", size, bits=1, kind=0, rows=b"")
    with pytest.raises(ImageError, match=r"bomb\.png: .*over 100,000,000 pixels: resize it") as caught:
        open_image(path)
    assert "attack" not in str(caught.value)


def test_large_images_below_the_limit_raise_no_warning(tmp_path):
    """Between PIL's limit and the library's there is no warning; this file is only truncated."""
    with pytest.raises(ImageError, match="damaged or truncated"):
        open_image(png(tmp_path / "large.png", (9_900, 9_900), bits=1, kind=0, rows=b""))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_an_image_with_a_side_of_one_pixel_is_rejected(size, tmp_path):
    """The error names the size."""
    path = saved(Image.new("RGB", size), tmp_path / "pixel.png")
    with pytest.raises(
        ImageError, match=rf"pixel\.png: an image needs at least 2 x 2 pixels, got {size[0]} x {size[1]}"
    ):
        open_image(path)


def test_floating_point_pixels_are_rejected(tmp_path):
    """The error names the file and the reason: a float TIFF has no known range."""
    path = saved(Image.new("F", (8, 8), 0.5), tmp_path / "float.tif")
    with pytest.raises(ImageError, match="floating-point pixels have no fixed range: convert") as caught:
        open_image(path)
    assert "float.tif" in str(caught.value)


def test_missing_files_and_folders_are_reported(tmp_path):
    """A missing file and a folder have different errors."""
    with pytest.raises(ImageError, match=r"nope\.png: no such file"):
        open_image(tmp_path / "nope.png")
    with pytest.raises(ImageError, match="a folder, not an image"):
        open_image(tmp_path)


def test_a_name_longer_than_the_system_allows_is_an_image_error():
    """A long text instead of a path raises the library's own error."""
    with pytest.raises(ImageError):
        open_image("a" * 300)


def test_image_errors_are_os_errors(tmp_path):
    """Callers that do not know the library can catch OSError."""
    with pytest.raises(OSError, match="no such file"):
        open_image(tmp_path / "nope.png")


def test_a_lazily_opened_truncated_image_is_an_image_error(tmp_path):
    """PIL decodes pixels late; errors at that point are the library's too."""
    path = saved(photo(size=(200, 150)), tmp_path / "cut.jpg")
    path.write_bytes(path.read_bytes()[:3000])
    with Image.open(path) as image, pytest.raises(ImageError):
        open_image(image)


@pytest.mark.parametrize(
    "thing", [None, 3, [[0, 1], [1, 0]], {"image": 1}, b"cat.jpg"], ids=lambda thing: type(thing).__name__
)
def test_other_objects_are_rejected(thing):
    """The error for a list or None names the accepted types."""
    with pytest.raises(ImageError, match="expected a path, a PIL image or an array"):
        open_image(thing)


# -- arrays ----------------------------------------------------------------------------------------------------


def test_arrays_are_accepted():
    """A uint8 array may be grey, RGB or RGBA, and a view with strides."""
    rgb = np.asarray(corners())
    assert np.array_equal(np.asarray(open_image(rgb)), rgb)
    assert np.array_equal(np.asarray(open_image(rgb[::-1, ::2])), rgb[::-1, ::2])
    assert pixel(open_image(np.full((8, 8), 99, np.uint8))) == (99, 99, 99)
    assert pixel(open_image(np.zeros((8, 8, 4), np.uint8))) == WHITE


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8), np.int64),
        np.zeros((8, 8), complex),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros(8, np.uint8),
        np.zeros((), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_are_rejected(array):
    """The error names the accepted type and shapes, and those given."""
    with pytest.raises(ImageError, match=r"expected an array|pixels must have 8 or 16 bits") as caught:
        open_image(array)
    assert str(array.dtype) in str(caught.value)
    assert str(array.shape) in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 8, 3), (8, 0, 3), (1, 8, 3)])
def test_arrays_without_enough_pixels_are_rejected(shape):
    """An empty or one-pixel side is an error."""
    with pytest.raises(ImageError, match="at least 2 x 2 pixels"):
        open_image(np.zeros(shape, np.uint8))

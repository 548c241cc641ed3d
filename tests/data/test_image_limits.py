"""Test which formats are opened, the memory that it takes, and threads."""

from __future__ import annotations

import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock, patch

import numpy as np
import pytest
from PIL import Image

from fusioncam.data.datasets.annotations import read_header
from fusioncam.data.images import open_image, read_image
from fusioncam.errors import ImageError
from image_cases import png, saved
from samples import corners

PROGRAM = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n"


@pytest.mark.parametrize("name", ["cat.jpg", "cat.eps", "cat"])
def test_no_other_program_is_run(name, tmp_path, monkeypatch):
    """PostScript is not opened under any name or way of opening, because PIL would run Ghostscript on it."""
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *args, **settings: pytest.fail("it was run"))
    path = tmp_path / name
    path.write_bytes(PROGRAM)
    for read in (open_image, read_header, lambda path: read_image(path.read_bytes(), "cat")):
        with pytest.raises(ImageError, match="not an image in a known format"):
            read(path)
    with Image.open(path) as image, pytest.raises(ImageError, match="EPS is not a format that is opened"):
        open_image(image)


@pytest.mark.parametrize("name", ["a.avif", "b.jp2", "c.qoi", "d.tga", "e.pcx", "f.sgi", "g.dib"])
def test_other_raster_formats_are_opened(name, tmp_path):
    """These formats are opened as PIL itself opens them."""
    path = saved(corners(), tmp_path / name)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(open_image(path)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("bits", "kind", "samples"), [(16, 0, 2), (16, 2, 6), (8, 6, 4)], ids=["grey", "RGB", "RGBA"]
)
def test_memory_is_bounded(bits, kind, samples, tmp_path):
    """Besides its pixels and the result, opening an image needs little memory."""
    side = 1500
    path = png(tmp_path / "flat.png", (side, side), bits, kind, (b"\0" + b"\x80" * side * samples) * side)
    tracemalloc.start()  # NumPy's arrays; PIL's images are not traced
    open_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * side * side


def test_the_memory_of_pixels_is_checked_before_decoding(tmp_path, monkeypatch):
    """An image with an admissible number of pixels may need too much memory for each of them."""
    path = saved(corners(), tmp_path / "a.png")
    monkeypatch.setattr("fusioncam.data.images.MAX_BYTES", 60 * 40 * 3)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="of memory: resize it first"):
        open_image(path)


def test_threads_leave_the_warnings_filter_unchanged(tmp_path):
    """The filter is shared by all threads, so opening an image does not change it, not even for a moment."""
    path, before = saved(corners(), tmp_path / "a.png"), list(warnings.filters)
    with patch("warnings.catch_warnings", side_effect=AssertionError("the filter is changed")):
        open_image(path)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(open_image, [path] * 64))
    assert list(warnings.filters) == before


def test_errors_of_reading_are_not_called_damage(tmp_path, monkeypatch):
    """A file that may not be read is reported with the reason of the system."""
    path = saved(corners(), tmp_path / "a.png")

    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=r"a\.png: cannot be read: Permission denied"):
        open_image(path)


@pytest.mark.parametrize(
    "error", [KeyError("x"), OverflowError(), AttributeError("x"), MemoryError(), RecursionError()]
)
def test_any_error_of_a_decoder_is_an_image_error(error, tmp_path, monkeypatch):
    """PIL's decoders raise many kinds of errors on hostile files."""
    path = saved(corners(), tmp_path / "a.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", Mock(side_effect=error))
    with pytest.raises(ImageError, match=r"a\.png: damaged"):
        open_image(path)

"""Image files that the tests of images share."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# formats that the lowest supported version of Pillow cannot write
_NEWER = {".avif": "AVIF", ".qoi": "QOI"}


def saved(image: Image.Image, path: Path, **settings: object) -> Path:
    """Save the image and return its path; skip the test where the installed Pillow cannot write the format."""
    Image.init()
    if path.suffix == ".pgm" and image.mode.startswith("I;16"):  # read by the lowest version, but not written
        path.write_bytes(b"P5 %d %d 65535\n" % image.size + np.asarray(image).astype(">u2").tobytes())
        return path
    if (kind := _NEWER.get(path.suffix)) and kind not in Image.SAVE:
        pytest.skip(f"this version of Pillow does not write {kind}")
    image.save(path, **settings)
    return path


def png(path: Path, size: tuple[int, int], bits: int, kind: int, rows: bytes) -> Path:
    """Write a PNG that PIL itself cannot write; ``kind`` is the colour type of the format."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path

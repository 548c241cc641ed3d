"""Files of visitors: which uploads are opened, and what the zip file contains."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from fusioncam.app.files import MAX_BYTES, MAX_PIXELS, open_upload, store_image, zip_explanations
from fusioncam.app.session import Session
from fusioncam.errors import ImageError
from samples import photo

MODEL = "samples:small"


@pytest.fixture(scope="module")
def session() -> Session:
    """Open a session of the small network."""
    return Session.open([MODEL], device="cpu")


def write_invalid_file(path: Path, kind: str) -> Path:
    """Write a file that must not be opened, or cannot be."""
    if kind == "large":
        with path.open("wb") as file:
            file.truncate(MAX_BYTES + 1)
    elif kind == "wide":
        Image.new("1", (MAX_PIXELS // 4000 + 1, 4000)).save(path, "PNG")
    elif kind == "program":  # PIL would have Ghostscript run it
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) print\n")
    elif kind == "torn":
        photo().save(path, "PNG")
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "text":
        path.write_text("not an image")
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("large", "cat.jpg: the file has over 20 MB: resize the image first"),
        ("wide", "cat.jpg: it has over 40,000,000 pixels: resize it first"),
        ("program", "cat.jpg: not an image in a known format"),
        ("torn", "cat.jpg: damaged or truncated"),
        ("text", "cat.jpg: not an image in a known format (12 bytes)"),
        ("empty", "cat.jpg: the file is empty"),
        ("gone", "cat.jpg: the file was deleted: choose the image again"),
    ],
)
def test_errors_of_uploads_state_no_folder(tmp_path, kind, message):
    """Visitors see the file's name, not where the server stores it."""
    path = tmp_path / "cat.jpg"
    if kind == "empty":
        path.touch()
    else:
        write_invalid_file(path, kind)

    with pytest.raises(ImageError) as raised:
        open_upload(path)

    assert str(raised.value).startswith(message)
    assert str(tmp_path) not in str(raised.value)


def test_image_size_is_checked_before_decoding(tmp_path):
    """A small file may contain a huge image."""
    with patch("PIL.ImageFile.ImageFile.load", side_effect=AssertionError("decoded")), pytest.raises(ImageError):
        open_upload(write_invalid_file(tmp_path / "bomb.png", "wide"))


def test_the_zip_file_contains_everything(session):
    """Each explanation has an overlay in the chosen style, a heatmap, and facts, which include its card."""
    explained = session.explain(photo(), "cat.png", model=MODEL)
    card = explained.explanation.check()
    archive = zipfile.ZipFile(
        io.BytesIO(zip_explanations([explained.explanation, explained.at_theta(50).explanation], colorbar=True))
    )
    stems = ("cat.fusion-cam_budget=64", "cat.fusion-cam_budget=64_theta=50")
    facts, other = (json.loads(archive.read(f"{stem}.json")) for stem in stems)

    assert set(archive.namelist()) == {f"{stem}.{end}" for stem in stems for end in ("png", "npy", "json")}
    assert np.array_equal(np.load(archive.open(f"{stems[0]}.npy")), explained.explanation.heatmap.numpy())
    assert facts["gains"] == explained.explanation.gains
    assert facts["check"]["words"] == card.words
    assert "check" not in other
    with_bar = Image.open(archive.open(f"{stems[1]}.png")).size
    assert with_bar == explained.explanation.overlay(colorbar=True).size != photo().size


def test_stored_images_are_never_rewritten_in_place(tmp_path, monkeypatch):
    """Equal images have one address, and who reads the file meanwhile sees it whole."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    path = Path(store_image(photo()))
    content = path.read_bytes()
    with path.open("rb") as reader:
        assert store_image(photo()) == str(path)
        assert path.stat().st_ino != os.fstat(reader.fileno()).st_ino
        assert reader.read() == content
    assert store_image(photo().rotate(90)) != str(path)
    assert path.is_relative_to(tmp_path)

"""The list of images: which files are listed, and which one a click chooses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from fusioncam.app.image_list import MAX_IMAGES, ImageListHandlers, choose
from fusioncam.errors import ImageError
from samples import corners


@pytest.fixture
def handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageListHandlers:
    """Return the handlers of a page without uploads."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return ImageListHandlers(tmp_path)


def sent(folder: Path, name: str, content: bytes | None = None) -> dict[str, str]:
    """Store a file, by default an image, where Gradio stores uploads, and refer to it as a browser does."""
    path = folder / name
    if content is None:
        corners(600, 400).save(path)
    else:
        path.write_bytes(content)
    return {"path": str(path), "orig_name": name}


def test_images_are_listed_and_the_first_one_is_chosen(handlers, tmp_path):
    """The thumbnails have the names of the files."""
    uploads = [sent(tmp_path, "a.png"), sent(tmp_path, "b.png")]
    note, gallery, paths, chosen = handlers.list_images(uploads)

    assert note == ""
    assert [name for _, name in gallery["value"]] == ["a.png", "b.png"]
    assert (gallery["selected_index"], gallery["visible"]) == (0, True)
    assert paths == tuple(upload["path"] for upload in uploads)
    assert chosen == paths[0]
    with Image.open(gallery["value"][0][0]) as image:
        assert image.size == (192, 128)


def test_files_that_are_no_images_are_named(handlers, tmp_path):
    """The others are listed, and paths outside the folder are not opened."""
    outside = tmp_path.parent / f"{tmp_path.name}-outside.png"
    corners().save(outside)
    bad = sent(tmp_path, "<b>bad.png", b"not an image")
    note, gallery, paths, _ = handlers.list_images([bad, {"path": str(outside)}, sent(tmp_path, "good.png")])

    assert "&lt;b&gt;bad.png: not an image in a known format (12 bytes)" in note
    assert "an image must be uploaded" in note
    assert [name for _, name in gallery["value"]] == ["good.png"]
    assert [Path(path).name for path in paths] == ["good.png"]


def test_without_a_good_image_the_page_stays(handlers, tmp_path):
    """The list disappears, and the image that is shown stays."""
    note, gallery, paths, chosen = handlers.list_images([sent(tmp_path, "bad.png", b"")])
    assert "bad.png: the file is empty" in note
    assert gallery["visible"] is False
    assert paths == ()
    assert chosen == gr.skip()


@pytest.mark.parametrize("uploads", [None, "text", {"path": "/etc/passwd"}, 7, []])
def test_other_values_list_nothing(handlers, uploads):
    """A browser may send anything."""
    assert handlers.list_images(uploads)[2] == ()


def test_only_so_many_images_are_listed(handlers, tmp_path):
    """The note says how many."""
    upload = sent(tmp_path, "a.png")
    note, gallery, paths, _ = handlers.list_images([upload] * (MAX_IMAGES + 1))
    assert f"13 images are too many: the first {MAX_IMAGES} are listed" in note
    assert len(paths) == len(gallery["value"]) == MAX_IMAGES


@pytest.mark.parametrize("index", [-1, 1, None, "0", [0]])
def test_a_click_chooses_a_file_of_the_list_only(tmp_path, index):
    """So a visitor can choose only among the own images."""
    path = sent(tmp_path, "a.png")["path"]
    assert choose((path,), SimpleNamespace(index=0)) == (path,)
    with pytest.raises(ImageError, match="drop the images again"):
        choose((path,), SimpleNamespace(index=index))


def test_a_deleted_image_is_reported(tmp_path):
    """Uploads are deleted after an hour."""
    with pytest.raises(ImageError, match="this image was deleted"):
        choose((str(tmp_path / "gone.png"),), SimpleNamespace(index=0))

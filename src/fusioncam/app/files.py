"""Files that visitors send and receive: uploads, images that are shown, and explanations as a zip file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from gradio.utils import get_upload_folder
from PIL import Image

from fusioncam.data.images import open_image
from fusioncam.errors import ImageError
from fusioncam.explanations.explanation import Explanation
from fusioncam.utils.files import atomic_write

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000


def open_upload(path: Path) -> Image.Image:
    """Open an uploaded image, after checking the sizes of the file and of the image.

    Raises :class:`ImageError`, whose message states the name of the file but not its folder.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(f"{path.name}: the file has over {MAX_BYTES >> 20} MB: resize the image first")
        return open_image(path, max_pixels=MAX_PIXELS)
    except ImageError as error:
        raise ImageError(str(error).replace(str(path), path.name)) from None
    except OSError:
        raise ImageError(f"{path.name}: the file was deleted: choose the image again") from None


def open_sent(upload: object, folder: Path) -> tuple[Image.Image, str]:
    """Return an image that a browser sent, and the name of its file, which must be in ``folder``.

    Raises :class:`ImageError` for any other path, for an address, and for what :func:`open_upload` refuses.
    """
    path = upload.get("path") if isinstance(upload, dict) else None
    if not isinstance(path, str) or "\0" in path or not Path(path).resolve().is_relative_to(folder.resolve()):
        raise ImageError("an image must be uploaded: no path and no address is opened")
    return open_upload(Path(path)), Path(path).name


def thumbnail(image: Image.Image, side: int) -> Image.Image:
    """Return an image without alpha whose longer side is at most ``side``; the image itself may shrink too."""
    image.thumbnail((side, side))
    return image


def store_image(image: Image.Image) -> str:
    """Store an image as a JPEG file of the server, and return its path; equal images have one file.

    Gradio would write the file of an equal image again, while a browser reads it.
    """
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    path = Path(get_upload_folder()) / hashlib.sha256(buffer.getvalue()).hexdigest() / "image.jpeg"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:  # replaces an older one, so that it is not deleted for its age
        file.write(buffer.getvalue())
    return str(path)


def zip_explanations(explanations: Iterable[Explanation], **style: Any) -> bytes:
    """Return a zip file of overlays, heatmaps and facts, which include the trust cards measured so far.

    ``style`` are the arguments of :meth:`Explanation.overlay`.
    """
    buffer = io.BytesIO()
    with TemporaryDirectory() as folder, ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for path in chain.from_iterable(explanation.save(folder, **style) for explanation in explanations):
            archive.write(path, path.name)
    return buffer.getvalue()

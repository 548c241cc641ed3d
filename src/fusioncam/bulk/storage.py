"""Folders on local disks and wherever pyarrow or fsspec reach: ``s3://``, ``gs://``, ``hdfs://``, ``memory://``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from fusioncam.data.images import SUFFIXES, find_images, open_image, read_image
from fusioncam.errors import ImageError, OutputError, UnknownNameError
from fusioncam.utils.files import atomic_write
from fusioncam.utils.optional import extra


@dataclass(frozen=True)
class Found:
    """An image: the place that it was asked for by, its path there, and its name in rows."""

    root: str
    path: str
    name: str

    def open(self) -> Image.Image:
        """Give the upright RGB image, which knows its name; raises :class:`ImageError`."""
        image = self._opened() if is_local(self.root) else read_image(_bytes(self), self.name)
        image.filename = self.name  # type: ignore[attr-defined] # where PIL itself keeps it
        return image

    def _opened(self) -> Image.Image:
        try:
            return open_image(self.path)
        except ImageError as error:  # told by the name that it has in rows
            raise ImageError(str(error).replace(self.path, self.name)) from None


def is_local(url: str) -> bool:
    """Say whether a path is one of this machine's."""
    return "://" not in url


def arrow_files() -> Any:
    """Give pyarrow's file systems, or say how to get them."""
    return extra("ray", "pyarrow.fs", "heatmaps in bulk")


@cache
def reach(url: str) -> tuple[Any, str]:
    """Give the file system of a URL and the path there; pyarrow's own where it has one, else fsspec's."""
    files = arrow_files()
    try:
        try:
            return files.FileSystem.from_uri(url)  # type: ignore[no-any-return]
        except ValueError:  # not among its own
            import fsspec  # type: ignore[import-untyped]

            system, path = fsspec.core.url_to_fs(url)
            return files.PyFileSystem(files.FSSpecHandler(system)), path
    except (ImportError, OSError, ValueError) as error:
        raise UnknownNameError(f"'{url}' cannot be reached: {error}") from None


def images_at(url: str, apart_from: str) -> Iterator[Found]:
    """Give the images that a file, a folder, a pattern or a URL stands for, in the same order at every call.

    One folder at a time is in memory. What lies below ``apart_from`` is left out. Raises :class:`ImageError` for what
    is not there.
    """
    if not is_local(url):
        yield from _remote(url)
        return
    if not Path(url).is_dir():
        for one in find_images([url]):
            if isinstance(one, ImageError):
                raise one
            if not one.is_file():
                raise ImageError(f"{one}: no such file")
            yield _here(one)
        return
    out = Path(apart_from).resolve() if is_local(apart_from) else None
    yield from map(_here, _walk(Path(url), out))


def _here(path: Path) -> Found:
    return Found("", str(path.absolute()), os.fsencode(path).decode(errors="backslashreplace"))


def _walk(folder: Path, out: Path | None) -> Iterator[Path]:
    with os.scandir(folder) as listing:
        entries = sorted((one.name, one.is_dir()) for one in listing if not one.name.startswith("."))
    for name, is_folder in entries:
        path = folder / name
        if is_folder and path.resolve() != out:
            yield from _walk(path, out)
        elif not is_folder and path.suffix.lower() in SUFFIXES:
            yield path


def _remote(url: str) -> Iterator[Found]:
    system, path = reach(url)
    scheme = url.split("://")[0]
    try:
        kind = system.get_file_info(path).type.name
        if kind == "NotFound":
            raise ImageError(f"{url}: no such file or folder")
        paths = [path] if kind == "File" else _walk_remote(system, path)
        yield from (Found(url, one, f"{scheme}://{one.lstrip('/')}") for one in paths)
    except ImageError:
        raise
    except OSError as error:
        raise ImageError(f"{url}: cannot be listed: {error}") from error


def _walk_remote(system: Any, folder: str) -> Iterator[str]:
    for one in sorted(system.get_file_info(arrow_files().FileSelector(folder)), key=lambda info: info.base_name):
        if one.base_name.startswith("."):
            continue
        if one.type.name == "Directory":
            yield from _walk_remote(system, one.path)
        elif PurePosixPath(one.path).suffix.lower() in SUFFIXES:
            yield one.path


def _bytes(image: Found) -> bytes:
    system, _ = reach(image.root)
    try:
        with system.open_input_stream(image.path) as stream:
            return stream.read()  # type: ignore[no-any-return]
    except OSError as error:
        raise ImageError(f"{image.name}: cannot be read: {error}") from error


@dataclass(frozen=True)
class Folder:
    """A folder to write into, by path or URL."""

    url: str

    def _at(self, name: str = "") -> tuple[Any, str]:
        system, path = reach(self.url) if not is_local(self.url) else (arrow_files().LocalFileSystem(), self.url)
        return system, f"{path.rstrip('/')}/{name}".rstrip("/")

    def names(self) -> list[str]:
        """List the files right in it; none where it is not there."""
        system, path = self._at()
        selector = arrow_files().FileSelector(path, allow_not_found=True)
        return sorted(one.base_name for one in system.get_file_info(selector) if one.type.name == "File")

    def read(self, name: str) -> bytes | None:
        """Give what a file holds; None where it is not there."""
        system, path = self._at(name)
        if system.get_file_info(path).type.name != "File":
            return None
        with system.open_input_stream(path) as stream:
            return stream.read()  # type: ignore[no-any-return]

    def open(self, name: str) -> Any:
        """Open a file to be read here and there."""
        system, path = self._at(name)
        return system.open_input_file(path)

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all, as object stores do by themselves; raises :class:`OutputError`."""
        try:
            if is_local(self.url):
                path = Path(self.url, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path) as file:
                    file.write(data)
                return
            system, path_there = self._at(name)
            if system.type_name not in ("s3", "gcs"):  # where folders are but a part of names
                system.create_dir(path_there.rpartition("/")[0], recursive=True)
            with system.open_output_stream(path_there) as stream:
                stream.write(data)
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write {name} into {self.url}: {error}") from error

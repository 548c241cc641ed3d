"""Folders on local disks and everywhere that pyarrow or fsspec reach: ``s3://``, ``gs://``, ``hdfs://``, ``memory://``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from fusioncam.data.channels import OpenedImage
from fusioncam.data.formats import has_image_suffix
from fusioncam.data.image_files import find, walk_images
from fusioncam.data.images import open_with_channels, read_with_channels, with_name
from fusioncam.errors import ImageError, OutputError, SettingError
from fusioncam.utils.files import write_file
from fusioncam.utils.optional import extra
from fusioncam.utils.text import printable


@dataclass(frozen=True)
class FoundImage:
    """An image: the URL by which it was requested ('' for a local one), its path there, and its name in rows.

    A folder that cannot be read takes the position of its images, and raises its error when it is opened.
    """

    root: str
    path: str
    name: str

    def open(self, channels: int = 3) -> OpenedImage:
        """Return the upright RGB image, or that of so many channels, with its name as ``filename``.

        Raises :class:`ImageError`.
        """
        if is_local(self.root):
            return with_name(self._open_local(channels), self.name)
        return with_name(read_with_channels(_read_bytes(self), self.name, channels), self.name)

    def _open_local(self, channels: int) -> OpenedImage:
        try:
            return open_with_channels(self.path, channels)
        except ImageError as error:  # rows use the name, not the absolute path
            raise ImageError(str(error).replace(self.path, self.name)) from None


def is_local(url: str) -> bool:
    """Return whether this is a path on this machine rather than a URL."""
    return "://" not in url


def arrow_files() -> Any:
    """Return pyarrow's module of file systems; raise :class:`MissingExtraError` without pyarrow."""
    return extra("ray", "pyarrow.fs", "heatmaps in bulk")


@lru_cache(maxsize=16)
def file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it.

    pyarrow's own file system is used if it has one for the URL, else fsspec's. Raises :class:`SettingError` for a URL
    of neither.
    """
    files = arrow_files()
    try:
        try:
            return files.FileSystem.from_uri(url)  # type: ignore[no-any-return]
        except ValueError:  # pyarrow does not know this scheme
            import fsspec  # type: ignore[import-untyped]

            system, path = fsspec.core.url_to_fs(url)
            return files.PyFileSystem(files.FSSpecHandler(system)), path
    except (ImportError, OSError, ValueError) as error:
        raise SettingError(f"'{url}' cannot be reached: {error}") from None


# -- listing images ----------------------------------------------------------------------------------------------


def images_at(url: str, excluded: str) -> Iterator[FoundImage]:
    """Yield the images of a file, a folder, a glob pattern or a URL, in the same order at every call.

    Only one folder at a time is in memory. The folder ``excluded`` is skipped. Raises :class:`ImageError` for files
    and folders that do not exist.
    """
    if not is_local(url):
        yield from _remote_images(url)
        return
    if Path(url).is_dir():
        found = walk_images(Path(url), Path(excluded) if is_local(excluded) else None)
        yield from (_local_image(path) for path, _ in found)
        return
    for path, problem in find(url):
        if not os.path.lexists(path):
            raise ImageError(f"{path}: {problem or 'no such file'}")
        yield _local_image(path)


def _local_image(path: Path) -> FoundImage:
    return FoundImage("", str(path.absolute()), os.fsencode(path).decode(errors="backslashreplace"))


def _remote_images(url: str) -> Iterator[FoundImage]:
    system, path = file_system(url)
    scheme = url.split("://")[0]
    try:
        kind = system.get_file_info(path).type.name
        if kind == "NotFound":
            raise ImageError(f"{url}: no such file or folder")
        paths = [path] if kind == "File" else _walk_remote(system, path)
        yield from (FoundImage(url, one, f"{scheme}://{one.lstrip('/')}") for one in paths)
    except ImageError:
        raise
    except OSError as error:
        raise ImageError(f"{url}: cannot be listed: {error}") from error


def _walk_remote(system: Any, folder: str) -> Iterator[str]:
    entries = system.get_file_info(arrow_files().FileSelector(folder))
    for entry in sorted(entries, key=lambda info: info.base_name):
        if entry.base_name.startswith("."):
            continue
        if entry.type.name == "Directory":
            yield from _walk_remote(system, entry.path)
        elif has_image_suffix(PurePosixPath(entry.path)):
            yield entry.path


def _read_bytes(image: FoundImage) -> bytes:
    system, _ = file_system(image.root)
    try:
        with system.open_input_stream(image.path) as stream:
            return stream.read()  # type: ignore[no-any-return]
    except OSError as error:
        raise ImageError(f"{image.name}: cannot be read: {error}") from error


# -- reading and writing files -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Folder:
    """A folder to write to, by path or URL.

    Raises :class:`SettingError` for a name that is not text, which pyarrow cannot use.
    """

    url: str

    def __post_init__(self) -> None:
        if printable(self.url) != self.url:
            raise SettingError(f"'{printable(self.url)}' is not a name for a folder of heatmaps: choose another one")

    def _locate(self, name: str = "") -> tuple[Any, str]:
        system, path = (arrow_files().LocalFileSystem(), self.url) if is_local(self.url) else file_system(self.url)
        return system, f"{path.rstrip('/')}/{name}".rstrip("/")

    def names(self) -> list[str]:
        """List the files directly in the folder; a folder that does not exist has none."""
        system, path = self._locate()
        selector = arrow_files().FileSelector(path, allow_not_found=True)
        return sorted(entry.base_name for entry in system.get_file_info(selector) if entry.type.name == "File")

    def read(self, name: str) -> bytes | None:
        """Return the contents of a file, or None if it does not exist."""
        system, path = self._locate(name)
        if system.get_file_info(path).type.name != "File":
            return None
        with system.open_input_stream(path) as stream:
            return stream.read()  # type: ignore[no-any-return]

    def open(self, name: str) -> Any:
        """Open a file for random access."""
        system, path = self._locate(name)
        return system.open_input_file(path)

    def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
        """Write a file completely or not at all, as object stores do by themselves; raise :class:`OutputError`.

        With ``durable`` the data are on the disk when this returns, as object stores promise too.
        """
        try:
            if is_local(self.url):
                path = Path(self.url, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_file(path, data, durable=durable)
            else:
                self._write_remote(name, data)
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write {name} into {self.url}: {error}") from error

    def _write_remote(self, name: str, data: bytes) -> None:
        system, path = self._locate(name)
        if system.type_name not in ("s3", "gcs"):  # in object stores a folder is only a prefix of names
            system.create_dir(path.rpartition("/")[0], recursive=True)
        with system.open_output_stream(path) as stream:
            stream.write(data)

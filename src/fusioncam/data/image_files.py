"""Find image files in folders and by glob patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from stat import S_ISDIR

from fusioncam.data.formats import has_image_suffix, suffixes
from fusioncam.errors import ImageError

# a file and "", or a folder or link that cannot be read and the reason
Found = tuple[Path, str]


def find_images(
    paths: Iterable[str | Path], on_skipped: Callable[[Path], object] | None = None
) -> Iterator[Path | ImageError]:
    """Yield the image files of files, folders (searched recursively) and glob patterns, sorted within each argument.

    An argument without images, a folder that cannot be read and a link that leads nowhere but to itself yield an
    :class:`ImageError` at their position, and the others are still found. See :func:`walk_images` for links.
    ``on_skipped`` is called with each file of a folder that is no image by its name.
    """
    for argument in map(str, paths):
        if not argument:
            yield ImageError("the path is empty: give a file, a folder or a pattern")
            continue
        for path, problem in find(argument, on_skipped):
            yield ImageError(f"{path}: {problem}") if problem else path


def find(argument: str, on_skipped: Callable[[Path], object] | None = None) -> Iterator[Found]:
    """Yield the images of one file, folder or pattern, or the argument itself with the reason if there are none."""
    if os.path.isdir(argument):  # noqa: PTH112 # pathlib raises an error for names that are too long
        wanted = has_image_suffix if on_skipped is None else partial(_is_image, on_skipped)
        found, problem = walk(Path(argument), wanted), f"the folder has no image ({', '.join(suffixes())})"
    elif glob.has_magic(argument) and not os.path.lexists(argument):
        found, problem = _matches(argument), "no file matches this pattern"
    else:
        found, problem = iter([(Path(argument), "")]), ""
    yield next(found, (Path(argument), problem))
    yield from found


def _is_image(on_skipped: Callable[[Path], object], path: Path) -> bool:
    is_image = has_image_suffix(path)
    if not is_image:
        on_skipped(path)
    return is_image


def walk_images(folder: Path, excluded: Path | None = None) -> Iterator[Found]:
    """Yield the images below a folder, sorted by path, without hidden ones and those in the folder ``excluded``.

    A folder that cannot be read, or a link to itself, is yielded in its position with the reason.
    Each real folder is entered at most once. A link to a folder is followed unless its target lies below ``folder``
    and is found there anyway. Only the names of one folder per level are in memory.
    """
    return walk(folder, has_image_suffix, excluded)


def walk(folder: Path, wanted: Callable[[Path], bool], excluded: Path | None = None) -> Iterator[Found]:
    """Yield the ``wanted`` files below a folder as :func:`walk_images` does."""
    return _Walk(folder, wanted, excluded).files()


class _Walk:
    """One walk below ``root``, depth first; it remembers the folders that it has entered, by device and inode."""

    def __init__(self, root: Path, wanted: Callable[[Path], bool], excluded: Path | None = None) -> None:
        self.root = root
        self.wanted = wanted
        self.excluded = None if excluded is None else excluded.resolve()
        self.entered: set[tuple[int, int]] = set()

    def files(self) -> Iterator[Found]:
        self.real_root = self.root.resolve()
        levels = [self._listed(self.root)]  # not recursive, because folders may be nested deeply
        while levels:
            found = next(levels[-1], None)
            if found is None:
                levels.pop()
            elif not found[1] and os.path.isdir(found[0]):  # noqa: PTH112 # pathlib raises errors
                levels.append(self._listed(found[0]))
            else:
                yield found

    def _listed(self, folder: Path) -> Iterator[Found]:
        """Yield the wanted files and the folders to enter directly in a folder that was not entered before."""
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in self.entered:
                return
            self.entered.add((status.st_dev, status.st_ino))
            names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
        except OSError as error:
            yield folder, f"the folder cannot be read: {error.strerror or error}"
            return
        for path in map(folder.joinpath, names):
            try:
                if self._is_entered(path) if _is_folder(path) else self._is_wanted_file(path):
                    yield path, ""
            except (OSError, RuntimeError) as error:  # Python before 3.13 resolves a link to itself to a RuntimeError
                yield path, f"cannot be read: {getattr(error, 'strerror', None) or error}"

    def _is_wanted_file(self, path: Path) -> bool:
        return self.wanted(path) and os.path.isfile(path)  # noqa: PTH113 # as above

    def _is_entered(self, folder: Path) -> bool:
        target = folder.resolve()
        if target == self.excluded:
            return False
        found_anyway = folder.is_symlink() and target.is_relative_to(self.real_root)
        return not found_anyway or any(part.startswith(".") for part in target.relative_to(self.real_root).parts)


def _is_folder(path: Path) -> bool:
    """Return whether it is a folder or a link to one; raise OSError for a link to itself."""
    try:
        return S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return False


# -- patterns --------------------------------------------------------------------------------------------------


def _matches(pattern: str) -> Iterator[Found]:
    """Yield what a glob pattern matches; a folder that matches is searched."""
    parts = Path(pattern).parts
    depth = parts.index("**") if "**" in parts else len(parts)
    # glob would follow a link to a folder above it again and again, so `**` is matched against a walk
    starts = sorted(map(Path, glob.glob(str(Path(*parts[:depth]))) if depth else ["."]))  # noqa: PTH207
    for start in starts:
        if depth < len(parts):
            yield from _matches_below(start, parts[depth:])
        elif os.path.isdir(start):  # noqa: PTH112
            yield from walk_images(start)
        else:
            yield start, ""


def _matches_below(folder: Path, pattern: Sequence[str]) -> Iterator[Found]:
    for path, problem in walk(folder, lambda path: True) if os.path.isdir(folder) else ():  # noqa: PTH112
        parts = path.relative_to(folder).parts
        in_match = any(_fits(parts[:depth], pattern) for depth in range(len(parts)))
        if problem or _fits(parts, pattern) or (in_match and has_image_suffix(path)):
            yield path, problem


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern; ``**`` stands for any number of folders.

    >>> _fits(("a", "b", "c.png"), ("**", "*.png")), _fits(("a", "c.png"), ("*.png",))
    (True, False)
    """
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])

"""What `fusioncam explain` explains: the images or volumes that its arguments name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fusioncam.cli.output import print_note
from fusioncam.errors import ImageError, SettingError


def require(condition: bool, message: str) -> None:
    """Raise :class:`SettingError` with the message unless the condition holds."""
    if not condition:
        raise SettingError(message)


def require_local(paths: Iterable[str]) -> None:
    """Raise :class:`SettingError` for a URL; only bulk runs read and write URLs."""
    for path in paths:
        require("://" not in path, f"'{path}' is not a path on this machine: add --bulk, or --ray for a cluster")


def images_among(paths: list[str]) -> list[Path | ImageError]:
    """Return the images of all paths, without those that an earlier run lists as its results.

    A result that is named itself is kept. Raises :class:`SettingError` if nothing remains.
    """
    from fusioncam.data.image_files import find_images
    from fusioncam.explanations.result_files import WRITTEN_BY_RUNS, results_among

    skipped: list[Path] = []
    found = list(find_images(paths, skipped.append))
    others = {path for path in skipped if path.name not in WRITTEN_BY_RUNS}
    _note_left_out(others - results_among(others))
    images = {one for one in found if isinstance(one, Path)}
    results = results_among(images).difference(map(Path, paths))
    if results:
        count = f"{len(results)} of {len(images)} images"
        left_out = f"left out {count}, results that the explanations.json of an earlier run lists"
        require(len(results) < len(set(found)), f"nothing to explain: {left_out}: name the files to explain them")
        print_note(f"note: {left_out}")
    return [one for one in found if one not in results]


def _note_left_out(files: set[Path]) -> None:
    """Print how many clips and how many other files of folders are not explained."""
    from fusioncam.data.clips import has_clip_suffix

    clips = {path for path in files if has_clip_suffix(path)}
    if clips:
        count = f"{len(clips)} clips of folders" if len(clips) > 1 else "1 clip of a folder"
        print_note(f"note: left out {count}: name a clip to explain it, such as {min(clips)}")
    others = files - clips
    if others:
        kinds = ", ".join(sorted({path.suffix or path.name for path in others})[:5])
        count = "1 file that is not an image" if len(others) == 1 else f"{len(others)} files that are not images"
        print_note(f"note: left out {count} ({kinds})")


def volumes_among(paths: list[str]) -> list[Path | ImageError]:
    """Return the volumes of all paths, without those that an earlier run lists as its results."""
    from fusioncam.data.volume_files import find_volumes
    from fusioncam.explanations.result_files import results_among

    found = list(find_volumes(paths))
    results = results_among(one for one in found if isinstance(one, Path)).difference(map(Path, paths))
    if results:
        listed = "results that the explanations.json of an earlier run lists"
        require(len(results) < len(found), f"nothing to explain: all are {listed}: name the files to explain them")
        print_note(f"note: left out {len(results)} of {len(found)} volumes, {listed}")
    return [one for one in found if one not in results]


def demo_images() -> list[Path | ImageError]:
    """Return three images that scikit-image includes."""
    from fusioncam.utils.optional import extra

    data = extra("demo", "skimage.data", "the demo's images")
    folder = Path(data.__file__).parent
    return [folder / name for name in ("chelsea.png", "coffee.png", "rocket.jpg")]

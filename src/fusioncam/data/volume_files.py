"""Open volumes: NIfTI files, DICOM series, stacks of TIFF, arrays and MONAI's tensors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fusioncam.data.channels import is_array_file, read_array
from fusioncam.data.dicom import is_dicom_file, read_series
from fusioncam.data.image_files import find, walk
from fusioncam.data.images import ImageLike, open_file
from fusioncam.data.volumes import SCREEN, Volume, nibabel
from fusioncam.errors import FusionCamWarning, ImageError
from fusioncam.utils.optional import extra

MAX_VOXELS = 500_000_000  # a CT of 512 x 512 x 1,000 has 262 million
NIFTI = (".nii", ".nii.gz")
_STACKS = (".tif", ".tiff")


def is_volume_file(path: str | Path) -> bool:
    """Return whether a path is, by its name, a volume that is no image: a NIfTI file."""
    return str(path).lower().endswith(NIFTI)


def open_volume(source: ImageLike, channels: int, frame: int | None = None) -> Volume:
    """Return the volume of a file, of a folder with a DICOM series, or of an array.

    An array is ``(X, Y, Z)`` or ``(X, Y, Z, C)`` in the order of a file, a tensor ``(C, X, Y, Z)``; MONAI's tensors
    know where their voxels are. Of a file with several volumes, such as time steps, the network takes as many as it
    has ``channels``; one with a single channel takes the ``frame``, counted from 1.

    Raises :class:`ImageError`.
    """
    if isinstance(source, str | os.PathLike):
        values, affine = _read(Path(source), grey=channels == 1)
    else:
        values, affine = _of_array(source)
    name = str(source) if isinstance(source, str | os.PathLike) else "the array"
    values = values.reshape(*values.shape[:3], -1) if values.ndim > 4 else values
    if values.ndim not in (3, 4) or not values.size:
        raise ImageError(f"{name}: a volume has three sides (X, Y, Z), got {values.shape}")
    values = _chosen(values[..., None] if values.ndim == 3 else values, channels, frame, name)
    return Volume(_finite(values, name), np.asarray(affine, np.float64))


def _chosen(values: NDArray[Any], channels: int, frame: int | None, name: str) -> NDArray[Any]:
    """Return the channels of the network among those of a file."""
    count = values.shape[3]
    if frame is not None and not 1 <= frame <= count:
        raise ImageError(f"{name}: it has no frame {frame}: choose 1 to {count}")
    if frame is None and channels == 1 and count > 1:
        message = f"{name}: frame 1 of {count} is used: choose another one by frame= (--frame)"
        warnings.warn(message, FusionCamWarning, stacklevel=4)
    if channels == 1 and count > 1:
        return values[..., (frame or 1) - 1 : (frame or 1)]
    return values


def _finite(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Return float32 values; where a scanner has none (NaN), the lowest value stands."""
    if values.dtype.kind not in "biuf":
        raise ImageError(f"{name}: its values must be numbers, got {values.dtype}: choose one channel")
    converted = np.asarray(values, np.float32)
    finite = np.isfinite(converted)
    if finite.all():
        return converted
    if not finite.any():
        raise ImageError(f"{name}: none of its values is a finite number")
    return np.where(finite, converted, converted[finite].min())


# -- files -----------------------------------------------------------------------------------------------------------


def _read(path: Path, *, grey: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    if path.is_dir():
        return read_series(path, MAX_VOXELS, grey=grey)
    with open_file(path):  # raises the usual errors for files that are missing or cannot be read
        pass
    if is_volume_file(path):
        return _read_nifti(path)
    if path.suffix.lower() in _STACKS:
        return _read_stack(path)
    if is_array_file(path):
        return read_array(path, MAX_VOXELS // 3), SCREEN
    if is_dicom_file(path):
        return read_series(path, MAX_VOXELS, grey=grey)
    raise ImageError(
        f"{path}: not a volume: name a {', '.join(NIFTI)}, TIFF or .npy file, or a folder with a DICOM series"
    )


def _read_nifti(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    package = nibabel()
    try:
        image = package.load(path)
        shape = image.shape
        require_voxels(shape, path)
        if not abs(np.linalg.det(image.affine[:3, :3])) > 0:
            raise ImageError(f"{path}: its affine states no positions of voxels: set another one, as by nibabel")
        return np.asarray(image.dataobj, np.float32), image.affine
    except ImageError:
        raise
    except Exception as error:  # damaged files raise many kinds of errors
        raise ImageError(f"{path}: damaged, or not a NIfTI file: {error}") from None


def _read_stack(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the pages of a TIFF ``(X, Y, pages)`` or ``(X, Y, pages, C)``; ImageJ states their distance."""
    tifffile = extra("volumes", "tifffile", "volumes in TIFF files")
    try:
        with tifffile.TiffFile(path) as file:
            series, facts = file.series[0], file.imagej_metadata or {}
            require_voxels(series.shape, path)
            pages = np.asarray(series.asarray())
            spacing = float(facts.get("spacing") or 1) if facts.get("unit") else 1.0
            side = _side_of_pixel(file.pages[0]) if facts.get("unit") else 1.0
    except ImageError:
        raise
    except Exception as error:  # as above
        raise ImageError(f"{path}: damaged, or of a kind that tifffile does not open: {error}") from None
    pages = pages[None] if pages.ndim == 2 else pages
    return pages.swapaxes(0, 2), SCREEN * np.array([side, side, spacing, 1])


def _side_of_pixel(page: Any) -> float:
    number, unit = page.tags["XResolution"].value if "XResolution" in page.tags else (1, 1)
    return unit / number if number and unit else 1.0


def require_voxels(shape: Iterable[int], path: Path) -> None:
    """Raise :class:`ImageError` for a volume that would not fit into memory."""
    voxels = int(np.prod([int(side) for side in shape], dtype=object))
    if voxels > MAX_VOXELS:
        raise ImageError(f"{path}: it has {voxels:,} values, more than {MAX_VOXELS:,}: resample it first")


def _of_array(source: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    if not isinstance(source, np.ndarray | Tensor):
        raise ImageError(f"expected a path, an array or a tensor of a volume, got {type(source).__name__}")
    if isinstance(source, np.ndarray):
        return source, SCREEN
    affine = getattr(source, "affine", None)  # of MONAI's tensors
    values = source.detach().cpu().as_subclass(Tensor).numpy()
    known = SCREEN if affine is None else np.asarray(affine, np.float64)
    return (np.moveaxis(values, 0, -1) if values.ndim == 4 else values), known


# -- finding ---------------------------------------------------------------------------------------------------------


def find_volumes(paths: Iterable[str | Path]) -> Iterator[Path | ImageError]:
    """Yield the volumes of files, folders (searched recursively) and glob patterns, sorted within each argument.

    A folder whose files are DICOM is one volume. An argument without volumes yields an :class:`ImageError` at its
    position.
    """
    for argument in map(str, paths):
        if not os.path.isdir(argument):  # noqa: PTH112 # pathlib raises an error for names that are too long
            found: Iterable[Path | ImageError] = (
                ImageError(f"{path}: {problem}") if problem else path for path, problem in find(argument)
            )
        else:
            found = _in_folder(Path(argument))
        yield from found


def _in_folder(folder: Path) -> Iterator[Path | ImageError]:
    series: set[Path] = set()
    nothing = True
    for path, problem in walk(folder, _may_be_volume):
        if problem:
            yield ImageError(f"{path}: {problem}")
        elif is_volume_file(path) or path.suffix.lower() in _STACKS:
            yield path
        elif path.parent not in series:
            series.add(path.parent)
            yield path.parent
        nothing = False
    if nothing:
        yield ImageError(f"{folder}: the folder has no volume ({', '.join((*NIFTI, *_STACKS))}, or DICOM files)")


def _may_be_volume(path: Path) -> bool:
    return is_volume_file(path) or path.suffix.lower() in _STACKS or is_dicom_file(path)

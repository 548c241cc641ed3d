"""Read DICOM: the slices of a series, or the frames of a file, as one volume in the order of their positions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusioncam.data.dicom_image import is_dicom
from fusioncam.data.dicom_pixels import frame_values, frames_of, read_dataset
from fusioncam.data.volumes import SCREEN
from fusioncam.errors import FusionCamWarning, ImageError

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM counts to the left and posterior
_UNEVEN = 0.02  # of the distance of slices


def is_dicom_file(path: str | Path) -> bool:
    """Return whether a path is a file that begins as DICOM does."""
    try:
        with Path(path).open("rb") as file:
            return is_dicom(file)
    except OSError:
        return False


def read_series(path: Path, limit: int, *, grey: bool) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the values ``(columns, rows, slices)`` of a folder's series, or of one file, and their affine in RAS.

    The slices are those of several files, or the frames of one. They are sorted by position along their normal, and
    values are rescaled, for example to Hounsfield units. Colours are ``(columns, rows, slices, 3)`` in RGB, or
    their luminance if ``grey``.

    Raises :class:`ImageError` for several series, slices of several sizes or directions, compressed pixels without an
    installed decoder, and damaged files.
    """
    files = sorted(one for one in path.iterdir() if is_dicom_file(one)) if path.is_dir() else [path]
    if not files:
        raise ImageError(f"{path}: a folder without DICOM files")
    try:
        frames = [frames_of(read_dataset(one, pixels=False)) for one in files]
        slices = [frame for of_file in frames for frame in of_file]
        _require_one_series(slices, path, limit)
        values = [
            array
            for file, of_file in zip(files, frames, strict=True)
            for array in frame_values(read_dataset(file), of_file, grey=grey)
        ]
        order = np.argsort([_position(one) for one in slices], kind="stable")
        return np.stack([values[index] for index in order], 2), _affine([slices[index] for index in order], path)
    except ImageError as error:
        raise error if str(error).startswith(str(path)) else ImageError(f"{path}: {error}") from None
    except Exception as error:  # pydicom and its decoders raise many kinds of errors
        raise ImageError(f"{path}: damaged, or DICOM that pydicom cannot decode: {error}") from None


def _require_one_series(slices: Sequence[Any], path: Path, limit: int) -> None:
    series = {one.get("SeriesInstanceUID"): one.get("SeriesDescription", "") for one in slices}
    if len(series) > 1:
        names = ", ".join(f"'{name}'" for name in list(series.values())[:5])
        raise ImageError(f"{path}: it has {len(series)} series ({names}): put each series into a folder of its own")
    kinds = {(one.Rows, one.Columns, int(one.get("SamplesPerPixel", 1)), _direction(one)) for one in slices}
    if len(kinds) > 1:
        raise ImageError(f"{path}: its slices differ in size or direction: put those of one kind into a folder")
    rows, columns, samples, _ = next(iter(kinds))
    if rows * columns * samples * len(slices) > limit:
        count = f"{rows * columns * samples * len(slices):,}"
        raise ImageError(f"{path}: it has {count} values, more than {limit:,}: resample it first")


def _direction(dataset: Any) -> tuple[float, ...]:
    """Return the directions of a row and a column, rounded, since scanners round them."""
    known = dataset.get("ImageOrientationPatient") or (1, 0, 0, 0, 1, 0)
    return tuple(round(float(number), 3) for number in known)


def _normal(dataset: Any) -> NDArray[np.float64]:
    known = np.asarray(dataset.get("ImageOrientationPatient") or (1, 0, 0, 0, 1, 0), np.float64)
    return np.cross(known[:3], known[3:])


def _corner(dataset: Any) -> NDArray[np.float64] | None:
    known = dataset.get("ImagePositionPatient")
    return None if known is None else np.asarray(known, np.float64)


def _position(dataset: Any) -> float:
    """Return the position of a slice along the normal, or its number where no position is stated."""
    corner = _corner(dataset)
    return float(dataset.get("InstanceNumber") or 0) if corner is None else float(corner @ _normal(dataset))


def _affine(slices: Sequence[Any], path: Path) -> NDArray[np.float64]:
    """Return the affine from indices (column, row, slice) to RAS."""
    first, corner, last = slices[0], _corner(slices[0]), _corner(slices[-1])
    if corner is None or last is None:
        warnings.warn(
            f"{path}: it does not state where its slices are: they are taken in the order of their numbers",
            FusionCamWarning,
            stacklevel=2,
        )
        return SCREEN
    directions = np.asarray(first.get("ImageOrientationPatient"), np.float64)
    rows_apart, columns_apart = (float(number) for number in first.get("PixelSpacing") or (1, 1))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = directions[:3] * columns_apart, directions[3:] * rows_apart
    affine[:3, 2], affine[:3, 3] = _step(slices, corner, last), corner
    _warn_if_uneven([_position(one) for one in slices], path)
    return _TO_RAS @ affine


def _step(slices: Sequence[Any], first: NDArray[np.float64], last: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the step from slice to slice; of a single one its thickness along the normal."""
    if len(slices) > 1:
        return (last - first) / (len(slices) - 1)
    return _normal(slices[0]) * float(slices[0].get("SliceThickness") or 1)


def _warn_if_uneven(positions: Sequence[float], path: Path) -> None:
    steps = np.diff(positions)
    if len(steps) and np.ptp(steps) > _UNEVEN * abs(steps.mean()):
        message = (
            f"{path}: its slices are {steps.min():.3g} to {steps.max():.3g} mm apart, so that some may be missing or "
            "doubled: the heatmap has the mean distance"
        )
        warnings.warn(message, FusionCamWarning, stacklevel=2)

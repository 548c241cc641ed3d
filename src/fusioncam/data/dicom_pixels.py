"""The values of DICOM files: decoded, in their units, and the facts about each frame of a file."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fusioncam.errors import ImageError
from fusioncam.utils.optional import extra

# what enhanced DICOM states about single frames, each in a sequence of one item
_OF_FRAMES = (
    *("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"),
    *("PixelValueTransformationSequence", "FrameVOILUTSequence"),
)
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of ITU-R BT.601, as in PIL


def read_dataset(source: Path | IO[bytes], *, pixels: bool = True) -> Any:
    """Return pydicom's dataset of a file."""
    package = extra("volumes", "pydicom", "DICOM files")
    return package.dcmread(source, stop_before_pixels=not pixels)


def frames_of(dataset: Any) -> list[Any]:
    """Return a dataset for each frame of a file, which states position, directions, spacing and units as slices do.

    Those of enhanced DICOM are in functional groups, shared by all frames or of each.
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or [{}] * count
    if len(groups) != count:
        raise ImageError(f"it states {count} frames, and the positions of {len(groups)}")
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or [{}]))
    if count == 1 and not (shared or groups[0]):
        return [dataset]
    return [_flat(dataset, number, (shared, group)) for number, group in enumerate(groups, 1)]


def _flat(dataset: Any, number: int, groups: tuple[Any, ...]) -> Any:
    """Return a dataset without pixels that states at its top what the functional groups of a frame state."""
    flat = extra("volumes", "pydicom", "DICOM files").Dataset()
    flat.update({element.tag: element for element in dataset if element.VR != "SQ"})
    for group in groups:
        for name in _OF_FRAMES:
            for item in list(group.get(name) or [])[:1]:
                flat.update({element.tag: element for element in item})
    flat.InstanceNumber = number
    return flat


def frame_values(dataset: Any, frames: list[Any], *, grey: bool) -> list[NDArray[np.float32]]:
    """Return the values ``(columns, rows)`` of each frame in its units, or ``(columns, rows, 3)`` of colours.

    ``grey`` turns colours into their luminance. MONOCHROME1, where low values are bright, is inverted.
    Raises :class:`ImageError` for pixels that no installed decoder reads.
    """
    tools = extra("volumes", "pydicom.pixels", "DICOM files")
    require_decoder(dataset, tools)
    stored = tools.pixel_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = tools.apply_color_lut(stored, dataset)
    is_colour = stored.shape[-1:] == (3,) and stored.ndim > 2
    stored = stored.reshape(len(frames), *stored.shape[-3 if is_colour else -2 :])
    if is_colour:
        whole = np.asarray(stored, np.float32).swapaxes(1, 2)
        return list(whole @ _LUMINANCE if grey else whole)
    return [_in_units(values, frame, dataset) for values, frame in zip(stored, frames, strict=True)]


def _in_units(stored: NDArray[Any], frame: Any, dataset: Any) -> NDArray[np.float32]:
    slope, intercept = float(frame.get("RescaleSlope", 1)), float(frame.get("RescaleIntercept", 0))
    values = np.asarray(stored, np.float32).T
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = (-1 if dataset.get("PixelRepresentation") else 2 ** int(dataset.BitsStored) - 1) - values
    scaled: NDArray[np.float32] = values * np.float32(slope) + np.float32(intercept)
    return scaled


def require_decoder(dataset: Any, tools: Any) -> None:
    """Raise :class:`ImageError` if the pixels are compressed in a way that no installed package reads."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return
    try:
        available = tools.get_decoder(syntax).is_available
    except NotImplementedError:  # of videos, for example
        raise ImageError(f"it is compressed as {syntax.name}, which pydicom does not read: convert it") from None
    if not available:
        raise ImageError(
            f"it is compressed as {syntax.name}, and no decoder for it is installed: "
            "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
        )

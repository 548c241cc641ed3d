"""Open a DICOM file, such as an X-ray, as an image: its colours, or its grey values in the window that it states."""

from __future__ import annotations

import warnings
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from fusioncam.data.dicom_pixels import frames_of, read_dataset, require_decoder
from fusioncam.errors import FusionCamWarning, ImageError
from fusioncam.utils.optional import extra

SUFFIX = ".dcm"


def is_dicom(file: IO[bytes]) -> bool:
    """Return whether a file begins as DICOM does."""
    file.seek(0)
    return file.read(132)[128:] == b"DICM"


class DicomImage(ImageFile):
    """A DICOM file, grey (mode ``L``) or in colours (``RGB``), whose pixels are decoded when they are needed.

    Greys are those of the window that the file states, or else from its lowest value to its highest one, with a
    :class:`FusionCamWarning`. MONOCHROME1, where low values are bright, is inverted.
    """

    format = "DICOM"

    def _open(self) -> None:
        file: Any = self.fp
        file.seek(0)
        self._file = file
        self._dataset = read_dataset(file, pixels=False)
        if "Rows" not in self._dataset or "Columns" not in self._dataset:
            raise ImageError("DICOM without an image")
        self._frames = frames_of(self._dataset)
        self._frame, self._decoded = 0, -1
        self._size = int(self._dataset.Columns), int(self._dataset.Rows)
        self._mode = "L" if self._dataset.PhotometricInterpretation.startswith("MONOCHROME") else "RGB"
        self.n_frames, self.is_animated = len(self._frames), len(self._frames) > 1

    def seek(self, frame: int) -> None:
        """Move to a frame, counted from 0; raise EOFError if there is none, as PIL does."""
        if not 0 <= frame < self.n_frames:
            raise EOFError(f"no frame {frame}")
        self._frame = frame

    def tell(self) -> int:
        """Return the number of the current frame, counted from 0."""
        return self._frame

    def load(self) -> Any:
        """Decode the current frame; raise :class:`ImageError` if no installed decoder reads it."""
        if self._decoded != self._frame:
            self.im = Image.fromarray(self._pixels()).im
            self._decoded = self._frame
        return Image.Image.load(self)

    def _pixels(self) -> NDArray[np.uint8]:
        """Return the current frame, ``(H, W)`` or ``(H, W, 3)``."""
        tools = extra("volumes", "pydicom.pixels", "DICOM files")
        require_decoder(self._dataset, tools)
        self._file.seek(0)
        stored = tools.pixel_array(self._file, index=self._frame)
        if self.mode == "L":
            return self._grey(stored, tools)
        if self._dataset.PhotometricInterpretation == "PALETTE COLOR":
            stored = tools.apply_color_lut(stored, self._dataset)
        bits = 8 * stored.dtype.itemsize if stored.dtype != np.uint8 else 8
        return np.asarray(stored >> (bits - 8), np.uint8)

    def _grey(self, stored: NDArray[Any], tools: Any) -> NDArray[np.uint8]:
        facts = self._frames[self._frame]
        values = tools.apply_rescale(stored, facts)
        if "WindowWidth" in facts or "VOILUTSequence" in facts:
            values, (low, high) = tools.apply_voi_lut(values, facts), _limits(facts, tools)
        else:
            low, high = values.min(), values.max()
            self._warn_of_no_window(low, high)
        shares = ((values - low) / max(high - low, np.finfo(np.float32).tiny)).clip(0, 1)
        if self._dataset.PhotometricInterpretation == "MONOCHROME1":
            shares = 1 - shares
        return np.asarray((255 * shares).round(), np.uint8)

    def _warn_of_no_window(self, low: float, high: float) -> None:
        name = getattr(self._file, "name", "the image")
        message = f"{name}: it states no window: its values from {low:g} to {high:g} become black to white"
        warnings.warn(message, FusionCamWarning, stacklevel=2)


def _limits(facts: Any, tools: Any) -> tuple[float, float]:
    """Return the lowest and the highest value that the window, or its table, of a file gives."""
    if facts.get("VOILUTSequence"):
        return 0, 2 ** int(facts.VOILUTSequence[0].LUTDescriptor[2]) - 1
    low, high = tools.apply_windowing(np.array([-1e9, 1e9]), facts)
    return float(low), float(high)

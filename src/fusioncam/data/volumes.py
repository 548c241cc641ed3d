"""Volumes of medicine and microscopy: their values, and where their voxels are in the patient or the sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fusioncam.utils.optional import extra

S = TypeVar("S", bound=np.generic)

# from indices to millimetres where nothing is known: columns to the right, rows down, slices up, as on a screen
SCREEN = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxels of a volume: their numbers ``shape`` (X, Y, Z), and where they are.

    ``affine`` ``(4, 4)`` leads from indices to millimetres to the right, anterior and superior (RAS), as in NIfTI.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> NDArray[np.float64]:
        """The sides of a voxel in millimetres, along the axes of the file."""
        sides: NDArray[np.float64] = np.linalg.norm(self.affine[:3, :3], axis=0)
        return sides

    @property
    def orientation(self) -> str:
        """The directions in which the three indices grow, such as "RAS" or "LPS"."""
        return "".join(nibabel().orientations.aff2axcodes(self.affine))


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume with ``values`` ``(X, Y, Z, C)`` in float32, in the order and the units of its file."""

    values: NDArray[np.float32]
    affine: NDArray[np.float64]

    @property
    def grid(self) -> Grid:
        """The voxels."""
        return Grid(self.values.shape[:3], self.affine)


def reoriented(values: NDArray[S], grid: Grid, orientation: str) -> NDArray[S]:
    """Return values ``(X, Y, Z, ...)`` with their axes reversed and exchanged so that they point to ``orientation``.

    >>> reoriented(np.arange(3).reshape(3, 1, 1), Grid((3, 1, 1), np.eye(4)), "SPL").ravel().tolist()
    [2, 1, 0]
    """
    tools = nibabel().orientations
    steps = tools.ornt_transform(tools.io_orientation(grid.affine), tools.axcodes2ornt(orientation))
    oriented: NDArray[S] = tools.apply_orientation(values, steps)
    return oriented


def restored(values: NDArray[S], grid: Grid, orientation: str) -> NDArray[S]:
    """Return values of an ``orientation`` in the order of the file: the inverse of :func:`reoriented`."""
    tools = nibabel().orientations
    steps = tools.ornt_transform(tools.axcodes2ornt(orientation), tools.io_orientation(grid.affine))
    ordered: NDArray[S] = tools.apply_orientation(values, steps)
    return ordered


def nibabel() -> Any:
    """Return the package that reads NIfTI files and knows orientations."""
    return extra("volumes", "nibabel", "volumes")

"""Small volumes with a bright spot, as files, and a network that recognises it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fusioncam import ExplainedModel, VolumePreprocessing

SPOT = (9, 3, 5)  # the voxel in the middle of the spot
SHAPE = (12, 10, 8)
# 2 x 3 x 4 mm, the first axis to the left, the second anterior
AFFINE = np.array([[-2.0, 0, 0, 10], [0, 3, 0, -20], [0, 0, 4, 5], [0, 0, 0, 1]])


class Spot(nn.Module):
    """Class 1 is what is bright: its score is the mean of the first channel, a copy of the input."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, 2, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[0, 0, 1, 1, 1], self.conv.weight[1, 0, 1, 1, 1] = 1, -1
            self.conv.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores ``(N, 2)``."""
        return 20 * self.conv(x).relu().mean((2, 3, 4)).flip(1)


def model(**settings: object) -> ExplainedModel:
    """Return a model of volumes, which ``--model scans:model`` names."""
    preprocessing = VolumePreprocessing(**({"scale": (0, 1000)} | settings))
    return ExplainedModel(Spot(), "conv", preprocessing=preprocessing, labels=("healthy", "lesion"))


def bare() -> nn.Module:
    """Return the network alone."""
    return Spot()


def scan() -> np.ndarray:
    """Return a volume ``(X, Y, Z)`` that fades to all sides of the spot, brightest towards high indices."""
    away = np.indices(SHAPE) - np.reshape(SPOT, (3, 1, 1, 1))
    return (900 * np.exp(-((away / 2) ** 2).sum(0)) + np.indices(SHAPE)[0]).astype(np.int16)


def write_nifti(path, values=None, affine=AFFINE):
    """Write a volume as NIfTI and return the path."""
    import nibabel

    nibabel.save(nibabel.Nifti1Image(scan() if values is None else values, affine), path)
    return path


def write_series(folder, *, description="CT", numbers=range(SHAPE[2]), lps=None, values=None, **changes):
    """Write the slices of a volume as a DICOM series whose file names are not in order; return the folder."""
    import pydicom
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(exist_ok=True)
    lps = np.diag([-1, -1, 1, 1]) @ AFFINE if lps is None else lps
    values, series = scan() if values is None else values, generate_uid()
    for number in numbers:
        meta = pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid()
        one = pydicom.dataset.FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        one.SeriesInstanceUID, one.SeriesDescription, one.InstanceNumber = series, description, number + 1
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        one.Columns, one.Rows, one.SamplesPerPixel, one.PhotometricInterpretation = *SHAPE[:2], 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
        one.RescaleSlope, one.RescaleIntercept = 2, -1000
        sides = np.linalg.norm(lps[:3], axis=0)
        one.PixelSpacing, one.SliceThickness = [sides[1], sides[0]], sides[2]
        one.ImageOrientationPatient = [*(lps[:3, 0] / sides[0]), *(lps[:3, 1] / sides[1])]
        one.ImagePositionPatient = list((lps @ [0, 0, number, 1])[:3])
        one.PixelData = ((values[:, :, number].T.astype(int) + 1000) // 2).astype(np.uint16).tobytes()
        for name, value in changes.items():
            setattr(one, name, value)
        one.save_as(folder / f"IM{number * 5 % 8}{description}", enforce_file_format=True)
    return folder


def world(index, affine):
    """Return the position of a voxel in millimetres."""
    return affine[:3, :3] @ np.asarray(index) + affine[:3, 3]


def write_dicom(path, values, syntax=None, **changes):
    """Write values ``(X, Y, Z)`` or ``(X, Y, Z, 3)`` as the frames of one DICOM file; return the path."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7.4", generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = pydicom.dataset.FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    one.Columns, one.Rows, one.NumberOfFrames = values.shape[:3]
    bits = values.dtype.itemsize * 8
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = bits, bits, bits - 1, 0
    one.SamplesPerPixel = 3 if values.ndim > 3 else 1
    one.PhotometricInterpretation = "RGB" if values.ndim > 3 else "MONOCHROME2"
    if values.ndim > 3:
        one.PlanarConfiguration = 0
    one.PixelData = np.ascontiguousarray(values.swapaxes(0, 2)).tobytes()
    for name, value in changes.items():
        setattr(one, name, value)
    if syntax == RLELossless:
        one.compress(RLELossless)
    one.file_meta.TransferSyntaxUID = syntax or ExplicitVRLittleEndian
    one.save_as(path, enforce_file_format=True)
    return path

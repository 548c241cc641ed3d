"""Volumes of NIfTI, DICOM, TIFF and arrays: their values, where their voxels are, and what a network receives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fusioncam import FusionCamWarning, VolumePreprocessing
from fusioncam.data import volume_files
from fusioncam.data.volume_files import find_volumes, open_volume
from fusioncam.data.volume_slices import Slices, montage, parts_of_montage
from fusioncam.data.volumes import Grid, Volume
from fusioncam.errors import ImageError, SettingError
from scans import AFFINE, SHAPE, SPOT, scan, world, write_nifti, write_series

for needed in ("nibabel", "pydicom", "tifffile"):
    pytest.importorskip(needed, reason='volumes need pip install "fusioncam[volumes]"')
import nibabel  # noqa: E402 # it may be missing
import tifffile  # noqa: E402

# two axes of it point to the same direction
FLAT = np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])

# -- files -----------------------------------------------------------------------------------------------------------


def test_nifti_keeps_values_and_affine(tmp_path):
    """Also when it is not compressed."""
    for name in ("scan.nii.gz", "scan.nii"):
        volume = open_volume(write_nifti(tmp_path / name), 1)
        np.testing.assert_array_equal(volume.values[..., 0], scan())
        np.testing.assert_array_equal(volume.affine, AFFINE)


def test_a_series_is_sorted_by_position(tmp_path):
    """Each voxel of the series is where it is in the NIfTI file, with its value in Hounsfield units."""
    volume = open_volume(write_series(tmp_path / "series"), 1)
    for index in np.ndindex(SHAPE):
        position = world(index, volume.affine)
        same = np.linalg.solve(AFFINE[:3, :3], position - AFFINE[:3, 3]).round().astype(int)
        assert abs(volume.values[index][0] - scan()[tuple(same)]) <= 1
    assert volume.affine[2, 2] == pytest.approx(-4)  # the normal of these slices points to the feet


def test_a_sagittal_series(tmp_path):
    """Slices along another axis of the patient have the affine of their directions."""
    lps = np.array([[0, 0, 4.0, 1], [2, 0, 0, 2], [0, -3, 0, 3], [0, 0, 0, 1]])
    volume = open_volume(write_series(tmp_path / "series", lps=lps), 1)
    assert "".join(nibabel.aff2axcodes(volume.affine)) == "PIR"
    brightest = np.unravel_index(volume.values.argmax(), SHAPE)
    np.testing.assert_allclose(world(brightest, volume.affine), np.diag([-1, -1, 1]) @ world(SPOT, lps), atol=1e-9)


def test_a_stack_of_tiff(tmp_path):
    """Pages are slices, and ImageJ states the size of a voxel."""
    pages = scan().transpose(2, 1, 0).astype(np.uint16)
    settings = {"imagej": True, "resolution": (0.5, 0.5), "metadata": {"spacing": 4, "unit": "um"}}
    tifffile.imwrite(tmp_path / "stack.tif", pages, **settings)
    volume = open_volume(tmp_path / "stack.tif", 1)
    np.testing.assert_array_equal(volume.values[..., 0], scan())
    np.testing.assert_allclose(volume.grid.spacing, (2, 2, 4))


def test_arrays_and_tensors(tmp_path):
    """An array has channels last, a tensor first; MONAI's knows its affine."""
    np.save(tmp_path / "scan.npy", scan())

    class MetaTensor(Tensor):
        affine = torch.from_numpy(AFFINE)

    tensor = torch.from_numpy(scan())[None].as_subclass(MetaTensor)
    for source in (tmp_path / "scan.npy", scan(), scan()[..., None], torch.from_numpy(scan()), tensor):
        np.testing.assert_array_equal(open_volume(source, 1).values[..., 0], scan())
    np.testing.assert_array_equal(open_volume(tensor, 1).affine, AFFINE)


def test_several_volumes_in_one_file(tmp_path):
    """A network of one channel takes one of them, one of two channels takes both."""
    path = write_nifti(tmp_path / "series.nii.gz", np.stack([scan(), scan() + 1], -1))
    with pytest.warns(FusionCamWarning, match="frame 1 of 2 is used"):
        first = open_volume(path, 1)
    np.testing.assert_array_equal(first.values + 1, open_volume(path, 1, frame=2).values)
    assert open_volume(path, 2).values.shape == (*SHAPE, 2)
    with pytest.raises(ImageError, match="it has no frame 3: choose 1 to 2"):
        open_volume(path, 1, frame=3)


def test_what_a_scanner_left_out(tmp_path):
    """NaN becomes the lowest value."""
    values = scan().astype(np.float32)
    values[0] = np.nan
    volume = open_volume(write_nifti(tmp_path / "scan.nii", values), 1)
    assert (volume.values[0] == values[1:].min()).all()


def test_a_position_that_is_not_stated(tmp_path):
    """Slices are taken in the order of their numbers."""
    with pytest.warns(FusionCamWarning, match="does not state where its slices are"):
        volume = open_volume(write_series(tmp_path / "series", ImagePositionPatient=None), 1)
    assert np.abs(volume.values[..., 0] - scan()).max() <= 1


def test_a_missing_slice_is_reported(tmp_path):
    """The distance of two slices is then twice that of the others."""
    with pytest.warns(FusionCamWarning, match="4 to 8 mm apart"):
        open_volume(write_series(tmp_path / "series", numbers=(0, 1, 2, 4, 5)), 1)


def two_series(folder):
    """Write two series into one folder."""
    write_series(folder, description="CT")
    return write_series(folder, description="MR")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "none.nii.gz", "no such file"),
        (lambda folder: folder, "a folder without DICOM files"),
        (lambda folder: two_series(folder / "a"), r"it has 2 series \('CT', 'MR'\)"),
        (lambda folder: write_series(folder / "a", NumberOfFrames=2), "damaged, or DICOM that pydicom cannot decode"),
        (lambda folder: write_series(folder / "a", PixelData=b"12"), "damaged, or DICOM that pydicom cannot decode"),
        (
            lambda folder: write_nifti(folder / "a.nii", scan()[0]),
            r"a volume has three sides \(X, Y, Z\), got \(10, 8",
        ),
        (
            lambda folder: write_nifti(folder / "a.nii", np.full(SHAPE, np.nan)),
            "none of its values is a finite number",
        ),
        (lambda folder: write_nifti(folder / "a.nii", affine=FLAT), "its affine states no positions"),
        (lambda folder: torn(write_nifti(folder / "a.nii.gz")), "damaged, or not a NIfTI file"),
        (lambda folder: torn(write_nifti(folder / "a.nii")), "damaged, or not a NIfTI file"),
        (lambda folder: torn(write_nifti(folder / "a.nii").rename(folder / "a.tif")), "damaged, or of a kind"),
        (lambda folder: write_nifti(folder / "a.nii").rename(folder / "a.xyz"), "not a volume: name a .nii"),
        (lambda folder: b"text", "expected a path, an array or a tensor of a volume, got bytes"),
    ],
)
def test_what_is_no_volume_is_reported(make, message, tmp_path):
    """The message says what was found and what to do."""
    with pytest.raises(ImageError, match=message):
        open_volume(make(tmp_path), 1)


def torn(path):
    """Cut a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def test_a_volume_that_is_too_large_is_not_decoded(tmp_path, monkeypatch):
    """The header of a small compressed file may claim any size."""
    monkeypatch.setattr(volume_files, "MAX_VOXELS", 900)
    for path in (write_nifti(tmp_path / "a.nii.gz"), write_series(tmp_path / "series")):
        with pytest.raises(ImageError, match="it has 960 values, more than 900"):
            open_volume(path, 1)


def test_volumes_are_found(tmp_path):
    """A folder with DICOM files is one volume; other files are left out."""
    write_nifti(tmp_path / "b.nii.gz")
    write_series(tmp_path / "c")
    (tmp_path / "c" / "notes.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    names = [path.relative_to(tmp_path).as_posix() for path in find_volumes([tmp_path / "c", tmp_path])]
    assert names == ["c", "b.nii.gz", "c"]
    assert "has no volume" in str(next(find_volumes([tmp_path / "empty"])))
    assert "no file matches" in str(next(find_volumes([tmp_path / "*.mha"])))


# -- preprocessing ---------------------------------------------------------------------------------------------------


def volume(values=None):
    """Return the scan as a volume."""
    return Volume((scan() if values is None else values).astype(np.float32)[..., None], AFFINE)


@pytest.mark.parametrize("axes", ["xyz", "zyx"])
@pytest.mark.parametrize("orientation", [None, "RAS", "SPL", "LIA"])
def test_the_spot_is_found_again_in_the_file(axes, orientation):
    """Whatever the axes of the input are, its brightest voxel lies at that of the file."""
    preprocessing = VolumePreprocessing(axes=axes, orientation=orientation, scale=(0, 1000))
    x = preprocessing(volume())
    back = preprocessing.on_grid(x[0].numpy(), volume().grid)
    np.testing.assert_allclose(back, scan().clip(0) / 1000, atol=1e-6)


def test_orientation_points_the_axes():
    """ "RAS" reverses the first axis of this file, "SAR" also exchanges the first and the last."""
    x = torch.from_numpy(scan().astype(np.float32)) / 1000
    settings = {"scale": (0, 1000)}
    torch.testing.assert_close(VolumePreprocessing(orientation="RAS", **settings)(volume())[0], x.flip(0))
    torch.testing.assert_close(
        VolumePreprocessing(orientation="SAR", **settings)(volume())[0], x.flip(0).transpose(0, 2)
    )


def test_sizes_are_those_that_are_asked_for():
    """By voxels, or by millimetres along the axes of the input."""
    assert VolumePreprocessing(size=(4, 5, 6))(volume()).shape == (1, 4, 5, 6)
    assert VolumePreprocessing(spacing=(2, 2, 2))(volume()).shape == (1, 12, 15, 16)
    assert VolumePreprocessing(spacing=(2, 3, 8), orientation="SAR")(volume()).shape == (1, 16, 10, 3)
    assert VolumePreprocessing(spacing=(4, 3, 2), axes="zyx")(volume()).shape == (1, 8, 10, 12)


def test_shrinking_averages():
    """No voxel is skipped."""
    values = np.zeros(SHAPE)
    values[3, 3, 3] = 8
    x = VolumePreprocessing(size=(6, 5, 4), scale=(0, 8))(volume(values))
    assert x.sum().item() == pytest.approx(1 / 8)


def test_scales():
    """A window, the percentiles or the deviations of a volume, and then mean and std."""
    values = np.arange(960.0).reshape(SHAPE)
    window = VolumePreprocessing(scale=(100, 200), mean=(0.5,), std=(0.25,))(volume(values))
    assert (window.min(), window.max()) == (-2, 2)
    assert window.flatten()[150].item() == 0
    percentiles = VolumePreprocessing()(volume(values)).flatten()
    low, high = np.percentile(values, (0.5, 99.5))
    assert percentiles[400].item() == pytest.approx((400 - low) / (high - low), abs=1e-6)
    deviations = VolumePreprocessing(scale="z-score")(volume(values))
    np.testing.assert_allclose(deviations[0], (values - values.mean()) / values.std(), atol=1e-5)
    assert VolumePreprocessing(scale="z-score")(volume(np.ones(SHAPE))).abs().max() == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (4, 4)}, "size must be three positive numbers"),
        ({"size": (4, 4, 4), "spacing": (1, 1, 1)}, "give one"),
        ({"spacing": (1, 1, 0)}, "spacing must be three positive numbers"),
        ({"axes": "yxz"}, "unknown axes 'yxz'"),
        ({"scale": "minmax"}, "unknown scale 'minmax'"),
        ({"scale": (1, 0)}, r"scale must be \(low, high\)"),
        ({"orientation": "RAL"}, "orientation must have a letter of LR, PA and IS each, got 'RAL'"),
        ({"mean": (0, 0)}, "one number per channel"),
    ],
)
def test_bad_settings_are_reported(settings, message):
    """When the preprocessing is created."""
    with pytest.raises(ValueError, match=message):
        VolumePreprocessing(**settings)


def test_images_and_other_channels_are_refused():
    """A network of volumes explains no images."""
    with pytest.raises(SettingError, match="takes volumes, not images"):
        VolumePreprocessing()("cat")
    with pytest.raises(ImageError, match="has 1 channels and the network's preprocessing 2"):
        VolumePreprocessing(mean=(0, 0), std=(1, 1))(volume())


# -- slices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spacing", "axis", "rows"), [((2, 3, 4), 2, 10), ((9, 3, 4), 0, 8), ((1, 9, 1), 1, 8)])
def test_slices_lie_across_the_longest_side_of_voxels(spacing, axis, rows):
    """They have true proportions."""
    slices = Slices.of(Grid(SHAPE, np.diag([*spacing, 1.0])))
    others = [n for n in range(3) if n != axis]
    width, height = (SHAPE[n] * spacing[n] for n in others)
    assert slices.axis == axis
    assert slices.size[0] / slices.size[1] == pytest.approx(width / height, rel=0.02)
    assert [one.shape[0] for one in slices.cut(scan(), Grid(SHAPE, np.diag([*spacing, 1.0])))] == [rows] * SHAPE[axis]


def test_slices_show_the_patient_from_the_feet():
    """Left of the patient is right, the front is up, and in sagittal slices the head is up."""
    values = np.zeros(SHAPE, np.float32)
    values[SPOT] = 1  # this axis to the left has a high index, that to the front a low one
    grid = Grid(SHAPE, AFFINE)
    axial = Slices.of(grid).cut(values, grid)
    assert np.argwhere(np.stack(axial) == 1).tolist() == [[SPOT[2], SHAPE[1] - 1 - SPOT[1], SPOT[0]]]
    sagittal = Slices(0, tuple(range(SHAPE[0])), (9, 9)).cut(values, grid)
    assert np.argwhere(np.stack(sagittal) == 1).tolist() == [
        [SPOT[0], SHAPE[2] - 1 - SPOT[2], SHAPE[1] - 1 - SPOT[1]]
    ]


def test_a_long_volume_shows_some_slices():
    """At even distances, up to 24."""
    assert Slices.of(Grid((4, 4, 48), np.eye(4))).indices == tuple(range(1, 48, 2))


def test_the_parts_of_a_montage():
    """They are the images that it was made of."""
    grid = Grid(SHAPE, AFFINE)
    images = Slices.of(grid).images(scan().astype(np.float32)[..., None], grid)
    whole = montage(images, [f"slice {n}" for n in range(len(images))])
    for image, part in zip(images, parts_of_montage(whole, len(images), images[0].size), strict=True):
        np.testing.assert_array_equal(image, part)

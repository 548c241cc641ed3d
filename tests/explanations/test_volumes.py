"""Explanations of volumes: heatmaps on the voxels of the file, and slices to look at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusioncam import FusionCamWarning, explain, explain_each
from fusioncam.errors import ImageError, SettingError, ShapeError
from scans import AFFINE, SHAPE, SPOT, Spot, model, scan, write_nifti

nibabel = pytest.importorskip("nibabel", reason='volumes need pip install "fusioncam[volumes]"')

SETTINGS = {"method": "grad-cam", "target": "lesion"}


@pytest.mark.parametrize("settings", [{}, {"orientation": "RAS"}, {"orientation": "IPR", "axes": "zyx"}])
def test_the_heatmap_is_where_the_lesion_is(settings, tmp_path):
    """Grad-CAM of this network is the volume itself; the file has its shape and affine."""
    explanation = explain(write_nifti(tmp_path / "scan.nii.gz"), model=model(**settings), **SETTINGS)
    overlay, heatmap, _ = explanation.save(tmp_path / "out")
    stored = nibabel.load(heatmap)
    assert heatmap.name == "scan.grad-cam.nii.gz"
    np.testing.assert_array_equal(stored.affine, AFFINE)
    expected = scan() - scan().min()
    np.testing.assert_allclose(stored.get_fdata(), expected / expected.max(), atol=1e-6)
    assert overlay.is_file()


def test_a_smaller_input_has_a_heatmap_of_the_whole_file(tmp_path):
    """It is resized back."""
    explanation = explain(write_nifti(tmp_path / "scan.nii.gz"), model=model(size=(6, 5, 4)), **SETTINGS)
    assert explanation.heatmap.shape == (6, 5, 4)
    whole = explanation.full_heatmap
    assert whole.shape == SHAPE
    assert explanation.mask().shape == SHAPE
    assert explanation.mask()[SPOT]
    assert np.abs(np.subtract(np.unravel_index(whole.numpy().argmax(), SHAPE), SPOT)).max() <= 1


def test_a_flipped_scan_has_a_flipped_heatmap(tmp_path):
    """Where the axes point is not a guess: a file with its first axis reversed shows the same patient."""
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = SHAPE[0] - 1
    paths = [write_nifti(tmp_path / "a.nii"), write_nifti(tmp_path / "b.nii", scan()[::-1], AFFINE @ mirror)]
    first, second = explain_each(paths, model=model(orientation="LPS"), methods=["grad-cam"], target="lesion")
    torch.testing.assert_close(first.heatmap, second.heatmap)
    np.testing.assert_allclose(first.full_heatmap, second.full_heatmap.flip(0))
    np.testing.assert_array_equal(first.image, second.image)


def test_inputs_and_batches():
    """A batch is used as it is, also MONAI's."""
    x = torch.from_numpy(scan()[None, None] / 1000).float().repeat(2, 1, 1, 1, 1)
    batches = list(explain_each([(x, ["a", "b"])], model=model(), methods=["grad-cam"], target=1))
    from_array = explain(scan(), model=model(), **SETTINGS)
    assert len(batches) == 2
    torch.testing.assert_close(batches[1].heatmap, from_array.heatmap)
    np.testing.assert_allclose(batches[1].full_heatmap, from_array.full_heatmap, atol=1e-6)
    torch.testing.assert_close(explain(x[:1], model=model(), **SETTINGS).heatmap, from_array.heatmap)
    with pytest.raises(ShapeError, match="have 2 channels, and the model's preprocessing has 1"):
        explain(torch.cat([x, x], 1)[:1], model=model(), **SETTINGS)


def test_a_network_alone_gets_a_warning():
    """It says what is assumed and what to pass."""
    with pytest.warns(FusionCamWarning, match=r"scaled to \[0, 1\] by percentiles; pass .*VolumePreprocessing\("):
        explanation = explain(scan(), model=Spot(), method="grad-cam", target=1)
    assert explanation.full_heatmap[SPOT] == 1


def test_a_network_of_images_refuses_a_volume(tmp_path):
    """It says what to pass."""
    with pytest.raises(ImageError, match="a volume, and the network takes images: pass a 3-D network"):
        explain(write_nifti(tmp_path / "scan.nii.gz"), method="grad-cam")


def test_what_is_for_images_only():
    """Boxes are refused; other options of overlays apply to the slices, and the poster shows them."""
    explanation = explain(scan(), model=model(), **SETTINGS)
    with pytest.raises(SettingError, match="boxes are those of images"):
        explanation.boxes()
    assert explanation.overlay(contour=0.5, colorbar=True, fade=False).width > explanation.image.width
    assert explanation.poster().size


def test_saving_again_replaces_the_files(tmp_path):
    """An ending of two parts is no foreign file."""
    explanation = explain(write_nifti(tmp_path / "scan.nii.gz"), model=model(), **SETTINGS)
    first, second = explanation.save(tmp_path / "out"), explanation.save(tmp_path / "out")
    assert first == second


def test_a_volume_can_be_checked():
    """The trust card's measurements take volumes."""
    assert explain(scan(), model=model(), **SETTINGS).check().level

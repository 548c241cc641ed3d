"""Metrics and image functions under the names of pytorch-grad-cam."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics import arcc as their_arcc
from pytorch_grad_cam.metrics import cam_mult_image as their_mult
from pytorch_grad_cam.utils import image as their_image

from conformance import problem_of
from fusioncam import METRICS, ExplainedModel
from fusioncam.compat.pytorch_grad_cam import GradCAM
from fusioncam.compat.pytorch_grad_cam.metrics import arcc, cam_mult_image, road
from fusioncam.compat.pytorch_grad_cam.metrics.perturbation_confidence import (
    PerturbationConfidenceMetric,
    RemoveMostRelevantFirst,
)
from fusioncam.compat.pytorch_grad_cam.utils import image
from fusioncam.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from fusioncam.errors import SettingError


@pytest.fixture(scope="module")
def case():
    """Images, random heatmaps, targets and a network."""
    problem = problem_of("curved")
    heatmaps = np.random.default_rng(0).random((2, 8, 8), dtype=np.float32)
    return problem.x, heatmaps, [ClassifierOutputTarget(int(c)) for c in problem.target], problem.network


@pytest.mark.parametrize("name", ["CamMultImageConfidenceChange", "DropInConfidence", "IncreaseInConfidence"])
def test_scores_of_multiplied_images_equal_the_original(case, name):
    """Scores are changes of the target, not of a probability."""
    np.testing.assert_allclose(
        getattr(cam_mult_image, name)()(*case), getattr(their_mult, name)()(*case).reshape(2), atol=1e-6
    )


def test_perturbed_images_are_returned(case):
    """With the scores, or the scores alone without a difference."""
    x, heatmaps, targets, network = case
    change, images = cam_mult_image.CamMultImageConfidenceChange()(*case, return_visualization=True)
    scores = PerturbationConfidenceMetric(lambda image, heatmap: image)(*case, return_diff=False)

    torch.testing.assert_close(images, x * torch.from_numpy(heatmaps)[:, None])
    np.testing.assert_allclose(scores, [network(x)[n, t.category].item() for n, t in enumerate(targets)], rtol=1e-5)
    assert change.shape == (2,)


def test_road_is_our_metric(case):
    """The mean over nine percentiles equals the protocol of the same name, also with equal pixels."""
    x, heatmaps, targets, network = case
    heatmaps = heatmaps.round(1)
    ours = METRICS["road:pgc"](ExplainedModel(network), x, [t.category for t in targets], torch.from_numpy(heatmaps))

    np.testing.assert_allclose(road.ROADCombined()(x, heatmaps, targets, network), ours.float().numpy(), atol=1e-5)


def test_road_keeps_the_stated_percentage(case):
    """Of a heatmap with many equal pixels too, unlike the original."""
    x, _, targets, network = case
    heatmaps = np.zeros((2, 8, 8), np.float32)
    heatmaps[:, 0, 0] = 1
    for metric, kept in ((road.ROADMostRelevantFirst(75), 48), (road.ROADLeastRelevantFirst(25), 16)):
        _, images = metric(x, heatmaps, targets, network, return_visualization=True)
        assert ((images == x).all(1).sum((1, 2)) == kept).all()
    with pytest.raises(SettingError, match="pass a number"):
        RemoveMostRelevantFirst("auto", None)


def test_coherency_and_complexity_equal_the_original(case):
    """And ARCC is their harmonic mean with ROAD."""
    x, heatmaps, targets, network = case
    cam = GradCAM(network, ["features"])
    coherency, complexity = arcc.Coherency()(*case, cam), arcc.Complexity()(heatmaps)
    relevance = np.clip(2 * road.ROADCombined((20, 40, 60, 80))(*case), 0, 1)

    np.testing.assert_allclose(coherency, their_arcc.Coherency()(x, heatmaps, targets, network, cam), atol=1e-5)
    np.testing.assert_allclose(complexity, their_arcc.Complexity()(heatmaps), rtol=1e-6)
    parts = [coherency, 1 - complexity, relevance]
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(arcc.ARCC(cam)(*case), 3 / (1 / np.stack(parts)).sum(0), rtol=1e-5)


# -- images ------------------------------------------------------------------------------------------------------


PHOTO = np.random.default_rng(1).random((6, 9, 3), dtype=np.float32)
HEATMAP = np.linspace(0, 1, 54, dtype=np.float32).reshape(6, 9)


@pytest.mark.parametrize("settings", [{}, {"use_rgb": True}, {"image_weight": 0.8, "colormap": 16}])
def test_overlays_look_like_the_original_s(settings):
    """Matplotlib's colours of the same name are within a few levels of OpenCV's."""
    difference = np.abs(
        image.show_cam_on_image(PHOTO, HEATMAP, **settings).astype(int)
        - their_image.show_cam_on_image(PHOTO, HEATMAP, **settings).astype(int)
    )

    assert difference.max() <= 8


def test_images_are_normalised_as_by_the_original():
    """Bytes and floats, forwards and backwards."""
    for pixels in ((PHOTO * 255).astype(np.uint8), PHOTO):
        torch.testing.assert_close(image.preprocess_image(pixels), their_image.preprocess_image(pixels))
    assert np.abs(image.deprocess_image(PHOTO).astype(int) - their_image.deprocess_image(PHOTO)).max() <= 1


def test_maps_are_scaled_as_by_the_original():
    """Up and down, also per channel."""
    maps = np.random.default_rng(2).random((2, 4, 5), dtype=np.float32)
    for size in (None, (10, 8)):
        np.testing.assert_allclose(
            image.scale_cam_image(maps, size), their_image.scale_cam_image(maps, size), atol=1e-5
        )
    assert image.scale_accross_batch_and_channels(maps[None], (10, 8)).shape == (1, 2, 8, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((PHOTO * 255, HEATMAP), "divide by 255"),
        ((PHOTO, HEATMAP, True, 2, 1.5), "between 0 and 1, got 1.5"),
        ((PHOTO, HEATMAP, True, "jett"), "did you mean 'jet'"),
        ((PHOTO, HEATMAP[:3]), r"size of the image \(6, 9, 3\), got \(3, 9\)"),
    ],
)
def test_overlays_refuse_what_they_cannot_show(arguments, message):
    """Images of bytes are a common mistake."""
    with pytest.raises(ValueError, match=message):
        image.show_cam_on_image(*arguments)

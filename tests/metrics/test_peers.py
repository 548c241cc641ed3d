"""The metrics compared with those of torch-cam, pytorch-grad-cam, Quantus, captum and RISE.

Where definitions match, values match; where they differ, the test states which one is right and why. All get the same
network, images and heatmaps.
"""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import replace
from functools import partial
from math import ceil
from unittest import mock

import numpy as np
import pytest
import torch
from captum.metrics import sensitivity_max
from pytorch_grad_cam.metrics import arcc, cam_mult_image
from pytorch_grad_cam.metrics import road as pgc
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.nn import functional as F
from torchcam.metrics import ClassificationMetric, DeletionInsertionMetric

from fusioncam import METHODS, ExplainedModel
from fusioncam.functional.imputation import impute_linearly
from fusioncam.functional.masks import gaussian_blur
from fusioncam.metrics.adcc import Coherency, Complexity
from fusioncam.metrics.curves import Deletion, Insertion
from fusioncam.metrics.faithfulness import AverageDrop
from fusioncam.metrics.registry import METRICS
from fusioncam.metrics.removal import ROAD, MoRF, scores_after_removal
from fusioncam.metrics.sanity import MaxSensitivity
from linear_case import heatmaps_for, linear_case
from toys import problem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of what it does not find
    import quantus


def case(images=3, toy_name="small", dtype=torch.float32):
    """Return a network, its model, images, targets and heatmaps without equal pixels."""
    toy, x, target = problem(toy_name, images=images)
    toy, x = toy.to(dtype), x.to(dtype)
    return toy, ExplainedModel(toy, "features"), x, target, heatmaps_for(x)


# -- torch-cam -----------------------------------------------------------------------------------------------------


class Canned:
    """An extractor of torch-cam that returns given heatmaps."""

    def __init__(self, model, maps):
        self.model, self.maps = model, maps

    def __call__(self, *_, **__):
        """Return the given heatmaps."""
        return [self.maps]

    def fuse_cams(self, cams):
        """Return the only cam."""
        return cams[0]

    def _hooks_off(self):
        return contextlib.nullcontext()


def torchcam(metric, toy, maps, x, target, **settings):
    """Return the results of a torch-cam metric for each image alone, as tensors ``(N,)`` by name."""
    found = []
    for n in range(len(x)):
        one = metric(Canned(toy, maps[n : n + 1]), **settings)
        one.update(x[n : n + 1], None if target is None else [int(target[n])])
        found.append(one.summary())
    return {key: torch.tensor([one[key] for one in found]) for key in found[0]}


SOFTMAX = {"logits_fn": partial(torch.softmax, dim=-1)}


@pytest.mark.parametrize("coarse", [False, True])
def test_torchcam_drop_and_increase(coarse):
    """Values are equal, also for coarse heatmaps, which both libraries resize linearly."""
    toy, model, x, target, maps = case(6)
    maps = maps[:, :4, :4].contiguous() if coarse else maps

    theirs = torchcam(ClassificationMetric, toy, maps, x, target, **SOFTMAX)

    ours = AverageDrop(epsilon=1e-7)(model, x, target, maps)
    torch.testing.assert_close(ours, theirs["avg_drop"].to(ours), atol=1e-6, rtol=0)
    assert METRICS["increase"](model, x, target, maps).equal(theirs["conf_increase"].float())


def test_torchcam_preset():
    """By default torch-cam uses the logit of the predicted class, and so does the named protocol."""
    toy, model, x, _, maps = case(6)
    top = model.scores(x, model.logits(x).argmax(1), "logit")

    theirs = torchcam(ClassificationMetric, toy, maps, x, None)

    ours = METRICS["average-drop:torchcam"](model, x, 0, maps)
    sure = top > 0
    assert sure.any()
    torch.testing.assert_close(ours[sure], theirs["avg_drop"][sure].to(ours), atol=1e-6, rtol=0)
    assert METRICS["increase:torchcam"](model, x, 0, maps).equal(theirs["conf_increase"].float())


def test_torchcam_drops_below_0():
    """For a negative logit theirs is a negative share. Ours is right to be NaN: a share needs a positive whole."""
    model, x = linear_case((-4.0, 2.0, 0.0, 0.0))
    maps = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])

    theirs = torchcam(ClassificationMetric, model.network, maps, x, [0])["avg_drop"]

    assert float(theirs) == pytest.approx(0.5 / -0.5)
    assert AverageDrop(readout="logit", epsilon=1e-7)(model, x, 0, maps).isnan().all()


@pytest.mark.parametrize("steps", [4, 16, 64])
def test_torchcam_insertion_and_deletion(steps):
    """The curves are equal for the same fill; both libraries order equal pixels row by row."""
    toy, model, x, target, maps = case()
    maps = (maps * 10).round() / 10

    theirs = torchcam(DeletionInsertionMetric, toy, maps, x, target, steps=steps, **SOFTMAX)

    ours = Insertion(fill="mean", steps=steps)(model, x, target, maps)
    torch.testing.assert_close(ours, theirs["insertion_auc"].to(ours), atol=1e-6, rtol=0)
    ours = Deletion(steps=steps)(model, x, target, maps)
    torch.testing.assert_close(ours, theirs["deletion_auc"].to(ours), atol=1e-6, rtol=0)


def test_torchcam_steps_that_do_not_divide():
    """They round the pixels per step up, so the last step is smaller; ``pixels`` reproduces that, ours is even."""
    toy, model, x, target, maps = case()

    theirs = torchcam(DeletionInsertionMetric, toy, maps, x, target, steps=20, **SOFTMAX)["deletion_auc"]

    torch.testing.assert_close(Deletion(pixels=4)(model, x, target, maps), theirs.float(), atol=1e-6, rtol=0)
    torch.testing.assert_close(Deletion(steps=20)(model, x, target, maps), theirs.float(), atol=0.02, rtol=0)


# -- pytorch-grad-cam ------------------------------------------------------------------------------------------------


def pgc_targets(target, kind=ClassifierOutputSoftmaxTarget):
    """Return the targets as pytorch-grad-cam needs them."""
    return [kind(int(c)) for c in target]


def test_pgc_drop_is_absolute():
    """Theirs is not divided by the score, the paper's is: divided by the score, theirs equals ours."""
    toy, model, x, target, maps = case(6)

    theirs = cam_mult_image.DropInConfidence()(x, maps.numpy(), pgc_targets(target), toy)
    more = cam_mult_image.IncreaseInConfidence()(x, maps.numpy(), pgc_targets(target), toy)

    whole = model.scores(x, target, "probability").numpy()
    np.testing.assert_allclose(AverageDrop()(model, x, target, maps), theirs / whole, atol=1e-6)
    np.testing.assert_array_equal(METRICS["increase"](model, x, target, maps), more)


class Quiet(pgc.NoisyLinearImputer):
    """Their imputation without its unseeded noise, and without the warnings of numpy."""

    def __init__(self):
        super().__init__(noise=0)

    def __call__(self, img, mask):
        """Return the imputed pixels."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return super().__call__(img, mask)


def test_pgc_imputation():
    """The imputed pixels are equal."""
    _, _, x, _, _ = case(1, "pyramid")
    for seed, share in enumerate((0.1, 0.5, 0.9)):
        known = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(seed)) > share

        theirs = Quiet()(x[0], known[0].float())

        torch.testing.assert_close(impute_linearly(x, known)[0], theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", [ClassifierOutputTarget, ClassifierOutputSoftmaxTarget])
def test_pgc_road(kind):
    """Values are equal for heatmaps without equal pixels, if as many pixels are removed as by their percentiles."""
    toy, model, x, target, maps = case(3, "pyramid")
    readout = "logit" if kind is ClassifierOutputTarget else "probability"

    with mock.patch.object(pgc, "NoisyLinearImputer", Quiet):
        theirs = pgc.ROADCombined(percentiles=[20, 40, 60, 80])(x, maps.numpy(), pgc_targets(target, kind), toy)

    # the percentile lies between two of 256 pixels, and pixels at or above it are removed
    shares = [ceil((1 - p) * 255) / 256 for p in (0.2, 0.4, 0.6, 0.8)]
    metric = replace(METRICS["road:pgc"], readout=readout, noise=0)
    most, least = (scores_after_removal(metric, model, x, target, one, shares) for one in (maps, -maps))
    np.testing.assert_allclose((least - most).mean(0) / 2, theirs, atol=1e-4)


def test_pgc_road_removes_everything_at_ties():
    """For a heatmap with three quarters of zeros theirs removes all pixels; ours removes the requested share.

    Ours is right: a share of the pixels is what the curves are drawn over.
    """
    toy, model, x, target, maps = case(1, "pyramid")
    maps[maps < torch.quantile(maps, 0.75)] = 0
    theirs, ours = [], []

    def imputer(pixels, mask):
        theirs.append(1 - float(mask.mean()))
        return pixels

    def fill(pixels, masks):
        ours.extend((1 - masks.float().mean((1, 2))).tolist())
        return pixels

    with mock.patch.object(pgc, "NoisyLinearImputer", return_value=imputer):
        for kind in (pgc.ROADMostRelevantFirst, pgc.ROADLeastRelevantFirst):
            for percentile in (10, 50, 70):
                kind(percentile)(x, maps.numpy(), pgc_targets(target), toy)
    with mock.patch("fusioncam.metrics.removal.Imputation", return_value=fill):
        ROAD(removed=(0.125, 0.5, 0.75))(model, x, target, maps)

    assert theirs == pytest.approx([1, 1, 1, 0.9, 0.75, 0.75], abs=0.01)
    assert sorted(ours) == [0.125, 0.125, 0.5, 0.5, 0.75, 0.75]


def test_pgc_complexity_and_coherency():
    """Values are equal; the second heatmap is our Grad-CAM's for both."""
    toy, model, x, target, _ = case(3, "curved")
    maps = METHODS["grad-cam"](model, x, target)

    def theirs_again(input_tensor, targets):
        return METHODS["grad-cam"](model, input_tensor, target).numpy()

    complexity = arcc.Complexity()(maps.numpy())
    coherency = arcc.Coherency()(x, maps.numpy(), pgc_targets(target), toy, theirs_again)

    np.testing.assert_allclose(Complexity()(model, x, target, maps), complexity, atol=1e-6)
    np.testing.assert_allclose(Coherency()(model, x, target, maps, method=METHODS["grad-cam"]), coherency, atol=1e-5)


# -- Quantus ---------------------------------------------------------------------------------------------------------


OPTIONS = {"return_aggregate": False, "disable_warnings": True, "display_progressbar": False}


def quantus_of(metric, toy, x, target, maps):
    """Return the values of a Quantus metric on probabilities."""
    arrays = {"x_batch": x.numpy(), "y_batch": target.numpy(), "a_batch": maps[:, None].numpy()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(model=toy, **arrays, softmax=True, device="cpu")


class Grey(nn.Module):
    """A network of one input channel whose predicted class changes easily."""

    def __init__(self):
        super().__init__()
        self.inner = problem("pyramid")[0].float()
        self.register_buffer("usual", torch.zeros(3))

    def forward(self, x):
        """Return scores ``(N, 3)``."""
        return 100 * (self.inner(x.expand(-1, 3, -1, -1)) - self.usual)


def grey_case():
    """Return a case with one channel: Quantus flips the channels of a pixel one by one and cannot impute several."""
    _, _, x, _, maps = case(6, "pyramid")
    toy, x = Grey().eval(), x[:, :1]
    with torch.no_grad():
        toy.usual.copy_(toy.inner(0.5 * x.expand(-1, 3, -1, -1)).mean(0))
    model = ExplainedModel(toy)
    return toy, model, x, model.logits(x).argmax(1), maps


def test_quantus_pixel_flipping():
    """The curves are equal, except that theirs has no point for the whole image."""
    toy, model, x, target, maps = grey_case()
    metric = quantus.PixelFlipping(features_in_step=32, perturb_baseline=0.0, abs=False, normalise=False, **OPTIONS)

    theirs = np.array(quantus_of(metric, toy, x, target, maps)).T

    np.testing.assert_allclose(Deletion(steps=8).curve(model, x, target, maps)[1:], theirs, atol=1e-5)
    np.testing.assert_allclose(MoRF(steps=8).curve(model, x, target, maps)[1:], theirs, atol=1e-5)
    assert theirs.std() > 0.01


def test_quantus_black_is_the_darkest_pixel():
    """Its "black" is the smallest value of the image, so grey images are deleted to grey; ours is black."""
    toy, model, x, target, maps = grey_case()
    x, target, maps = x[:1], target[:1], maps[:1]
    model.preprocessing = replace(model.preprocessing, mean=(0.5,), std=(0.25,))
    metric = quantus.PixelFlipping(features_in_step=256, perturb_baseline="black", normalise=False, **OPTIONS)

    theirs = np.array(quantus_of(metric, toy, x, target, maps)).T[-1]

    darkest = model.scores(torch.full_like(x, float(x.min())), target, "probability")
    np.testing.assert_allclose(theirs, darkest, atol=1e-5)
    ours = Deletion(fill="black", steps=1).curve(model, x, target, maps)[-1]
    torch.testing.assert_close(ours, model.scores(torch.full_like(x, -0.5 / 0.25), target, "probability"))


def test_quantus_road():
    """The accuracies without the most relevant pixels are equal, without noise, which is unseeded in Quantus."""
    toy, model, x, target, maps = grey_case()
    percentages = [5, 20, 50, 90]
    metric = quantus.ROAD(percentages=percentages, noise=0.0, abs=False, normalise=False, **OPTIONS)

    theirs = quantus_of(metric, toy, x, target, maps)

    shares = [int(256 * p / 100) / 256 for p in percentages]
    ours = scores_after_removal(MoRF("top-1", fill="linear", noise=0), model, x, target, maps, shares).mean(1)
    np.testing.assert_allclose(ours, [theirs[p] for p in percentages], atol=1e-6)
    assert 0 < ours.min() < ours.max()


# -- captum and RISE -------------------------------------------------------------------------------------------------


def test_captum_max_sensitivity():
    """Values are equal for the same draws."""
    _, model, x, target, _ = case(3, "curved")
    method, metric = METHODS["grad-cam"], MaxSensitivity(samples=4)
    maps = method(model, x, target)
    generator = torch.Generator().manual_seed(metric.seed)
    draws = iter([2 * torch.rand(x.shape[1:], generator=generator) - 1 for _ in range(4)])

    theirs = sensitivity_max(
        lambda pixels: (method(model, pixels[0] if isinstance(pixels, tuple) else pixels, target),),
        x,
        perturb_func=lambda pixels, radius: pixels + radius * next(draws),
        n_perturb_samples=4,
        max_examples_per_batch=3,
    )

    torch.testing.assert_close(metric(model, x, target, maps, method=method), theirs, atol=1e-5, rtol=0)


def test_the_blur_of_rise_differs_in_its_tails_and_border():
    """Its kernel is a blurred spot, folded back into 11 pixels, and it pads the image with zeros.

    Ours is cut off at 11 pixels and mirrors the image. Away from the border both agree within 0.03.
    """
    spot = np.zeros((11, 11))
    spot[5, 5] = 1
    kernel = torch.from_numpy(gaussian_filter(spot, 5)).float()
    x = torch.rand(1, 1, 40, 40)

    theirs = F.conv2d(x, kernel[None, None], padding=5)
    ours = gaussian_blur(x, 5, 11)

    inner = (..., slice(6, -6), slice(6, -6))
    torch.testing.assert_close(ours[inner], theirs[inner], atol=0.03, rtol=0)
    assert float(theirs[..., 0, 0]) < 0.5 * float(ours[..., 0, 0])

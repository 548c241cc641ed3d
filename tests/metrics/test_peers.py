"""The metrics beside those of torch-cam, pytorch-grad-cam, Quantus, captum and RISE.

Where definitions match, so do values; where they differ the test says which is right and why. All get the same
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
    """Give a network, a model around it, images, targets and heatmaps whose pixels all differ."""
    toy, x, target = problem(toy_name, images=images)
    toy, x = toy.to(dtype), x.to(dtype)
    return toy, ExplainedModel(toy, "features"), x, target, heatmaps_for(x)


# -- torch-cam -----------------------------------------------------------------------------------------------------


class Canned:
    """An extractor of torch-cam that hands out maps made elsewhere."""

    def __init__(self, model, maps):
        self.model, self.maps = model, maps

    def __call__(self, *_, **__):
        """Give the maps, whatever is asked."""
        return [self.maps]

    def fuse_cams(self, cams):
        """Give the only one."""
        return cams[0]

    def _hooks_off(self):
        return contextlib.nullcontext()


def torchcam(metric, toy, maps, x, target, **settings):
    """Give what a metric of torch-cam sums up for images one by one, as a list of dicts."""
    found = []
    for n in range(len(x)):
        one = metric(Canned(toy, maps[n : n + 1]), **settings)
        one.update(x[n : n + 1], None if target is None else [int(target[n])])
        found.append(one.summary())
    return {key: torch.tensor([one[key] for one in found]) for key in found[0]}


SOFTMAX = {"logits_fn": partial(torch.softmax, dim=-1)}


@pytest.mark.parametrize("coarse", [False, True])
def test_torchcam_drop_and_increase(coarse):
    """The same, of coarse maps too, which both stretch linearly."""
    toy, model, x, target, maps = case(6)
    maps = maps[:, :4, :4].contiguous() if coarse else maps

    theirs = torchcam(ClassificationMetric, toy, maps, x, target, **SOFTMAX)

    ours = AverageDrop(epsilon=1e-7)(model, x, target, maps)
    torch.testing.assert_close(ours, theirs["avg_drop"].to(ours), atol=1e-6, rtol=0)
    assert METRICS["increase"](model, x, target, maps).equal(theirs["conf_increase"].float())


def test_torchcam_preset():
    """By default they take logits of the class predicted, and so does the preset."""
    toy, model, x, _, maps = case(6)
    top = model.scores(x, model.logits(x).argmax(1), "logit")

    theirs = torchcam(ClassificationMetric, toy, maps, x, None)

    ours = METRICS["average-drop:torchcam"](model, x, 0, maps)
    sure = top > 0
    assert sure.any()
    torch.testing.assert_close(ours[sure], theirs["avg_drop"][sure].to(ours), atol=1e-6, rtol=0)
    assert METRICS["increase:torchcam"](model, x, 0, maps).equal(theirs["conf_increase"].float())


def test_torchcam_drops_below_0():
    """Of a negative logit theirs is a negative share. Ours is right to have none: a share is of what there is."""
    model, x = linear_case((-4.0, 2.0, 0.0, 0.0))
    maps = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])

    theirs = torchcam(ClassificationMetric, model.network, maps, x, [0])["avg_drop"]

    assert float(theirs) == pytest.approx(0.5 / -0.5)
    assert AverageDrop(readout="logit", epsilon=1e-7)(model, x, 0, maps).isnan().all()


@pytest.mark.parametrize("steps", [4, 16, 64])
def test_torchcam_insertion_and_deletion(steps):
    """The same curves from the same fill; ties go row by row in both."""
    toy, model, x, target, maps = case()
    maps = (maps * 10).round() / 10

    theirs = torchcam(DeletionInsertionMetric, toy, maps, x, target, steps=steps, **SOFTMAX)

    ours = Insertion(fill="mean", steps=steps)(model, x, target, maps)
    torch.testing.assert_close(ours, theirs["insertion_auc"].to(ours), atol=1e-6, rtol=0)
    ours = Deletion(steps=steps)(model, x, target, maps)
    torch.testing.assert_close(ours, theirs["deletion_auc"].to(ours), atol=1e-6, rtol=0)


def test_torchcam_steps_that_do_not_divide():
    """They round the pixels of a step up, so that the last is short; ours are even. As ``pixels`` theirs are met."""
    toy, model, x, target, maps = case()

    theirs = torchcam(DeletionInsertionMetric, toy, maps, x, target, steps=20, **SOFTMAX)["deletion_auc"]

    torch.testing.assert_close(Deletion(pixels=4)(model, x, target, maps), theirs.float(), atol=1e-6, rtol=0)
    torch.testing.assert_close(Deletion(steps=20)(model, x, target, maps), theirs.float(), atol=0.02, rtol=0)


# -- pytorch-grad-cam ------------------------------------------------------------------------------------------------


def pgc_targets(target, kind=ClassifierOutputSoftmaxTarget):
    """Give their targets."""
    return [kind(int(c)) for c in target]


def test_pgc_drop_is_absolute():
    """Theirs is not divided by the score. The paper's is: divided, theirs is ours."""
    toy, model, x, target, maps = case(6)

    theirs = cam_mult_image.DropInConfidence()(x, maps.numpy(), pgc_targets(target), toy)
    more = cam_mult_image.IncreaseInConfidence()(x, maps.numpy(), pgc_targets(target), toy)

    whole = model.scores(x, target, "probability").numpy()
    np.testing.assert_allclose(AverageDrop()(model, x, target, maps), theirs / whole, atol=1e-6)
    np.testing.assert_array_equal(METRICS["increase"](model, x, target, maps), more)


class Quiet(pgc.NoisyLinearImputer):
    """Their imputation without noise, which they draw without a seed, and without numpy's warnings of it."""

    def __init__(self):
        super().__init__(noise=0)

    def __call__(self, img, mask):
        """Give the pixels."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return super().__call__(img, mask)


def test_pgc_imputation():
    """The same pixels."""
    _, _, x, _, _ = case(1, "pyramid")
    for seed, share in enumerate((0.1, 0.5, 0.9)):
        known = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(seed)) > share

        theirs = Quiet()(x[0], known[0].float())

        torch.testing.assert_close(impute_linearly(x, known)[0], theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", [ClassifierOutputTarget, ClassifierOutputSoftmaxTarget])
def test_pgc_road(kind):
    """On maps without equal pixels the same, once as many pixels are removed as by their percentiles."""
    toy, model, x, target, maps = case(3, "pyramid")
    readout = "logit" if kind is ClassifierOutputTarget else "probability"

    with mock.patch.object(pgc, "NoisyLinearImputer", Quiet):
        theirs = pgc.ROADCombined(percentiles=[20, 40, 60, 80])(x, maps.numpy(), pgc_targets(target, kind), toy)

    # the percentile lies between two of 256 pixels, and those at or above it go
    shares = [ceil((1 - p) * 255) / 256 for p in (0.2, 0.4, 0.6, 0.8)]
    metric = replace(METRICS["road:pgc"], readout=readout, noise=0)
    most, least = (scores_after_removal(metric, model, x, target, one, shares) for one in (maps, -maps))
    np.testing.assert_allclose((least - most).mean(0) / 2, theirs, atol=1e-4)


def test_pgc_road_removes_everything_at_ties():
    """Of a map that is 0 in three quarters theirs removes all, or always the same; ours what is asked for.

    Ours is right: a share of the pixels is what the curves are drawn over.
    """
    toy, model, x, target, maps = case(1, "pyramid")
    maps[maps < torch.quantile(maps, 0.75)] = 0
    gone, ours = [], []

    def imputer(pixels, mask):
        gone.append(1 - float(mask.mean()))
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

    assert gone == pytest.approx([1, 1, 1, 0.9, 0.75, 0.75], abs=0.01)
    assert sorted(ours) == [0.125, 0.125, 0.5, 0.5, 0.75, 0.75]


def test_pgc_complexity_and_coherency():
    """The same; their Grad-CAM makes the second map, ours the same one."""
    toy, model, x, target, _ = case(3, "curved")
    maps = METHODS["grad-cam"](model, x, target)

    def theirs_again(input_tensor, targets):
        return METHODS["grad-cam"](model, input_tensor, target).numpy()

    complexity = arcc.Complexity()(maps.numpy())
    coherency = arcc.Coherency()(x, maps.numpy(), pgc_targets(target), toy, theirs_again)

    np.testing.assert_allclose(Complexity()(model, x, target, maps), complexity, atol=1e-6)
    np.testing.assert_allclose(Coherency()(model, x, target, maps, method=METHODS["grad-cam"]), coherency, atol=1e-5)


# -- Quantus ---------------------------------------------------------------------------------------------------------


ASKED = {"return_aggregate": False, "disable_warnings": True, "display_progressbar": False}


def quantus_of(metric, toy, x, target, maps):
    """Give what a metric of Quantus gives with probabilities."""
    arrays = {"x_batch": x.numpy(), "y_batch": target.numpy(), "a_batch": maps[:, None].numpy()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(model=toy, **arrays, softmax=True, device="cpu")


class Grey(nn.Module):
    """A network of one channel whose class is easily changed."""

    def __init__(self):
        super().__init__()
        self.inner = problem("pyramid")[0].float()
        self.register_buffer("usual", torch.zeros(3))

    def forward(self, x):
        """Give scores ``(N, 3)``."""
        return 100 * (self.inner(x.expand(-1, 3, -1, -1)) - self.usual)


def grey_case():
    """Give a case of one channel: Quantus flips the channels of a pixel one by one, and fails to impute several."""
    _, _, x, _, maps = case(6, "pyramid")
    toy, x = Grey().eval(), x[:, :1]
    with torch.no_grad():
        toy.usual.copy_(toy.inner(0.5 * x.expand(-1, 3, -1, -1)).mean(0))
    model = ExplainedModel(toy)
    return toy, model, x, model.logits(x).argmax(1), maps


def test_quantus_pixel_flipping():
    """The same curve, which lacks the whole image in front; its normalisations keep the order and are undone."""
    toy, model, x, target, maps = grey_case()
    metric = quantus.PixelFlipping(features_in_step=32, perturb_baseline=0.0, abs=False, normalise=False, **ASKED)

    theirs = np.array(quantus_of(metric, toy, x, target, maps)).T

    np.testing.assert_allclose(Deletion(steps=8).curve(model, x, target, maps)[1:], theirs, atol=1e-5)
    np.testing.assert_allclose(MoRF(steps=8).curve(model, x, target, maps)[1:], theirs, atol=1e-5)
    assert theirs.std() > 0.01


def test_quantus_black_is_the_darkest_pixel():
    """Its "black" is the least value of what it is given, so grey images are deleted to grey; ours is black."""
    toy, model, x, target, maps = grey_case()
    x, target, maps = x[:1], target[:1], maps[:1]
    model.preprocessing = replace(model.preprocessing, mean=(0.5,), std=(0.25,))
    metric = quantus.PixelFlipping(features_in_step=256, perturb_baseline="black", normalise=False, **ASKED)

    theirs = np.array(quantus_of(metric, toy, x, target, maps)).T[-1]

    darkest = model.scores(torch.full_like(x, float(x.min())), target, "probability")
    np.testing.assert_allclose(theirs, darkest, atol=1e-5)
    ours = Deletion(fill="black", steps=1).curve(model, x, target, maps)[-1]
    torch.testing.assert_close(ours, model.scores(torch.full_like(x, -0.5 / 0.25), target, "probability"))


def test_quantus_road():
    """The accuracy without so many percent of the most relevant pixels; without noise, which has no seed there."""
    toy, model, x, target, maps = grey_case()
    percentages = [5, 20, 50, 90]
    metric = quantus.ROAD(percentages=percentages, noise=0.0, abs=False, normalise=False, **ASKED)

    theirs = quantus_of(metric, toy, x, target, maps)

    shares = [int(256 * p / 100) / 256 for p in percentages]
    ours = scores_after_removal(MoRF("top-1", fill="linear", noise=0), model, x, target, maps, shares).mean(1)
    np.testing.assert_allclose(ours, [theirs[p] for p in percentages], atol=1e-6)
    assert 0 < ours.min() < ours.max()


# -- captum and RISE -------------------------------------------------------------------------------------------------


def test_captum_max_sensitivity():
    """The same for the same draws."""
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


def test_rise_blur_differs_by_its_tails_and_border():
    """Its kernel is that of a spot of 11 pixels blurred within them, and what is beyond the border is 0.

    Ours ends at 11 pixels and mirrors the image. Away from the border both are the same kernel within 3 percent.
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

"""The smooth and the efficient test of model randomisation, by hand and compared with Quantus."""

from __future__ import annotations

import math
from unittest import mock

import numpy as np
import pytest
import quantus
import torch

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import SettingError, UnknownNameError
from fusioncam.functional.similarity import histogram_entropy, spearman
from fusioncam.inference.costs import count_passes
from fusioncam.metrics.base import random_like
from fusioncam.metrics.passes import MetricPasses
from fusioncam.metrics.randomisation import randomised
from fusioncam.metrics.sanity import EfficientRandomisation, ModelRandomisation, smooth_heatmaps
from toys import problem

GRAD_CAM = METHODS["grad-cam"]
SMOOTH = ModelRandomisation(stages=2, samples=3, level=0.2, seed=5)
QUIET = {"disable_warnings": True, "display_progressbar": False}


def explained(images=2):
    """Return a toy network, its model, inputs and targets."""
    toy, x, target = problem("small", images)
    return toy, ExplainedModel(toy, "features"), x, target


def test_smooth_heatmaps_are_means_over_noisy_images():
    """The trained network's heatmaps too; the noise is the same for all networks."""
    _, model, x, target = explained()
    spread = (x.flatten(1).amax(1) - x.flatten(1).amin(1)).reshape(-1, 1, 1, 1)
    images = [x + 0.2 * spread * noise for noise in random_like(torch.randn, x, 3, seed=5)]

    curve = SMOOTH.curve(model, x, target, GRAD_CAM(model, x, target), GRAD_CAM)

    first = torch.stack([GRAD_CAM(model, one, target) for one in images]).mean(0)
    for copy, values in zip(randomised(model, 2, "shuffle", 5), curve, strict=True):
        second = torch.stack([GRAD_CAM(copy, one, target) for one in images]).mean(0)
        torch.testing.assert_close(values, spearman(first, second))


def test_without_noise_the_smooth_test_is_the_plain_one():
    """The mean of equal heatmaps is one of them."""
    _, model, x, target = explained()
    heatmaps = GRAD_CAM(model, x, target)
    plain, smooth = ModelRandomisation(stages=2), ModelRandomisation(stages=2, samples=4, level=0)

    torch.testing.assert_close(
        smooth(model, x, target, heatmaps, method=GRAD_CAM), plain(model, x, target, heatmaps, method=GRAD_CAM)
    )


def test_the_costs_are_the_numbers_of_passes():
    """The smooth test computes the heatmaps of each copy and of the trained network."""
    _, model, x, target = explained(images=1)
    heatmaps = GRAD_CAM(model, x, target)

    for metric in (SMOOTH, EfficientRandomisation()):
        with count_passes() as counter:
            metric(model, x, target, heatmaps, method=GRAD_CAM)
        assert metric.cost == MetricPasses(methods=counter.passes)


# -- efficient ---------------------------------------------------------------------------------------------------


def test_entropies_by_hand():
    """Half of the pixels in one bin and half in another: log 2. The scale of a map does not count."""
    maps = torch.tensor([[0.0, 0.1, 0.9, 1.0], [0.0, 0.3, 0.6, 1.0], [5.0, 5.0, 5.0, 5.0]], dtype=torch.float64)

    assert histogram_entropy(maps, 2).tolist() == pytest.approx([math.log(2), math.log(2), 0])
    assert histogram_entropy(maps, 4).tolist() == pytest.approx([math.log(2), math.log(4), 0])
    assert histogram_entropy(7 * maps - 2, 4).tolist() == pytest.approx(histogram_entropy(maps, 4).tolist())


def two_maps(original):
    """Return a method whose heatmaps are uniform in the original network, and two values in any other."""

    def method(model, x, target):
        network = model.network if isinstance(model, ExplainedModel) else model
        uniform = torch.linspace(0, 1, 64, dtype=x.dtype).reshape(8, 8).expand(len(x), 8, 8)
        return uniform if network is original else (uniform > 0.5).to(x.dtype)

    return method


def test_the_rise_of_the_entropy_by_hand():
    """From log 64, a pixel in each of 64 bins, to log 2; a constant heatmap has no entropy to rise from."""
    toy, model, x, target = explained()
    method, metric = two_maps(toy), EfficientRandomisation(bins=64)

    values = metric(model, x, target, method(model, x, target), method=method)
    flat = metric(model, x, target, torch.ones_like(x[:, 0]), method=method)

    assert values.tolist() == pytest.approx([(math.log(2) - math.log(64)) / math.log(64)] * 2)
    assert flat.isnan().all()


@pytest.mark.filterwarnings("ignore")
def test_quantus_agrees_on_the_efficient_test():
    """The same relative rise for the same heatmaps of a trained and of a random network."""
    toy, _, x, target = explained()
    toy, x = toy.float(), x.float()
    model = ExplainedModel(toy, "features")
    maps = {True: torch.rand(2, 8, 8).double(), False: torch.rand(2, 8, 8).double() ** 3}

    def method(model, x, target):
        return maps[(model.network if isinstance(model, ExplainedModel) else model) is toy]

    theirs = quantus.EfficientMPRT(complexity_func_kwargs={"n_bins": 20}, **QUIET)(
        model=toy,
        x_batch=x.numpy(),
        y_batch=np.asarray(target),
        a_batch=maps[True][:, None].numpy(),
        explain_func=lambda model, inputs, targets, **_: method(model, inputs, targets)[:, None].numpy(),
        device="cpu",
    )
    ours = EfficientRandomisation(bins=20)(model, x, target, maps[True], method=method)

    assert ours.tolist() == pytest.approx(list(map(float, theirs)), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_quantus_agrees_on_smooth_heatmaps():
    """Its last sample is the image without noise; with our noise for the others, the mean is the same."""
    toy, model, x, target = explained()
    noise = [*random_like(torch.randn, x, 3, seed=5)]

    def explain(model, inputs, targets, **_):
        return GRAD_CAM(ExplainedModel(toy, "features"), torch.as_tensor(inputs), target)[:, None].numpy()

    metric = quantus.SmoothMPRT(nr_samples=4, noise_magnitude=0.2, normalise=False, abs=False, **QUIET)
    draws = iter(one.expand(x.shape).numpy() for one in noise)
    with (
        mock.patch("numpy.random.randn", side_effect=draws),
        mock.patch.object(metric, "explain_func", explain, create=True),
        mock.patch("quantus.explain", explain),
    ):
        theirs = metric.explain_smooth_batch(toy, x.numpy(), np.asarray(target))

    ours = 3 * smooth_heatmaps(GRAD_CAM, model, x, target, 3, 0.2, seed=5) + GRAD_CAM(model, x, target)
    np.testing.assert_allclose(theirs[:, 0], ours / 4, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ModelRandomisation(samples=-1), SettingError, "samples must be an integer of at least 0, got -1"),
        (lambda: ModelRandomisation(level=-1), SettingError, "level must be a number of at least 0, got -1"),
        (lambda: EfficientRandomisation(bins=1), SettingError, "bins must be an integer of at least 2, got 1"),
        (lambda: EfficientRandomisation(draw="zero"), UnknownNameError, "unknown draw 'zero'"),
    ],
)
def test_wrong_settings_are_reported(make, error, message):
    """The message says what is wrong and what was given."""
    with pytest.raises(error, match=message):
        make()

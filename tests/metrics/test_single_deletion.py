"""IDSDS: by hand, against a reference implementation, and without an order of patches."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from fusioncam import ExplainedModel
from fusioncam.errors import SettingError, UnknownNameError
from fusioncam.metrics.registry import METRICS
from fusioncam.metrics.single_deletion import IDSDS
from linear_case import heatmaps_for, linear_case
from toys import problem
from twins import metrics as twins

pytestmark = pytest.mark.usefixtures("one_thread")


def test_idsds_by_hand():
    """The losses of the logit are a quarter of each pixel; the third and the second pixel change places."""
    model, x = linear_case((4.0, 3.0, 2.0, 0.0))
    metric = IDSDS(side=2)

    values = [metric(model, x, 0, torch.tensor([heatmap])).item() for heatmap in (
        [[0.9, 0.5], [0.3, 0.1]],
        [[0.9, 0.3], [0.5, 0.1]],
        [[0.1, 0.3], [0.5, 0.9]],
    )]  # fmt: skip

    # Spearman's correlation is 1 - 6 sum(d^2) / (n (n^2 - 1))
    assert values == pytest.approx([1, 1 - 6 * 2 / 60, -1])


@pytest.mark.parametrize(("fill", "readout"), [("mean", "logit"), ("linear", "probability")])
@pytest.mark.parametrize("toy_name", ["small", "signal", "volume"])
def test_idsds_equals_the_reference_implementation(toy_name, fill, readout):
    """One cell of the grid at a time, in images, signals and volumes; five cells do not divide a side evenly."""
    toy, x, target = problem(toy_name, images=2)
    toy, x, maps = toy.double(), x.double(), heatmaps_for(x.double())
    for side in (2, 3) if toy_name != "signal" else (4, 5):
        values = IDSDS(readout, fill=fill, noise=0, side=side)(ExplainedModel(toy), x, target, maps)

        slow = [
            twins.single_deletion(toy, one, int(c), heatmap, side, readout, fill == "linear")
            for one, c, heatmap in zip(x, target, maps, strict=True)
        ]
        assert values.tolist() == pytest.approx(slow, abs=1e-6)


def test_heatmaps_without_an_order_of_patches_have_the_value_0():
    """A constant heatmap is 0, and an image whose patches do not matter is undefined for every heatmap."""
    model, x = linear_case()
    colourless = torch.zeros_like(x)

    assert IDSDS(side=2)(model, x, 0, torch.full((1, 2, 2), 0.5)).tolist() == [0]
    assert IDSDS(side=2)(model, colourless, 0, torch.rand(1, 2, 2)).isnan().all()


def test_coarse_and_signed_heatmaps_are_accepted():
    """Only the order of the sums counts, and coarse heatmaps are resized."""
    toy, x, target = problem("small", images=2)
    model, maps = ExplainedModel(toy), heatmaps_for(x)

    assert METRICS["idsds"](model, x, target, 7 * maps - 3).equal(METRICS["idsds"](model, x, target, maps))
    assert METRICS["idsds"](model, x, target, maps[:, ::2, ::2]).isfinite().all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (partial(IDSDS, side=1), SettingError, "side must be an integer of at least 2, got 1"),
        (partial(IDSDS, fill="imputed"), UnknownNameError, "choose from mean, black, blur, light-blur, linear"),
        (partial(IDSDS, noise=-1), SettingError, "noise must be a number of at least 0, got -1"),
    ],
)
def test_wrong_settings_are_reported(make, error, message):
    """The error is raised on construction."""
    with pytest.raises(error, match=message):
        make()

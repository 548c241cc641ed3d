"""Images, networks and requests that fail: which errors are raised, and which on_error receives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import samples
from fusioncam import ExplainedModel, Explanation, Preprocessing, explain, explain_each
from fusioncam.errors import (
    FlatHeatmapWarning,
    ImageError,
    NonFiniteError,
    SettingError,
    ShapeError,
    UnknownNameError,
)
from samples import CAT, COFFEE, ROCKET, corners, photo

PHOTOS = [CAT, COFFEE, ROCKET]
FAST = "grad-cam"


def explain_small(target: int | str | None = None, method: str = FAST) -> Explanation:
    """Explain the cat with the small network of the samples."""
    return explain(CAT, model=samples.small(), method=method, target=target)


def test_without_on_error_the_first_failure_is_raised():
    """Earlier results come first; the error names the image and the model."""
    found = explain_each([CAT, "nope.png", COFFEE], model=samples.small(), methods=[FAST])
    assert next(found).source == str(CAT)
    with pytest.raises(ImageError, match=r"nope\.png: no such file") as raised:
        next(found)
    assert "image: nope.png, model: sample" in raised.value.explained()


def test_results_before_a_failure_are_yielded_from_batches():
    """A batch yields the image before the one that fails."""
    found = explain_each([CAT, "nope.png"], model=samples.small(), methods=[FAST], batch_size=2)
    assert next(found).source == str(CAT)
    with pytest.raises(ImageError):
        next(found)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
def test_faulty_images_do_not_affect_others(batch_size):
    """on_error receives the faulty images with their errors; the others equal single calls."""
    failures = []
    images = [CAT, "nope.png", corners(), np.full((4, 4), 2.0), COFFEE]
    found = explain_each(
        images,
        model=samples.small(),
        methods=[FAST],
        batch_size=batch_size,
        on_error=lambda image, error: failures.append((image, type(error))),
    )
    good = list(found)
    assert [Path(one.source).stem for one in good] == ["chelsea", "image", "coffee"]
    assert [kind for _, kind in failures] == [ImageError, ImageError]
    assert failures[0][0] == "nope.png"
    assert failures[1][0] is images[3]
    torch.testing.assert_close(good[0].heatmap, explain_small().heatmap, atol=1e-4, rtol=0)


def test_on_error_receives_errors_of_the_network():
    """User code may raise anything: on_error receives it unchanged, for each image."""
    failures = []
    found = explain_each(
        PHOTOS, model=samples.broken(), methods=[FAST], on_error=lambda image, error: failures.append(error)
    )
    assert list(found) == []
    assert [str(error) for error in failures] == ["'weights of the attention'"] * 3


def test_ctrl_c_is_not_a_faulty_image():
    """KeyboardInterrupt is raised, with or without on_error."""

    def stop(model: ExplainedModel, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(explain_each([CAT], model=samples.small(), methods=[stop], on_error=lambda image, error: None))


@pytest.mark.parametrize("method", [FAST, "score-cam", "fusion-cam"])
@pytest.mark.parametrize("target", [None, 0, 1])
@pytest.mark.parametrize("make", [samples.nan, samples.nan_first])
def test_nan_scores_are_reported(make, target, method):
    """NaN anywhere in the scores makes every probability NaN, which is an error."""
    with pytest.raises(NonFiniteError, match=r"(?i)nan"):
        explain(CAT, model=make(), method=method, target=target)


def test_a_constant_heatmap_is_zero_and_warned_of():
    """The warning names the image."""
    with pytest.warns(FlatHeatmapWarning) as raised:
        explanation = explain(CAT, model=samples.flat(), method=FAST)
    assert not explanation.heatmap.any()
    assert "chelsea.png" in str(raised[0].message)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        ("nope.png", ImageError),
        (np.full((8, 8), 2.0), ImageError),
        (torch.zeros(8), ImageError),
        (None, ImageError),
    ],
    ids=["missing", "float", "tensor", "None"],
)
def test_invalid_images_are_reported(image, error):
    """Whatever is not an image raises an error of the library."""
    with pytest.raises(error):
        explain(image, model=samples.small(), method=FAST)


def test_a_network_without_a_row_of_scores_is_reported():
    """The error for a network that returns a dictionary names its parts."""

    class Wrapped(samples.Small):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"scores": super().forward(x), "features": x}

    with pytest.raises(ShapeError, match=r"pass read='scores' to ExplainedModel for its \(1, 5\), or wrap a segm"):
        explain(CAT, model=Wrapped(), method=FAST)


def test_an_unknown_model_is_reported():
    """The model is loaded before the image is opened."""
    with pytest.raises(UnknownNameError, match="unknown model"):
        explain("no such image.jpg", model="efficientnet_lite9")
    with pytest.raises(SettingError, match="samples:fails returned no model"):
        explain("no such image.jpg", model="samples:fails")


def test_a_network_of_one_channel_is_explained():
    """A network for grey images explains colour photographs."""
    grey = ExplainedModel(
        samples.Small(channels=1), preprocessing=Preprocessing((32, 32), 32, mean=(0.5,), std=(0.5,))
    )
    explanation = explain(CAT, model=grey, method="fusion-cam")
    assert explanation.heatmap.shape == (32, 32)
    assert explanation.image.mode == "RGB"


@pytest.mark.filterwarnings("ignore:.*cropped away")
@pytest.mark.parametrize("size", [(2, 2), (3, 500), (2000, 40)])
def test_images_of_unusual_sizes_are_explained(size):
    """Tiny and very long images get a heatmap of the input's size and an overlay of their own size."""
    explanation = explain(photo(size=size), model=samples.small(), method=FAST)
    assert explanation.heatmap.shape == (32, 32)
    assert explanation.overlay().size == size
    assert explanation.overlay(view="crop").size == explanation.image.size


def test_the_network_is_left_unchanged():
    """Training flags, gradients and weights of the caller's network stay as they were."""
    network = samples.Small().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    explain(CAT, model=network, method=FAST)
    assert all(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())

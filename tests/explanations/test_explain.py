"""Explain many images by several methods; an image that fails does not affect the others."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

import samples
from fusioncam import ExplainedModel, Explanation, explain, explain_each
from fusioncam.errors import FusionCamError, InputTypeError, LayerError, SettingError, UnknownNameError
from samples import CAT, COFFEE, ROCKET

PHOTOS = [CAT, COFFEE, ROCKET]
FAST = "grad-cam"


def explain_small(target: int | str | None = None, method: str = FAST) -> Explanation:
    """Explain the cat with the small network of the samples."""
    return explain(CAT, model=samples.small(), method=method, target=target)


def test_a_batch_equals_single_images(lite0):
    """Classes, probabilities and heatmaps of three images at once equal those of single calls."""
    together = list(explain_each(PHOTOS, model=lite0, methods=[FAST], batch_size=3))
    alone = [explain(one, model=lite0, method=FAST) for one in PHOTOS]
    for one, other in zip(together, alone, strict=True):
        assert (one.source, one.target, one.label) == (other.source, other.target, other.label)
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
        torch.testing.assert_close(one.heatmap, other.heatmap, atol=1e-3, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
def test_the_order_is_image_class_method(batch_size):
    """Explanations come image by image, for each class, for each method, at every batch size."""
    methods = [FAST, "score-cam"]
    found = explain_each(PHOTOS, model=samples.small(), methods=methods, target="top2", batch_size=batch_size)
    got = [(one.source, one.target, one.method) for one in found]
    classes = {source: list(dict.fromkeys(target for name, target, _ in got if name == source)) for source, *_ in got}
    assert got == [(str(one), target, method) for one in PHOTOS for target in classes[str(one)] for method in methods]
    assert all(len(targets) == 2 for targets in classes.values())


@pytest.mark.parametrize("method", ["fusion-cam", "union-cam", "score-cam"])
def test_heatmaps_and_ingredients_of_a_batch_belong_to_their_image(method):
    """No image of a batch gets the heatmap or the gains of another."""
    model = samples.small()
    together = list(explain_each(PHOTOS, model=model, methods=[method], batch_size=3, target=1))
    for one, path in zip(together, PHOTOS, strict=True):
        alone = explain(path, model=model, method=method, target=1)
        torch.testing.assert_close(one.heatmap, alone.heatmap, atol=1e-4, rtol=0)
        assert one.gains == pytest.approx(alone.gains, abs=1e-5)


def test_images_are_read_lazily():
    """An endless stream of images is explained one after the other."""
    stream = explain_each(itertools.cycle(PHOTOS), model=samples.small(), methods=[FAST])
    assert [Path(next(stream).source).stem for _ in range(4)] == ["chelsea", "coffee", "rocket", "chelsea"]


def test_methods_share_passes():
    """After its own ingredients, Fusion-CAM needs only the passes of its gains: 4 for one image."""
    methods = [FAST, "score-cam", "fusion-cam"]
    shared = list(explain_each([CAT], model=samples.small(), methods=methods))
    assert shared[2].passes == 4
    assert shared[2].full_cost.passes == explain(CAT, model=samples.small(), method="fusion-cam").passes
    assert explain(CAT, model=samples.small(), method="fusion-cam").passes > 4
    torch.testing.assert_close(shared[2].heatmap, explain_small(method="fusion-cam").heatmap)


def test_no_images_give_no_explanations():
    """An empty list is not an error."""
    assert list(explain_each([], model=samples.small(), methods=[FAST])) == []


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "2"])
def test_invalid_batch_sizes_are_reported(batch_size):
    """A batch size is a positive integer."""
    with pytest.raises(SettingError, match="batch_size must be a positive integer"):
        list(explain_each([CAT], model=samples.small(), methods=[FAST], batch_size=batch_size))


@pytest.mark.parametrize("images", ["cat.jpg", CAT], ids=["text", "path"])
def test_a_single_path_is_not_a_list_of_images(images):
    """A path is not iterated letter by letter: the error says that a list is expected."""
    with pytest.raises(InputTypeError, match=r"images must be a list, .*explain\("):
        list(explain_each(images, model=samples.small(), methods=[FAST]))


def test_a_single_name_is_not_a_list_of_methods():
    """A name is not iterated letter by letter: the error says that a list is expected."""
    with pytest.raises(InputTypeError, match="methods must be a list"):
        list(explain_each([CAT], model=samples.small(), methods=FAST))


# -- methods and layers -------------------------------------------------------------------------------------------


def test_a_callable_is_a_method():
    """A function that returns heatmaps is a method without being registered; its name is short."""

    def middle(model: ExplainedModel, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.eye(32).expand(len(x), 32, 32)

    explanation = explain(CAT, model=samples.small(), method=middle)
    assert torch.equal(explanation.heatmap, torch.eye(32))
    assert "middle" in explanation.method
    assert "0x" not in explanation.method


@pytest.mark.parametrize(
    "maps",
    [
        torch.rand(7),
        torch.rand(1, 8, 8),
        torch.rand(3, 32, 32),
        torch.full((1, 32, 32), torch.nan),
        torch.rand(1, 32, 32) * 50 - 20,
        None,
    ],
    ids=["shape", "size", "count", "nan", "range", "nothing"],
)
def test_output_of_a_callable_is_validated(maps):
    """Heatmaps of another shape, outside of [0, 1] or of another type are errors."""
    with pytest.raises(FusionCamError):
        explain(CAT, model=samples.small(), method=lambda model, x, target: maps)


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        ("gradcam", UnknownNameError, "did you mean 'grad-cam'"),
        (None, InputTypeError, "expected the name of a method"),
        (type, InputTypeError, "callable"),
    ],
)
def test_invalid_methods_are_reported(method, error, message):
    """An invalid method is reported before the image is opened; an unknown name with the nearest."""
    with pytest.raises(error, match=message):
        explain("no such image.jpg", model=samples.small(), method=method)


def test_methods_are_validated_at_the_call():
    """explain_each validates methods when it is called, not when the first result is read."""
    with pytest.raises(UnknownNameError, match="did you mean 'grad-cam'"):
        explain_each([CAT], model=samples.small(), methods=["gradcam"])


def test_the_layer_can_be_chosen():
    """A layer given by name is explained and stored."""
    at_conv = explain(CAT, model=samples.small(), method=FAST, layer="conv")
    assert (at_conv.layer, explain_small().layer) == ("conv", "act")
    assert not torch.equal(at_conv.heatmap, explain_small().heatmap)


def test_a_methods_own_layer_is_stored():
    """If the method names its layer, the explanation stores that layer."""
    assert explain_small(method="grad-cam(layer=conv)").layer == "conv"


@pytest.mark.parametrize(
    ("make", "layer", "message"),
    [
        (samples.small, "cnv", "did you mean 'conv'"),
        (samples.small, "fc", "not feature maps"),
        (samples.twice, "act", "ran 2 times"),
    ],
)
def test_invalid_layers_are_reported(make, layer, message):
    """A layer that is missing, has no feature maps or runs twice is reported by name."""
    with pytest.raises(LayerError, match=message) as raised:
        explain(CAT, model=make(), method=FAST, layer=layer)
    assert layer in str(raised.value)

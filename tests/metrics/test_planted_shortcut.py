"""Planted shortcuts: the stamps, the images that count, and the value by hand and against a reference."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fusioncam import METHODS, ExplainedModel, Preprocessing
from fusioncam.errors import ImageError, SettingError, ShapeError, TargetError, UnknownNameError
from fusioncam.functional.stamps import PATTERNS, box_of, drawn
from fusioncam.inference.costs import count_passes
from fusioncam.metrics.localization import energy_share
from fusioncam.metrics.passes import MetricPasses
from fusioncam.metrics.planted_shortcut import MEASURES, PlantedShortcut
from fusioncam.metrics.registry import METRICS
from toys import problem
from twins import localization as twins

CORNER = PlantedShortcut("checkerboard", place=(1, 1), size=0.5)


class Corner(nn.Module):
    """A network of three classes, of which the second one is seen where the last quarter varies."""

    def forward(self, x):
        """Return the logits ``(N, 3)``."""
        seen = x[:, 0, 8:, 8:].flatten(1).std(1)
        return torch.stack([torch.ones_like(seen), 10 * seen - 2, torch.zeros_like(seen)], 1)


def case(images=2):
    """Return a model and smooth images, which have no second class."""
    x = torch.linspace(0, 1, 16).expand(images, 3, 16, 16) * torch.linspace(0.9, 1, images).reshape(-1, 1, 1, 1)
    preprocessing = Preprocessing((16, 16), 16, "bilinear", (0.0,) * 3, (1.0,) * 3)
    return ExplainedModel(Corner(), preprocessing=preprocessing), x


def test_the_value_by_hand():
    """A quarter of the image is the stamp; 0.7 of the heatmap's sum lies in it, its maximum too, and it is exact."""
    model, x = case()
    classes = []

    def method(model, x, target):
        classes.extend(target.tolist())
        heatmap = torch.full((len(x), 16, 16), 0.3 / 192)
        heatmap[:, 8:, 8:] = 0.7 / 64
        return heatmap

    for measure, value in {"energy": 0.7, "best-iou": 1, "pointing": 1}.items():
        metric = PlantedShortcut("checkerboard", place=(1, 1), size=0.5, measure=measure)
        assert metric(model, x, 0, torch.zeros(2, 16, 16), method=method).tolist() == pytest.approx([value, value])
    assert set(classes) == {1}


def test_energy_equals_the_reference_implementation():
    """Random heatmaps, and the pixels of the stamp one by one."""
    model, x = case()
    maps = torch.rand(2, 16, 16)

    values = CORNER(model, x, 0, maps, method=lambda model, x, target: maps[: len(x)])

    inside = [[row >= 8 and column >= 8 for column in range(16)] for row in range(16)]
    assert values.tolist() == pytest.approx([twins.energy(one.tolist(), inside) for one in maps])


def test_only_energy_depends_on_more_than_the_order_of_pixels():
    """The square of a heatmap has more energy on the stamp, the same best IoU and the same highest pixel."""
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[:, :6, :6] = True
    heatmap = (torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)) + mask) / 2

    assert energy_share(heatmap**2, mask) > energy_share(heatmap, mask) + 0.05
    for name in ("best-iou", "pointing"):
        assert MEASURES[name](heatmap**2, mask).equal(MEASURES[name](heatmap, mask))


def test_only_the_stamp_is_changed():
    """The brightest and the darkest value of each image alternate in it, mixed with the image if it is not opaque."""
    model, x = case()
    stamped, mask = CORNER.stamped(model, x)
    half, _ = PlantedShortcut("checkerboard", place=(1, 1), size=0.5, opacity=0.5).stamped(model, x)

    assert mask.nonzero().amin(0).tolist() == [8, 8]
    assert mask.sum() == 64
    assert stamped[..., ~mask].equal(x[..., ~mask])
    assert set(stamped[0][:, mask].flatten().tolist()) == {x[0].min().item(), x[0].max().item()}
    torch.testing.assert_close(half, (x + stamped) / 2)


def test_images_that_do_not_react_are_undefined_and_not_explained():
    """The probability must rise by ``least`` over that of the image, and over that with the place covered."""
    model, x = case(1)
    before = model.logits(x).softmax(1)[0, 1].item()
    images, mask = CORNER.stamped(model, x)
    rise = model.logits(images).softmax(1)[0, 1].item() - before
    never = partial(pytest.fail, "an image that does not react is explained")

    assert 0.3 < rise < 0.9
    for least, kept in ((rise - 0.01, True), (rise + 0.01, False)):
        metric = PlantedShortcut("checkerboard", place=(1, 1), size=0.5, least=least)
        assert metric.risen(model, x, images, mask)[1].tolist() == [kept]
    assert metric(model, x, 0, torch.zeros(1, 16, 16), method=lambda *_: never()).isnan().all()
    # the stamp changes nothing where it already is
    assert CORNER.risen(model, images, images, mask)[1].tolist() == [False]


def test_a_class_that_appears_because_something_is_hidden_does_not_count():
    """The third class is seen where the first one is covered, also by the mean colour."""

    class Hidden(nn.Module):
        def forward(self, x):
            shown = x[:, 0, 8:, 8:].mean((1, 2)) > 0.9
            return torch.stack([6.0 * shown, 3.0 * ~shown], 1)

    model, x = ExplainedModel(Hidden()), torch.zeros(1, 3, 16, 16)
    x[..., 8:, 8:] = 1
    images, mask = CORNER.stamped(model, x)

    _, kept = CORNER.risen(model, x, images, mask)

    assert model.logits(images).argmax(1).tolist() == [1]
    assert kept.tolist() == [False]


def test_an_image_of_another_class_is_a_stamp(tmp_path):
    """It is preprocessed as the images are, and shrunk to the stamp by the mean of its pixels."""
    model, x = case()
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    path = tmp_path / "patch.png"
    Image.fromarray(pixels).save(path)

    stamped, _ = PlantedShortcut(str(path), place=(0, 1), size=0.125).stamped(model, x)

    assert stamped[0, :, :2, 14:].tolist() == [[[0, 1], [0, 1]]] * 3


def test_the_cost_and_a_given_class():
    """Three passes and the method's own; the class may be chosen."""
    model, x = case(1)
    toy, images, target = problem("small", 1)
    metric = PlantedShortcut("checkerboard", least=0, index=int(target))
    kept = PlantedShortcut("checkerboard", place=(1, 1), size=0.5, index=2)

    with count_passes() as counter:
        metric(ExplainedModel(toy, "features"), images, 0, images.mean(1), method=METHODS["grad-cam"])
    assert counter.passes in (3, 4)
    assert kept(model, x, 0, x[:, 0], method=METHODS["ones"]).isnan().all()  # its probability falls
    with count_passes() as counter:
        CORNER(model, x, 0, x[:, 0], method=lambda model, x, target: x[:, 0])
    assert counter.passes == 3
    assert METRICS["planted-shortcut"].cost == MetricPasses(full=3, methods=1)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", [(5, 40), (224, 224)])
def test_patterns_fit_every_image(pattern, size):
    """Boxes lie inside the image and patterns change it."""
    x = torch.rand(1, 1, *size)
    box = box_of(size, 0.9, (1, 1))

    assert x[:, :, box[0], box[1]].numel() > 0
    assert not drawn(x, pattern, box, 1).equal(x)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (partial(PlantedShortcut, measure="iou"), UnknownNameError, "unknown measure 'iou'; did you mean 'best-iou'"),
        (
            partial(PlantedShortcut, place=(1,)),
            SettingError,
            r"place must be \(row, column\) from 0 to 1, got \(1,\)",
        ),
        (partial(PlantedShortcut, place=(2, 0)), SettingError, "place must be a number between 0 and 1, got 2"),
        (partial(PlantedShortcut, size=0), SettingError, "size must be a number above 0 and at most 1, got 0"),
        (partial(PlantedShortcut, least=-1), SettingError, "least must be a number between 0 and 1, got -1"),
        (partial(PlantedShortcut, index=-1), SettingError, "index must be an integer of at least 0, got -1"),
    ],
)
def test_wrong_settings_are_reported(make, error, message):
    """The message says what is wrong and what was given."""
    with pytest.raises(error, match=message):
        make()


def test_wrong_input_is_reported():
    """A stamp that is no file, a class that does not exist, and a signal."""
    model, x = case()
    ones = METHODS["ones"]

    with pytest.raises(ImageError, match=r"watermrk: no such file"):
        PlantedShortcut("watermrk")(model, x, 0, x[:, 0], method=ones)
    with pytest.raises(TargetError, match="index must be a class from 0 to 2, got 3"):
        PlantedShortcut(index=3)(model, x, 0, x[:, 0], method=ones)
    toy, signal, target = problem("signal", 1)
    with pytest.raises(ShapeError, match=r"needs images \(N, C, H, W\)"):
        PlantedShortcut()(ExplainedModel(toy), signal, target, signal[:, 0], method=ones)

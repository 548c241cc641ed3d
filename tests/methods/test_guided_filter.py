"""The wrapper by the guided filter: its guide, its radius, its settings."""

from __future__ import annotations

import pytest
import torch

from fusioncam import ExplainedModel
from fusioncam.errors import SettingError
from fusioncam.functional.guided_filter import guided_filter
from fusioncam.functional.heatmaps import minmax
from fusioncam.methods.guided_filter import GuidedFilter
from fusioncam.methods.registry import as_method, parse
from toys import problem

pytestmark = pytest.mark.usefixtures("one_thread")


def left_to_right(model, x, target):
    """Return a heatmap that rises from the left to the right."""
    return torch.linspace(0, 1, x.shape[-1]).expand(len(x), *x.shape[2:]).to(x)


def small():
    """Return a model, images and targets."""
    toy, x, target = problem("small")
    return ExplainedModel(toy, "features"), x, target


def test_the_image_guides_the_heatmap():
    """Its values are rescaled to [0, 1], so that brightness and contrast of the whole image have no effect."""
    model, x, target = small()
    expected = minmax(guided_filter(left_to_right(model, x, target), minmax(x), 2, 0.01))
    method = GuidedFilter(left_to_right, radius=2 / x.shape[-1], eps=0.01)

    torch.testing.assert_close(method(model, x, target), expected)
    torch.testing.assert_close(method(model, 5 * x - 3, target), expected)


def test_images_with_many_channels_are_guided_by_their_mean():
    """Beyond four channels the system of equations of each pixel would be large."""
    model, x, target = small()
    many = torch.cat([x, x.flip(1), x], 1)

    by_many = GuidedFilter(left_to_right)(model, many, target)

    torch.testing.assert_close(by_many, GuidedFilter(left_to_right)(model, many.mean(1, keepdim=True), target))


def test_radius_is_a_share_of_the_shortest_side():
    """It is at least one pixel."""
    model, x, target = small()
    wide = torch.cat([x, x], -1)
    side = x.shape[-1]
    of_two = minmax(guided_filter(left_to_right(model, wide, target), minmax(wide), 2, 1e-3))
    of_one = minmax(guided_filter(left_to_right(model, wide, target), minmax(wide), 1, 1e-3))

    torch.testing.assert_close(GuidedFilter(left_to_right, radius=2 / side)(model, wide, target), of_two)
    torch.testing.assert_close(GuidedFilter(left_to_right, radius=1e-6)(model, wide, target), of_one)


def test_specs_and_names():
    """The wrapper takes any method, and both names return the same."""
    assert parse("guided-filter(method=rise(budget=64), radius=0.2)").method == as_method("rise(budget=64)")[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radius": 0}, "radius must be a number above 0 and at most 1, got 0"),
        ({"radius": 1.5}, "radius must be a number above 0 and at most 1, got 1.5"),
        ({"eps": 0}, "eps must be a number above 0, got 0"),
        ({"eps": float("nan")}, "eps must be a number above 0, got nan"),
    ],
)
def test_wrong_settings_are_reported(settings, message):
    """A message says what is allowed."""
    with pytest.raises(SettingError, match=message):
        GuidedFilter(**settings)

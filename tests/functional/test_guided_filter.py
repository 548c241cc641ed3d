"""The guided filter: closed forms, and windows at the border."""

from __future__ import annotations

import pytest
import torch

from fusioncam.functional.guided_filter import guided_filter


def random(*shape):
    """Return random numbers, the same in every run."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("sides", [(7,), (6, 5), (3, 4, 5)], ids=["signal", "image", "volume"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_linear_function_of_the_guide_stays(sides, channels):
    """Without a penalty its fit is exact in every window."""
    guide = random(2, channels, *sides)
    maps = (guide * torch.arange(1, channels + 1).reshape(-1, *[1] * len(sides))).sum(1) + 0.5

    torch.testing.assert_close(guided_filter(maps, guide, 2, 1e-12), maps, atol=1e-6, rtol=0)


def test_a_constant_guide_averages_twice():
    """Only the constant is fitted; windows are cut at the border: of 4 places, the first sees the first two."""
    maps = torch.tensor([[4.0, 0.0, 0.0, 8.0]])
    means = torch.tensor([[2.0, 4 / 3, 8 / 3, 4.0]])
    expected = torch.tensor([[5 / 3, 2.0, 8 / 3, 10 / 3]])

    torch.testing.assert_close(guided_filter(means, torch.ones(1, 1, 4), 3, 1.0), torch.full((1, 4), 2.5))
    torch.testing.assert_close(guided_filter(maps, torch.ones(1, 1, 4), 1, 1.0), expected)


def test_a_smooth_map_gets_the_edge_of_the_guide():
    """Where the guide is flat the map becomes flat, and the step of the guide stays sharp."""
    guide = torch.zeros(1, 1, 12, 12)
    guide[..., 6:] = 1
    maps = torch.linspace(0, 1, 12).expand(1, 12, 12)

    filtered = guided_filter(maps, guide, 3, 1e-4)[0, 6]

    assert filtered[6] - filtered[5] > 3 * (maps[0, 0, 6] - maps[0, 0, 5])
    assert (filtered.diff() >= -1e-6).all()


def test_a_large_penalty_ignores_the_guide():
    """The fit is then the constant, as with a constant guide."""
    maps, guide = random(1, 6, 6), random(1, 3, 6, 6)

    ignored = guided_filter(maps, guide, 2, 1e9)

    torch.testing.assert_close(ignored, guided_filter(maps, torch.ones(1, 1, 6, 6).double(), 2, 1.0))


def test_images_of_a_batch_do_not_affect_each_other():
    """Each map is filtered by its own guide."""
    maps, guide = random(3, 6, 5), random(3, 2, 6, 5)
    alone = torch.cat([guided_filter(maps[n : n + 1], guide[n : n + 1], 2, 1e-2) for n in range(3)])

    torch.testing.assert_close(guided_filter(maps, guide, 2, 1e-2), alone)

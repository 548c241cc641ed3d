"""Test masks, which lie in [0, 1], and the fills that are shown where they are 0."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2.functional import gaussian_blur as torchvision_blur

from fusioncam.functional.heatmaps import minmax, upsample
from fusioncam.functional.masks import FILLS, ChannelMasks, RiseMasks, active_pairs, blend, gaussian_blur

MEAN, STD = torch.tensor([0.5, 0.4, 0.3]).reshape(1, 3, 1, 1), torch.tensor([0.2, 0.2, 0.2]).reshape(1, 3, 1, 1)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["before", "after"]))
def test_channel_masks_lie_between_0_and_1(seed, normalise):
    """Every mask of every active channel is in [0, 1] and has the input's size."""
    activations = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    masks = ChannelMasks(activations, (8, 9), normalise)
    channel, image = active_pairs(masks).unbind(1)

    batch = masks[channel, image]

    assert batch.shape == (6, 8, 9)
    assert batch.min() >= 0
    assert batch.max() <= 1


def test_channel_masks_normalise_after_or_before():
    """With "after" the mask reaches 1 at the input's size, with "before" at the layer's."""
    activations = torch.tensor([[[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]])
    first = (torch.tensor([0]), torch.tensor([0]))
    up = upsample(activations[0], (4, 4))

    torch.testing.assert_close(ChannelMasks(activations, (4, 4))[first], minmax(up))
    torch.testing.assert_close(ChannelMasks(activations, (4, 4), "before")[first], up)
    assert up.max() < 1


def test_constant_channels_are_not_active():
    """Only channels that vary between locations need a pass."""
    activations = torch.rand(2, 3, 4, 4)
    activations[0, 1], activations[1, 2] = 0, 0.7

    masks = ChannelMasks(activations, (8, 8))

    assert masks.shape == (3, 2, 8, 8)
    assert masks.active.tolist() == [[True, True], [False, True], [True, False]]
    assert sorted(map(tuple, active_pairs(masks).tolist())) == [(0, 0), (0, 1), (1, 1), (2, 0)]


def test_pairs_are_ordered_image_by_image():
    """A batch mostly holds masks of one image."""
    assert active_pairs(torch.zeros(2, 3, 4, 4)).tolist() == [[0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2]]


def test_blend_shows_image_and_background():
    """A mask of 1 shows the image, 0 the background, and values between a mixture, in all channels."""
    x, background = torch.full((1, 3, 1, 3), 4.0), torch.full((1, 3, 1, 3), 2.0)

    assert blend(x, torch.tensor([[[0.0, 0.5, 1.0]]]), background).tolist() == [[[[2.0, 3.0, 4.0]]] * 3]


def test_black_is_black():
    """The fill "black" is the normalised black pixel, not the mean colour."""
    x = torch.rand(2, 3, 4, 4)

    black = FILLS["black"](x, MEAN, STD)

    torch.testing.assert_close(black * STD + MEAN, torch.zeros(2, 3, 4, 4))
    assert not FILLS["mean"](x, MEAN, STD).any()


def test_blur_keeps_the_mean_and_loses_the_edges():
    """A blurred image has the size and about the mean of the image, without its detail."""
    x = torch.zeros(1, 3, 64, 64)
    x[..., 32:] = 1

    blurred = FILLS["blur"](x, MEAN, STD)

    assert blurred.shape == x.shape
    assert blurred.diff(dim=-1).abs().max() < 0.05
    torch.testing.assert_close(blurred.mean(), x.mean(), atol=0.02, rtol=0)


def test_blur_of_a_small_image():
    """An image smaller than the kernel is blurred with a smaller kernel."""
    assert FILLS["blur"](torch.rand(1, 3, 8, 9), MEAN, STD).shape == (1, 3, 8, 9)


@pytest.mark.parametrize(("size", "sigma"), [((60, 70), 50), ((60, 70), 25), ((8, 9), 50), ((1, 5), 50)])
def test_blur_equals_torchvision(size, sigma):
    """The kernel has at most 51 pixels a side, and borders are mirrored."""
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    sides = [min(51, side if side % 2 else side - 1) for side in reversed(size)]

    torch.testing.assert_close(
        gaussian_blur(x, sigma), torchvision_blur(x, kernel_size=sides, sigma=[float(sigma)] * 2)
    )


def test_blur_of_signals_and_volumes():
    """Any number of sides is blurred, one after the other."""
    x = torch.rand(1, 2, 7, 9, 11)

    assert gaussian_blur(x, 50).std() < x.std() / 3
    torch.testing.assert_close(gaussian_blur(x[:, :, :, 0, 0], 2), gaussian_blur(x[:, :, :, :1, 0], 2)[..., 0])


def test_rise_masks_by_hand():
    """Two cells for 3 pixels: a grid of 2 is upsampled to 6, and a window of 3 starts within the first cell."""
    masks = RiseMasks(50, torch.zeros(2, 1, 3, dtype=torch.float64), cells=2, keep=0.5, seed=0)
    generator = torch.Generator().manual_seed(0)
    grids, shifts = torch.rand(50, 2, generator=generator) < 0.5, (torch.rand(50, 1, generator=generator) * 2).long()

    batch = masks[torch.arange(50), torch.zeros(50, dtype=torch.long)]

    for grid, shift, mask in zip(grids.double(), shifts, batch, strict=True):
        a, b = grid.tolist()
        large = [a, a, (2 * a + b) / 3, (a + 2 * b) / 3, b, b]  # 6 pixels between the centres of 2
        torch.testing.assert_close(mask, torch.tensor(large[int(shift) : int(shift) + 3], dtype=torch.float64))
    assert tuple(masks.shape) == (50, 2, 3)
    assert masks[torch.tensor([3]), torch.tensor([0])].equal(masks[torch.tensor([3]), torch.tensor([1])])

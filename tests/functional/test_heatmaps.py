"""Test operations on maps against values computed by hand, and by properties that hold for any map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fusioncam.functional.heatmaps import (
    among_highest,
    denoise,
    is_flat,
    minmax,
    percentile,
    similarity_fusion,
    upsample,
    weighted_sum,
)

unit = st.floats(0, 1, width=32)
any_number = st.floats(-1e6, 1e6, width=32)


def tensors(elements, sides=(1, 3)):
    """Return a strategy for batches of maps (N, *s)."""
    shapes = array_shapes(min_dims=sides[0] + 1, max_dims=sides[1] + 1, max_side=6)
    return arrays(np.float32, shapes, elements=elements).map(torch.from_numpy)


@given(tensors(any_number))
def test_minmax_reaches_both_ends_or_is_zero(maps):
    """A rescaled map has the range [0, 1], or is constant and becomes zeros."""
    for scaled in minmax(maps):
        assert (scaled.min().item(), scaled.max().item()) in {(0, 1), (0, 0)}


@given(tensors(any_number))
def test_minmax_keeps_order(maps):
    """Rescaling keeps the order of the values."""
    for before, after in zip(maps.flatten(1), minmax(maps).flatten(1), strict=True):
        assert (after[before.argsort()].diff() >= 0).all()


@given(tensors(unit))
def test_minmax_is_idempotent(maps):
    """Rescaling a second time changes nothing."""
    once = minmax(maps)

    torch.testing.assert_close(minmax(once), once)


@given(tensors(st.floats(0, 1, width=16)), st.floats(0.5, 100), st.floats(0, 10))
def test_minmax_is_invariant_to_scale_and_offset(maps, scale, offset):
    """A positive factor and an added constant change the rescaled map only by rounding."""
    moved = maps.double() * scale + offset
    torch.testing.assert_close(minmax(moved), minmax(maps.double()), atol=1e-6, rtol=0)


def test_minmax_treats_rounding_as_constant():
    """A map whose range is one rounding error becomes zeros, not noise from 0 to 1."""
    maps = torch.full((1, 4, 4), 0.7)
    maps[0, 0, 0] = torch.nextafter(maps[0, 0, 0], torch.tensor(1.0))

    assert not minmax(maps).any()
    assert is_flat(maps).all()


def test_minmax_rescales_each_map_separately():
    """The range of one image of a batch does not affect another."""
    maps = torch.tensor([[0.0, 1.0], [0.0, 100.0]])

    assert minmax(maps).equal(torch.tensor([[0.0, 1.0], [0.0, 1.0]]))


@given(tensors(any_number), st.floats(0, 100))
def test_percentile_equals_numpy(maps, q):
    """The percentile is interpolated as in numpy."""
    expected = np.percentile(maps.double().numpy().reshape(len(maps), -1), q, axis=1)

    torch.testing.assert_close(percentile(maps.double(), q), torch.from_numpy(expected), atol=1e-6, rtol=1e-9)


@given(tensors(unit), st.floats(0, 100))
def test_denoise_zeroes_only_low_values(maps, theta):
    """Kept values are unchanged, and every zeroed value was below every kept one."""
    kept = denoise(maps, theta)

    for before, after in zip(maps.flatten(1), kept.flatten(1), strict=True):
        zeroed, left = after != before, after > 0
        assert (after[zeroed] == 0).all()
        assert not zeroed.any() or before[zeroed].max() < before[left].min()


@given(tensors(unit))
def test_denoise_at_zero_changes_nothing(maps):
    """The 0th percentile is the minimum, and no value lies below it."""
    assert denoise(maps, 0).equal(maps)


def test_equal_values_are_all_among_the_highest():
    """Also if they differ by rounding: the percentile lies between two of them."""
    maps = torch.tensor([[0.0, 0.1, 0.5, 0.5 + 1e-7, 1]])

    assert among_highest(maps, 40).tolist() == [[False, False, True, True, True]]
    assert among_highest(maps, 100).all()


def test_strict_denoise_zeroes_the_percentile_itself():
    """With ``strict`` a value at the percentile is zeroed; otherwise it is kept."""
    maps = torch.tensor([[0.1, 0.2, 0.3]])

    assert denoise(maps, 50).tolist() == maps.where(maps > 0.15, 0).tolist()
    assert denoise(maps, 50, strict=True).tolist() == maps.where(maps > 0.25, 0).tolist()


@given(st.integers(0, 2**32 - 1))
def test_fusion_lies_between_mean_and_maximum(seed):
    """The fusion of two maps in [0, 1] is symmetric, at least their mean and at most their maximum."""
    first, second = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    fused = similarity_fusion(first, second)

    assert fused.equal(similarity_fusion(second, first))
    assert (fused >= (first + second) / 2 - 1e-6).all()
    assert (fused <= torch.maximum(first, second) + 1e-6).all()


def test_fusion_by_hand():
    """a = 0.8, b = 0.4: S = 0.6, so 0.6 x 0.8 + 0.4 x 0.6 = 0.72."""
    torch.testing.assert_close(similarity_fusion(torch.tensor(0.8), torch.tensor(0.4)), torch.tensor(0.72))


def test_fusion_of_equal_maps_is_the_map():
    """Fusing a map with itself returns it."""
    maps = torch.rand(2, 4, 4)

    torch.testing.assert_close(similarity_fusion(maps, maps), maps)


def test_fusion_clips_large_differences():
    """Values that differ by more than 1 have a similarity of 0: the fusion is their mean."""
    assert similarity_fusion(torch.tensor(3.0), torch.tensor(-1.0)) == 1


@pytest.mark.parametrize("size", [(8,), (8, 6), (8, 6, 4)])
def test_upsample_keeps_constants_and_sizes(size):
    """Maps of one, two and three sides get the requested size."""
    small = torch.full((2,) + (2,) * len(size), 0.25)

    assert upsample(small, size).equal(torch.full((2, *size), 0.25))


def test_upsample_keeps_pixel_centres():
    """Two cells become four pixels without aligned corners."""
    assert upsample(torch.tensor([[0.0, 1.0]]), (4,)).tolist() == [[0.0, 0.25, 0.75, 1.0]]


def test_weighted_sum_by_hand():
    """Each image has its own weights."""
    activations = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])
    weights = torch.tensor([[2.0, 3.0], [-1.0, 0.0]])

    assert weighted_sum(activations, weights).tolist() == [[2.0, 3.0], [-1.0, 0.0]]

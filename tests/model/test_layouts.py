"""Test layouts of a layer's output: channels first, channels last, and tokens with a prefix."""

from __future__ import annotations

from math import ceil, prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fusioncam.model.layouts import Layout, even

# sides of images, and of their maps
SIZES = [((32, 32), (4, 4)), ((256, 128), (16, 8)), ((96, 288), (6, 18)), ((224, 224), (14, 14))]
PREFIXES = [0, 1, 2, 5]


def numbered(*shape):
    """Return a tensor of distinct values."""
    return torch.arange(prod(shape), dtype=torch.float64).reshape(shape)


def as_first(maps, prefix):
    """Return maps in the layout of a convolution."""
    return maps


def as_last(maps, prefix):
    """Return maps with channels last."""
    return maps.movedim(1, -1).contiguous()


def as_tokens(maps, prefix):
    """Return maps as tokens, after ``prefix`` other tokens."""
    tokens = maps.flatten(2).transpose(1, 2)
    return torch.cat([-1 - numbered(len(maps), prefix, maps.shape[1]), tokens], 1)


def layout_of(form, sides, prefix):
    """Return the layout of maps in that form."""
    return Layout(sides, form is as_first, prefix)


FORMS = [(as_first, 0), (as_last, 0), *((as_tokens, prefix) for prefix in PREFIXES)]


# -- reading and writing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("full", "sides"), SIZES)
@pytest.mark.parametrize(("form", "prefix"), FORMS)
def test_maps_are_read_and_written_back(form, prefix, full, sides):
    """Maps are read as (N, K, h, w) and written back."""
    maps = numbered(2, 11, *sides)
    output = form(maps, prefix)

    layout = layout_of(form, sides, prefix)

    assert layout.maps(output).equal(maps)
    assert layout.output(layout.maps(output), output).equal(output)
    assert layout.output(maps + 0.5, output).equal(torch.where(output < 0, output, output + 0.5))


@pytest.mark.parametrize(("form", "prefix"), FORMS)
def test_changed_copies_of_one_image_are_written(form, prefix):
    """Changed maps of one image become a batch, each with the prefix of the image."""
    copies = numbered(5, 3, 4, 8)
    single = form(numbered(1, 3, 4, 8), prefix)
    layout = layout_of(form, (4, 8), prefix)

    output = layout.output(copies, single)

    assert output.shape == (5, *single.shape[1:])
    assert layout.maps(output).equal(copies)
    if prefix:
        assert output[:, :prefix].equal(single[:, :prefix].expand(5, -1, -1))


def test_writing_does_not_change_the_output():
    """Maps are written to a copy of the layer's output."""
    output = as_tokens(numbered(2, 3, 4, 4), 1)
    before = output.clone()

    Layout((4, 4), False, 1).output(torch.zeros(2, 3, 4, 4, dtype=torch.float64), output)

    assert output.equal(before)


@pytest.mark.parametrize("sides", [(6,), (13,), (4, 4, 4), (5, 6, 7)])
@pytest.mark.parametrize(("form", "prefix"), FORMS)
def test_signals_and_volumes_are_read(form, prefix, sides):
    """Maps have any number of sides."""
    maps = numbered(2, 5, *sides)
    layout, output = layout_of(form, sides, prefix), form(maps, prefix)

    assert layout.maps(output).equal(maps)
    assert layout.output(maps, output).equal(output)


@pytest.mark.parametrize(("form", "prefix"), FORMS)
def test_swapped_sides_are_read_and_written_back(form, prefix):
    """Rows and columns of a network that transposes its input are those of the input again."""
    maps = numbered(2, 5, 3, 4)
    layout = Layout((4, 3), form is as_first, prefix, swapped=True)
    output = form(maps.mT, prefix)

    assert layout.map_sides == (3, 4)
    assert layout.maps(output).equal(maps)
    assert layout.output(maps, output).equal(output)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_tokens_behind_the_maps_are_kept(prefix):
    """Tokens after the spatial ones are neither read nor changed."""
    maps = numbered(2, 5, 3, 4)
    output = torch.cat([as_tokens(maps, prefix), -1 - numbered(2, 7, 5)], 1)
    layout = Layout((3, 4), False, prefix, 7)

    assert layout.maps(output).equal(maps)
    assert layout.output(maps + 0.5, output).equal(torch.where(output < 0, output, output + 0.5))


# -- properties -----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 512), min_size=1, max_size=3), st.integers(1, 64))
def test_sides_divided_by_one_stride_are_even(full, stride):
    """Sides may be rounded up or down."""
    assert even([side // stride for side in full], full)
    assert even([ceil(side / stride) for side in full], full)


@given(st.integers(8, 256), st.integers(8, 256), st.integers(1, 6), st.integers(1, 6))
def test_sides_divided_by_two_strides_are_not_even(rows, columns, first, second):
    """One side divided by twice the other's stride is uneven, and so is a side larger than the image's."""
    full = (rows * 8, columns * 8)
    sides = (full[0] // first, full[1] // (second * 2 * first))

    assert not even(sides, full)
    assert not even((full[0] + 1, full[1]), full)
    assert not even((full[0], full[1] + 1), full)


@given(st.lists(st.integers(1, 300), min_size=2, max_size=2), st.integers(8, 300), st.integers(8, 300))
def test_even_is_symmetric_in_the_sides(sides, rows, columns):
    """Swapping rows and columns of both changes nothing."""
    assert even(sides, (rows, columns)) == even(sides[::-1], (columns, rows))

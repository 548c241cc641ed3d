"""Test layouts of a layer's output: channels first, channels last, and tokens with a prefix."""

from __future__ import annotations

from math import ceil, prod

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from fusioncam.errors import LayerError
from fusioncam.model.layouts import MAX_PREFIX, Layout, even, layout_of, named_layout, token_grid

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


FORMS = [(as_first, 0), (as_last, 0), *((as_tokens, prefix) for prefix in PREFIXES)]


# -- reading and writing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("full", "sides"), SIZES)
@pytest.mark.parametrize(("form", "prefix"), FORMS)
def test_maps_are_read_and_written_back(form, prefix, full, sides):
    """The layout follows from the shape, and maps are read as (N, K, h, w) and written back."""
    maps = numbered(2, 11, *sides)
    output = form(maps, prefix)

    layout = layout_of(output.shape, (2, 3, *full))

    assert (layout.sides, layout.prefix, layout.channels_first) == (sides, prefix, form is as_first)
    assert layout.maps(output).equal(maps)
    assert layout.output(layout.maps(output), output).equal(output)
    assert layout.output(maps + 0.5, output).equal(torch.where(output < 0, output, output + 0.5))


@pytest.mark.parametrize(("form", "prefix"), FORMS)
def test_changed_copies_of_one_image_are_written(form, prefix):
    """Changed maps of one image become a batch, each with the prefix of the image."""
    copies = numbered(5, 3, 4, 8)
    single = form(numbered(1, 3, 4, 8), prefix)
    layout = layout_of(single.shape, (1, 3, 16, 32))

    output = layout.output(copies, single)

    assert output.shape == (5, *single.shape[1:])
    assert layout.maps(output).equal(copies)
    if prefix:
        assert output[:, :prefix].equal(single[:, :prefix].expand(5, -1, -1))


def test_writing_does_not_change_the_output():
    """Maps are written to a copy of the layer's output."""
    output = as_tokens(numbered(2, 3, 4, 4), 1)
    before = output.clone()

    layout_of(output.shape, (2, 3, 32, 32)).output(torch.zeros(2, 3, 4, 4, dtype=torch.float64), output)

    assert output.equal(before)


@pytest.mark.parametrize(
    ("full", "sides"), [((12,), (6,)), ((50,), (13,)), ((8, 8, 8), (4, 4, 4)), ((10, 12, 14), (5, 6, 7))]
)
def test_signals_and_volumes_are_read(full, sides):
    """Maps have as many sides as the input; for signals, channels first is preferred where both layouts fit."""
    maps = numbered(2, 5, *sides)

    for form in (as_first, as_last):
        layout = layout_of(form(maps, 0).shape, (2, 1, *full), sides)
        assert layout.sides == sides
        assert layout.maps(form(maps, 0)).equal(maps)
    assert layout_of(maps.shape, (2, 1, *full)) == Layout(sides)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_tokens_of_a_volume_are_read_by_a_given_grid(prefix):
    """The grid need not be in proportion to the input."""
    maps = numbered(2, 5, 2, 3, 4)
    output = as_tokens(maps, prefix)

    layout = layout_of(output.shape, (2, 1, 8, 8, 8), grid=(2, 3, 4))

    assert layout == Layout((2, 3, 4), channels_first=False, prefix=prefix)
    assert layout.maps(output).equal(maps)
    assert layout.output(maps, output).equal(output)


# -- shapes that are not feature maps -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "x"),
    [
        ((2, 10), (2, 3, 32, 32)),  # scores
        ((2, 10, 1, 1), (2, 3, 32, 32)),  # pooled
        ((2, 5, 64, 64), (2, 3, 32, 32)),  # larger than the image
        ((2, 4, 16, 2), (2, 3, 32, 32)),  # divided unevenly
        ((2, 13, 8), (2, 3, 32, 32)),  # tokens without a grid
        ((2, 4, 8, 8, 8), (2, 3, 32, 32)),  # more sides
    ],
)
def test_other_shapes_are_not_feature_maps(shape, x):
    """Scores, pooled features and tokens without a grid have no layout."""
    assert layout_of(shape, x) is None


def test_named_layer_may_have_other_proportions():
    """A layer that the user names may have sides out of proportion to the input."""
    assert layout_of((2, 4, 16, 2), (2, 3, 32, 32)) is None
    assert named_layout("odd", (2, 4, 16, 2), (2, 3, 32, 32)) == Layout((16, 2))


@pytest.mark.parametrize(
    ("shape", "x", "grid", "message"),
    [
        ((2, 10), (2, 3, 32, 32), None, r"'head' outputs \(2, 10\).*\(N, K, h, w\).*\(N, h, w, K\).*\(N, T, K\)"),
        ((2, 10), (2, 3, 32, 32), None, r"in proportion to \(32, 32\) after at most 16"),
        ((2, 5, 1, 1), (2, 3, 32, 32), None, r"outputs \(2, 5, 1, 1\)"),
        ((2, 10), (2, 3, 32), None, r"\(N, K, w\).*\(N, w, K\)"),
        ((2, 10), (2, 3, 8, 8, 8), None, r"\(N, K, d, h, w\).*\(N, d, h, w, K\)"),
        ((2, 40, 8), (2, 3, 32, 32), (4, 4), r"form a grid of \(4, 4\) after at most 16.*grid=\(rows, columns\)"),
        ((1, 4, 8, 8), (2, 3, 32, 32), None, r"outputs \(1, 4, 8, 8\)"),  # another batch size
    ],
)
def test_named_layer_without_feature_maps_is_reported(shape, x, grid, message):
    """The error states the shape of the output and the layouts that were tried."""
    with pytest.raises(LayerError, match=message):
        named_layout("head", shape, x, grid)


def test_passed_grid_is_used():
    """It overrides the grid that follows from the number of tokens, and other sides do not fit."""
    assert layout_of((1, 17, 8), (1, 3, 32, 32)) == Layout((4, 4), False, 1)
    assert layout_of((1, 17, 8), (1, 3, 32, 32), (2, 8)) == Layout((2, 8), False, 1)
    assert layout_of((1, 17, 8), (1, 3, 32, 32), (3, 3)) == Layout((3, 3), False, 8)
    assert layout_of((1, 8, 8, 4), (1, 3, 32, 32), (2, 4)) is None
    assert layout_of((1, 15, 8), (1, 3, 32, 32), (4, 4)) is None
    assert layout_of((1, 16 + MAX_PREFIX + 1, 8), (1, 3, 32, 32), (4, 4)) is None


# -- properties -----------------------------------------------------------------------------------------------

patched = st.tuples(st.integers(2, 40), st.integers(2, 40), st.integers(2, 32))


@given(patched, st.sampled_from(PREFIXES))
def test_grid_of_patches_is_found(sizes, prefix):
    """The number of patches determines the grid, or a larger one of the same proportions."""
    rows, columns, patch = sizes
    assume(prefix <= rows * columns)
    full = (rows * patch, columns * patch)

    grid = token_grid(rows * columns + prefix, full)

    assert grid is not None
    assert rows * columns <= prod(grid) <= rows * columns + prefix
    if prefix == 0:
        assert grid == (rows, columns)


@given(st.integers(1, 4000), st.lists(st.integers(2, 256), min_size=1, max_size=2).map(tuple))
def test_grid_fits_the_tokens(tokens, full):
    """A grid has at most as many locations as tokens, not many fewer, and is the image divided by one number."""
    grid = token_grid(tokens, full)

    if grid is not None:
        assert 1 < prod(grid) <= tokens <= min(prod(grid) + MAX_PREFIX, 2 * prod(grid))
        patches = range(1, max(full))
        assert any(
            grid in (tuple(side // patch for side in full), tuple(ceil(side / patch) for side in full))
            for patch in patches
        )


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

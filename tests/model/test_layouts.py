"""How maps lie in what a layer gives: channels first, channels last, tokens with others in front."""

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
IN_FRONT = [0, 1, 2, 5]


def numbered(*shape):
    """Give a tensor in which every value is another."""
    return torch.arange(prod(shape), dtype=torch.float64).reshape(shape)


def as_first(maps, front):
    """Write maps as a convolution gives them."""
    return maps


def as_last(maps, front):
    """Write maps with the channels behind the sides."""
    return maps.movedim(1, -1).contiguous()


def as_tokens(maps, front):
    """Write maps as tokens, with as many others in front."""
    tokens = maps.flatten(2).transpose(1, 2)
    return torch.cat([-1 - numbered(len(maps), front, maps.shape[1]), tokens], 1)


FORMS = [(as_first, 0), (as_last, 0), *((as_tokens, front) for front in IN_FRONT)]


# -- maps, output, maps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("full", "sides"), SIZES)
@pytest.mark.parametrize(("form", "front"), FORMS)
def test_maps_are_read_and_written_back(form, front, full, sides):
    """What a layer gives is told by its shape, read as (N, K, h, w), and maps go back the way that they came."""
    maps = numbered(2, 11, *sides)
    output = form(maps, front)

    layout = layout_of(output.shape, (2, 3, *full))

    assert (layout.sides, layout.prefix, layout.channels_first) == (sides, front, form is as_first)
    assert layout.maps(output).equal(maps)
    assert layout.output(layout.maps(output), output).equal(output)
    assert layout.output(maps + 0.5, output).equal(torch.where(output < 0, output, output + 0.5))


@pytest.mark.parametrize(("form", "front"), FORMS)
def test_copies_of_one_image_are_written(form, front):
    """Many changed maps of one image go on as a batch, each with the tokens that were in front."""
    copies = numbered(5, 3, 4, 8)
    one = form(numbered(1, 3, 4, 8), front)
    layout = layout_of(one.shape, (1, 3, 16, 32))

    output = layout.output(copies, one)

    assert output.shape == (5, *one.shape[1:])
    assert layout.maps(output).equal(copies)
    if front:
        assert output[:, :front].equal(one[:, :front].expand(5, -1, -1))


def test_writing_leaves_the_output_alone():
    """New maps are written into a copy: what the layer gave stays as it was."""
    output = as_tokens(numbered(2, 3, 4, 4), 1)
    before = output.clone()

    layout_of(output.shape, (2, 3, 32, 32)).output(torch.zeros(2, 3, 4, 4, dtype=torch.float64), output)

    assert output.equal(before)


@pytest.mark.parametrize(
    ("full", "sides"), [((12,), (6,)), ((50,), (13,)), ((8, 8, 8), (4, 4, 4)), ((10, 12, 14), (5, 6, 7))]
)
def test_signals_and_volumes_are_read(full, sides):
    """Maps have as many sides as the input; of a signal channels come first where both would do."""
    maps = numbered(2, 5, *sides)

    for form in (as_first, as_last):
        layout = layout_of(form(maps, 0).shape, (2, 1, *full), sides)
        assert layout.sides == sides
        assert layout.maps(form(maps, 0)).equal(maps)
    assert layout_of(maps.shape, (2, 1, *full)) == Layout(sides)


@pytest.mark.parametrize("front", IN_FRONT)
def test_tokens_of_a_volume_are_read_by_a_given_grid(front):
    """Also a grid that is in no proportion to the input."""
    maps = numbered(2, 5, 2, 3, 4)
    output = as_tokens(maps, front)

    layout = layout_of(output.shape, (2, 1, 8, 8, 8), grid=(2, 3, 4))

    assert layout == Layout((2, 3, 4), channels_first=False, prefix=front)
    assert layout.maps(output).equal(maps)
    assert layout.output(maps, output).equal(output)


# -- what is no map -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "x"),
    [
        ((2, 10), (2, 3, 32, 32)),  # scores
        ((2, 10, 1, 1), (2, 3, 32, 32)),  # pooled
        ((2, 5, 64, 64), (2, 3, 32, 32)),  # larger than the image
        ((2, 4, 16, 2), (2, 3, 32, 32)),  # made smaller unevenly
        ((2, 13, 8), (2, 3, 32, 32)),  # tokens of no grid
        ((2, 4, 8, 8, 8), (2, 3, 32, 32)),  # more sides
    ],
)
def test_other_shapes_are_no_maps(shape, x):
    """Scores, pooled features, tokens of no grid: nothing is read into them."""
    assert layout_of(shape, x) is None


def test_a_named_layer_may_have_odd_sides():
    """Somebody who names a layer knows why; of a layer that nobody named odd sides are no maps."""
    assert layout_of((2, 4, 16, 2), (2, 3, 32, 32)) is None
    assert named_layout("odd", (2, 4, 16, 2), (2, 3, 32, 32)) == Layout((16, 2))


@pytest.mark.parametrize(
    ("shape", "x", "grid", "told"),
    [
        ((2, 10), (2, 3, 32, 32), None, r"'head' outputs \(2, 10\).*\(N, K, h, w\).*\(N, h, w, K\).*\(N, T, K\)"),
        ((2, 10), (2, 3, 32, 32), None, r"in proportion to \(32, 32\) after at most 16"),
        ((2, 5, 1, 1), (2, 3, 32, 32), None, r"outputs \(2, 5, 1, 1\)"),
        ((2, 10), (2, 3, 32), None, r"\(N, K, w\).*\(N, w, K\)"),
        ((2, 10), (2, 3, 8, 8, 8), None, r"\(N, K, d, h, w\).*\(N, d, h, w, K\)"),
        ((2, 40, 8), (2, 3, 32, 32), (4, 4), r"form a grid of \(4, 4\) after at most 16.*grid=\(rows, columns\)"),
        ((1, 4, 8, 8), (2, 3, 32, 32), None, r"outputs \(1, 4, 8, 8\)"),  # not of the images of the batch
    ],
)
def test_a_named_layer_without_maps_is_told(shape, x, grid, told):
    """The error shows what the layer gave and the layouts that were tried."""
    with pytest.raises(LayerError, match=told):
        named_layout("head", shape, x, grid)


def test_a_given_grid_decides():
    """It overrules what the number of tokens would tell, and refuses maps of other sides."""
    assert layout_of((1, 17, 8), (1, 3, 32, 32)) == Layout((4, 4), False, 1)
    assert layout_of((1, 17, 8), (1, 3, 32, 32), (2, 8)) == Layout((2, 8), False, 1)
    assert layout_of((1, 17, 8), (1, 3, 32, 32), (3, 3)) == Layout((3, 3), False, 8)
    assert layout_of((1, 8, 8, 4), (1, 3, 32, 32), (2, 4)) is None
    assert layout_of((1, 15, 8), (1, 3, 32, 32), (4, 4)) is None
    assert layout_of((1, 16 + MAX_PREFIX + 1, 8), (1, 3, 32, 32), (4, 4)) is None


# -- properties -----------------------------------------------------------------------------------------------

patched = st.tuples(st.integers(2, 40), st.integers(2, 40), st.integers(2, 32))


@given(patched, st.sampled_from(IN_FRONT))
def test_the_grid_of_patches_is_found_again(sizes, front):
    """Patches that fill the image: their number tells the grid, or a larger one of the same proportions."""
    rows, columns, patch = sizes
    assume(front <= rows * columns)
    full = (rows * patch, columns * patch)

    grid = token_grid(rows * columns + front, full)

    assert grid is not None
    assert rows * columns <= prod(grid) <= rows * columns + front
    if front == 0:
        assert grid == (rows, columns)


@given(st.integers(1, 4000), st.lists(st.integers(2, 256), min_size=1, max_size=2).map(tuple))
def test_a_grid_holds_the_tokens(tokens, full):
    """No grid has more places than tokens, or many fewer, and each is the image made smaller by one number."""
    grid = token_grid(tokens, full)

    if grid is not None:
        assert 1 < prod(grid) <= tokens <= min(prod(grid) + MAX_PREFIX, 2 * prod(grid))
        patches = range(1, max(full))
        assert any(
            grid in (tuple(side // patch for side in full), tuple(ceil(side / patch) for side in full))
            for patch in patches
        )


@given(st.lists(st.integers(1, 512), min_size=1, max_size=3), st.integers(1, 64))
def test_strided_maps_are_even(full, stride):
    """Sides divided by one stride, rounded either way, are the image's."""
    assert even([side // stride for side in full], full)
    assert even([ceil(side / stride) for side in full], full)


@given(st.integers(8, 256), st.integers(8, 256), st.integers(1, 6), st.integers(1, 6))
def test_maps_of_two_strides_are_not_even(rows, columns, first, second):
    """A side made smaller by twice what the other is, beyond rounding, is another image's; so is a larger one."""
    full = (rows * 8, columns * 8)
    sides = (full[0] // first, full[1] // (second * 2 * first))

    assert not even(sides, full)
    assert not even((full[0] + 1, full[1]), full)
    assert not even((full[0], full[1] + 1), full)


@given(st.lists(st.integers(1, 300), min_size=2, max_size=2), st.integers(8, 300), st.integers(8, 300))
def test_even_does_not_ask_which_side_is_which(sides, rows, columns):
    """An image on its side has maps on their side."""
    assert even(sides, (rows, columns)) == even(sides[::-1], (columns, rows))

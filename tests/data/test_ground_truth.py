"""Boxes and masks of the target class: checked, cut at the borders, drawn, and taken apart into pieces."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusioncam.data.ground_truth import REGIONS, Truth, required
from fusioncam.errors import MissingExtraError, MissingTruthError, ShapeError, UnknownNameError
from fusioncam.functional.boxes import components, rasterise
from twins import localization as twin

SIZE = (3, 4)


def grid(*rows):
    """Give a boolean mask from rows of dots and crosses."""
    return torch.tensor([[cell == "x" for cell in row] for row in rows])


@pytest.mark.parametrize(
    ("box", "rows"),
    [
        ((0, 0, 4, 3), ("xxxx", "xxxx", "xxxx")),
        ((1, 0, 3, 1), (".xx.", "....", "....")),
        ((0.5, 0.5, 1.5, 2.5), ("x...", "x...", "....")),
        ((0.51, 0.51, 1.51, 2.51), ("....", ".x..", ".x..")),
        ((2.6, 1.6, 2.9, 1.9), ("....", "..x.", "....")),
        ((3.6, 2.6, 9, 9), ("....", "....", "...x")),
        ((-5, -5, 0.4, 0.4), ("x...", "....", "....")),
    ],
)
def test_boxes_by_hand(box, rows):
    """A pixel belongs where its centre is, on the left and upper edge too; a box between centres marks one."""
    truth = Truth(SIZE, [[box]])

    assert truth.mask("test").equal(grid(*rows)[None])


def test_boxes_are_cut_at_the_borders():
    """What reaches out is cut, what is outside or only touches the border is left out."""
    truth = Truth(SIZE, [[(-2, 1, 2, 9), (4, 0, 6, 3), (-3, 0, 0, 3), (9, 9, 10, 10)]])

    assert truth.boxes("test")[0].tolist() == [[0, 1, 2, 3]]


def test_what_is_known():
    """The finest: a mask where there is one, else the boxes; an empty mask and no boxes tell nothing."""
    mask = grid("x...", "....", "....")
    truth = Truth(
        SIZE, [[(1, 0, 3, 1)], [], None, [(1, 0, 3, 1)], [(5, 5, 6, 6)]], [None, mask, None, mask, mask & False]
    )

    assert len(truth) == 5
    assert truth.known().tolist() == [True, True, False, True, False]
    assert truth.known("box").tolist() == [True, True, False, True, False]
    assert truth.known("mask").tolist() == [False, True, False, True, False]
    for region, image in (("finest", 2), ("box", 2), ("mask", 0)):
        with pytest.raises(MissingTruthError, match=rf"'test' needs .*image {image} of 5 has none"):
            truth.mask("test", region)
    with pytest.raises(MissingTruthError, match="needs boxes or a mask"):
        truth.boxes("test")
    with pytest.raises(UnknownNameError, match="unknown region 'boxes'"):
        truth.known("boxes")


def test_which_region():
    """An image with a box and a mask gives either, or the mask as the finer one."""
    mask = grid("x...", "....", "....")
    truth = Truth(SIZE, [[(1, 0, 3, 1)]], mask[None])

    assert [truth.mask("test", one)[0].tolist() for one in REGIONS] == [
        mask.tolist(),
        grid(".xx.", "....", "....").tolist(),
        mask.tolist(),
    ]


def test_boxes_of_a_mask_are_those_of_its_pieces():
    """Two things in two corners have no box that is nearly the image."""
    truth = Truth(SIZE, masks=grid("x..x", "x...", "..xx")[None])

    assert truth.boxes("test")[0].tolist() == [[0, 0, 1, 2], [3, 0, 4, 1], [2, 2, 4, 3]]
    assert truth.mask("test", "box")[0].equal(grid("x..x", "x...", "..xx"))


def test_masks_of_numbers_are_taken():
    """0 and 1, or 0 and 255, are masks too."""
    assert Truth(SIZE, masks=[grid("x...", "....", "....").byte() * 255]).mask("test").sum() == 1


@pytest.mark.parametrize(
    ("boxes", "masks", "message"),
    [
        (None, None, "got neither"),
        ([[], []], torch.zeros(1, 3, 4, dtype=torch.bool), r"of the same images, got \[1, 2\]"),
        ([[(1, 2, 3)]], None, r"boxes of image 0 are \(B, 4\), got \(1, 3\)"),
        ([[], (1, 2, 3, 4)], None, r"boxes of image 1 are \(B, 4\), got \(4,\)"),
        ([[(1, 1, 1, 2)]], None, r"image 0 has the box \[1\.0, 1\.0, 1\.0, 2\.0\]: the first corner lies before"),
        ([[(2, 1, 1, 2)]], None, "the first corner lies before"),
        ([[(0, 0, 1, 1), (0, 0, math.nan, 2)]], None, "image 0 has the box .*nan"),
        ([[(0, 0, math.inf, 2)]], None, "all of them finite"),
        (
            None,
            torch.zeros(1, 4, 3, dtype=torch.bool),
            r"mask of image 0 is boolean \(3, 4\), got torch.bool \(4, 3\)",
        ),
        (None, torch.zeros(1, 3, 4), r"got torch.float32 \(3, 4\)"),
    ],
)
def test_what_is_no_truth_is_told(boxes, masks, message):
    """Which image, what was expected, what was got."""
    with pytest.raises(ShapeError, match=message):
        Truth(SIZE, boxes, masks)


def test_truth_and_heatmaps_belong_together():
    """No truth, or one of other images, is told."""
    truth = Truth(SIZE, [[(0, 0, 1, 1)]])

    assert required(truth, "test", torch.zeros(1, *SIZE)) is truth
    with pytest.raises(MissingTruthError, match="'test' needs to know where the target class is"):
        required(None, "test", torch.zeros(1, *SIZE))
    for shape in ((2, *SIZE), (1, 4, 3)):
        with pytest.raises(ShapeError, match=r"truth of \(1, 3, 4\)"):
            required(truth, "test", torch.zeros(shape))


def test_signals_and_volumes():
    """Boxes have the last side first, whatever the number of sides."""
    assert Truth([5], [[(1, 3)]]).mask("test").tolist() == [[False, True, True, False, False]]
    volume = Truth([2, 3, 4], [[(1, 0, 0, 3, 1, 2)]]).mask("test")[0]
    assert volume.nonzero().tolist() == [[z, 0, x] for z in (0, 1) for x in (1, 2)]
    assert Truth([2, 3, 4], masks=volume[None]).boxes("test")[0].tolist() == [[1, 0, 0, 3, 1, 2]]


masks = st.tuples(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.floats(0.1, 0.9), st.integers(0, 999)
).map(lambda one: torch.rand(one[:3], generator=torch.Generator().manual_seed(one[4])) < one[3])


@settings(deadline=None)  # the first call imports scipy
@given(masks)
def test_components_are_what_a_flood_reaches(some):
    """Pieces, boxes and pixels, in the same order; corners touch, and nothing touches another image."""
    image, boxes, pixels = components(some)

    expected = []
    for n, mask in enumerate(some):
        for piece in twin.pieces(map(tuple, mask.nonzero().tolist())):
            expected.append([n, *twin.box_of(piece), len(piece)])
    found = [[int(n), *map(int, box), int(size)] for n, box, size in zip(image, boxes, pixels, strict=True)]
    assert found == expected


@pytest.mark.parametrize("shape", [(2, 30), (2, 5, 6, 7)])
def test_components_of_signals_and_volumes(shape):
    """Any number of sides."""
    some = torch.rand(shape) < 0.3
    _, boxes, pixels = components(some)

    sizes = [len(piece) for mask in some for piece in twin.pieces(map(tuple, mask.nonzero().tolist()))]
    assert pixels.tolist() == sizes
    assert boxes.shape == (len(sizes), 2 * (len(shape) - 1))


def test_pieces_need_scipy(monkeypatch):
    """Which is told, and is not taken for an image without a truth."""
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    with pytest.raises(
        MissingExtraError, match=r'boxes around pieces need scipy: pip install "fusioncam\[benchmark\]"'
    ):
        components(torch.ones(1, 2, 2, dtype=torch.bool))


def test_a_long_snake_is_one_piece():
    """Runs that are joined only by many others."""
    snake = torch.ones(31, 31, dtype=torch.bool)
    snake[1::4, :-1] = False
    snake[3::4, 1:] = False

    image, boxes, pixels = components(snake[None])

    assert (image.tolist(), boxes.tolist(), pixels.tolist()) == ([0], [[0, 0, 31, 31]], [int(snake.sum())])


@given(st.lists(st.tuples(*[st.floats(-3, 12)] * 4), max_size=4))
def test_drawn_boxes_are_those_of_their_pixels(corners):
    """Pixel by pixel: the centre is inside, or the box is between centres and this pixel has its middle."""
    boxes = [(min(a, c), min(b, d), max(a, c) + 0.01, max(b, d) + 0.01) for a, b, c, d in corners]
    truth = Truth((7, 9), [boxes])
    cut = truth.boxes("test")[0] if truth.known().all() else torch.zeros(0, 4)

    def within(low, high, pixel, side):
        centres = [one for one in range(side) if low <= one + 0.5 < high]
        return pixel in (centres or [math.floor((low + high) / 2)])

    drawn = rasterise(cut.double(), (7, 9))
    for i in range(7):
        for j in range(9):
            inside = any(within(x0, x1, j, 9) and within(y0, y1, i, 7) for x0, y0, x1, y1 in cut.tolist())
            assert drawn[i, j] == inside
    assert not len(cut) or drawn.any()

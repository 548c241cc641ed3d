"""Test boxes and masks of the target class: validation, clipping, drawing and connected components."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusioncam.data.ground_truth import REGIONS, Truth, require_truth
from fusioncam.errors import MissingExtraError, MissingTruthError, SettingError, ShapeError, UnknownNameError
from fusioncam.functional.boxes import connected_components, rasterise
from twins import localization as twin

SIZE = (3, 4)


def grid(*rows):
    """Return a boolean mask from rows of dots and crosses."""
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
def test_box_covers_the_pixels_whose_centres_it_contains(box, rows):
    """Left and upper edges are inclusive; a box between centres covers one pixel."""
    truth = Truth(SIZE, [[box]])

    assert truth.mask("test").equal(grid(*rows)[None])


def test_boxes_are_clipped_to_the_image():
    """Boxes outside the image, or that only touch its border, are dropped."""
    truth = Truth(SIZE, [[(-2, 1, 2, 9), (4, 0, 6, 3), (-3, 0, 0, 3), (9, 9, 10, 10)]])

    assert truth.boxes("test")[0].tolist() == [[0, 1, 2, 3]]


def test_known_images_of_each_region():
    """The finest region is the mask if there is one, else the boxes; an empty mask and an empty list are no truth."""
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


def test_mask_of_each_region():
    """The finest region of an image with a box and a mask is the mask."""
    mask = grid("x...", "....", "....")
    truth = Truth(SIZE, [[(1, 0, 3, 1)]], mask[None])

    assert [truth.mask("test", region)[0].tolist() for region in REGIONS] == [
        mask.tolist(),
        grid(".xx.", "....", "....").tolist(),
        mask.tolist(),
    ]


def test_boxes_of_a_mask_are_those_of_its_components():
    """Two objects in two corners do not get one box that covers nearly the whole image."""
    truth = Truth(SIZE, masks=grid("x..x", "x...", "..xx")[None])

    assert truth.boxes("test")[0].tolist() == [[0, 0, 1, 2], [3, 0, 4, 1], [2, 2, 4, 3]]
    assert truth.mask("test", "box")[0].equal(grid("x..x", "x...", "..xx"))


def test_masks_of_integers_are_accepted():
    """A mask may be 0 and 1, or 0 and 255."""
    assert Truth(SIZE, masks=[grid("x...", "....", "....").byte() * 255]).mask("test").sum() == 1


@pytest.mark.parametrize(
    ("boxes", "masks", "message"),
    [
        ([[], []], torch.zeros(1, 3, 4, dtype=torch.bool), r"must be of the same images, got \[1, 2\]"),
        ([[(1, 2, 3)]], None, r"boxes of image 0 must be \(B, 4\), got \(1, 3\)"),
        ([[], (1, 2, 3, 4)], None, r"boxes of image 1 must be \(B, 4\), got \(4,\)"),
        (
            None,
            torch.zeros(1, 4, 3, dtype=torch.bool),
            r"mask of image 0 must be boolean \(3, 4\), got torch.bool \(4, 3\)",
        ),
        (None, torch.zeros(1, 3, 4), r"got torch.float32 \(3, 4\)"),
    ],
)
def test_boxes_and_masks_of_the_wrong_shape_are_reported(boxes, masks, message):
    """The message names the image, the expected shape and the shape given."""
    with pytest.raises(ShapeError, match=message):
        Truth(SIZE, boxes, masks)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (None, "got neither"),
        (
            [[(1, 1, 1, 2)]],
            r"the first corner of a box must lie before .* got \[1\.0, 1\.0, 1\.0, 2\.0\] for image 0",
        ),
        ([[(2, 1, 1, 2)]], "the first corner of a box must lie before"),
        ([[(0, 0, 1, 1), (0, 0, math.nan, 2)]], "got .*nan.* for image 0"),
        ([[(0, 0, math.inf, 2)]], "all must be finite"),
    ],
)
def test_missing_and_malformed_boxes_are_reported(boxes, message):
    """The message names the image, what a box must be and the box given."""
    with pytest.raises(SettingError, match=message):
        Truth(SIZE, boxes)


def test_a_missing_truth_and_one_of_another_shape_are_reported():
    """The truth must be of the images of the heatmaps."""
    truth = Truth(SIZE, [[(0, 0, 1, 1)]])

    assert require_truth(truth, "test", torch.zeros(1, *SIZE)) is truth
    with pytest.raises(MissingTruthError, match="'test' needs the location of the target class: pass truth="):
        require_truth(None, "test", torch.zeros(1, *SIZE))
    for shape in ((2, *SIZE), (1, 4, 3)):
        with pytest.raises(ShapeError, match=r"one shape, got \(1, 3, 4\) and"):
            require_truth(truth, "test", torch.zeros(shape))


def test_signals_and_volumes():
    """Boxes have the last side first for any number of sides."""
    assert Truth([5], [[(1, 3)]]).mask("test").tolist() == [[False, True, True, False, False]]
    volume = Truth([2, 3, 4], [[(1, 0, 0, 3, 1, 2)]]).mask("test")[0]
    assert volume.nonzero().tolist() == [[z, 0, x] for z in (0, 1) for x in (1, 2)]
    assert Truth([2, 3, 4], masks=volume[None]).boxes("test")[0].tolist() == [[1, 0, 0, 3, 1, 2]]


masks = st.tuples(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.floats(0.1, 0.9), st.integers(0, 999)
).map(lambda drawn: torch.rand(drawn[:3], generator=torch.Generator().manual_seed(drawn[4])) < drawn[3])


@settings(deadline=None)  # the first call imports scipy
@given(masks)
def test_components_equal_a_flood_fill(some):
    """Order, boxes and pixel counts agree; diagonal neighbours are connected, pixels of different images are not."""
    image, boxes, pixels = connected_components(some)

    expected = []
    for n, mask in enumerate(some):
        for piece in twin.components(map(tuple, mask.nonzero().tolist())):
            expected.append([n, *twin.box_of(piece), len(piece)])
    found = [[int(n), *map(int, box), int(size)] for n, box, size in zip(image, boxes, pixels, strict=True)]
    assert found == expected


@pytest.mark.parametrize("shape", [(2, 30), (2, 5, 6, 7)])
def test_components_of_signals_and_volumes(shape):
    """Components are found for any number of sides."""
    some = torch.rand(shape) < 0.3
    _, boxes, pixels = connected_components(some)

    sizes = [len(piece) for mask in some for piece in twin.components(map(tuple, mask.nonzero().tolist()))]
    assert pixels.tolist() == sizes
    assert boxes.shape == (len(sizes), 2 * (len(shape) - 1))


def test_components_need_scipy(monkeypatch):
    """The missing package is reported and not mistaken for an image without a truth."""
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    with pytest.raises(
        MissingExtraError, match=r'boxes around pieces need scipy: pip install "fusioncam\[benchmark\]"'
    ):
        connected_components(torch.ones(1, 2, 2, dtype=torch.bool))


def test_a_long_winding_line_is_one_component():
    """Two runs can be connected through many others only."""
    snake = torch.ones(31, 31, dtype=torch.bool)
    snake[1::4, :-1] = False
    snake[3::4, 1:] = False

    image, boxes, pixels = connected_components(snake[None])

    assert (image.tolist(), boxes.tolist(), pixels.tolist()) == ([0], [[0, 0, 31, 31]], [int(snake.sum())])


@given(st.lists(st.tuples(*[st.floats(-3, 12)] * 4), max_size=4))
def test_drawn_boxes_contain_the_right_pixels(corners):
    """A pixel is drawn if its centre is inside, or if it holds the middle of a box that lies between centres."""
    boxes = [(min(a, c), min(b, d), max(a, c) + 0.01, max(b, d) + 0.01) for a, b, c, d in corners]
    truth = Truth((7, 9), [boxes])
    clipped = truth.boxes("test")[0] if truth.known().all() else torch.zeros(0, 4)

    def within(low, high, pixel, side):
        centres = [n for n in range(side) if low <= n + 0.5 < high]
        return pixel in (centres or [math.floor((low + high) / 2)])

    drawn = rasterise(clipped.double(), (7, 9))
    for i in range(7):
        for j in range(9):
            inside = any(within(x0, x1, j, 9) and within(y0, y1, i, 7) for x0, y0, x1, y1 in clipped.tolist())
            assert drawn[i, j] == inside
    assert not len(clipped) or drawn.any()

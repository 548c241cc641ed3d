"""The grid pointing game: how mosaics are laid out, whose share is whose, and which images make one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import quantus
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import MethodError, NonFiniteError, SettingError, ShapeError, TargetError
from fusioncam.inference.costs import count_passes
from fusioncam.metrics.grid_pointing_game import GridPointingGame, groups, mosaic, shrunk, tile_masks
from fusioncam.metrics.localization import energy_share
from toys import Pool, Toy, problem

PAIRS = GridPointingGame(side=2)


def explained(images=4, name="small"):
    """Give a toy's model, inputs of different classes as far as there are, and heatmaps that no one looks at."""
    toy, x, _ = problem(name, images)
    return ExplainedModel(toy, "features"), x, torch.zeros(images, *x.shape[2:])


def by_place(model, x, target):
    """Make heatmaps of 1 at the target's place: class c is in the c-th tile of 2 x 2, and a tenth of it elsewhere."""
    masks = tile_masks(2, x.shape[2:]).double()
    return 0.1 + 0.9 * masks[target]


def test_by_hand():
    """A quarter of the mosaic at 1, three quarters at 0.1: 1 / 1.3, for each image of its own class."""
    model, x, heatmaps = explained()

    values = PAIRS(model, x, [0, 1, 2, 3], heatmaps, method=by_place)
    wrong = PAIRS(model, x, [1, 0, 3, 2], heatmaps, method=by_place)

    assert values.tolist() == pytest.approx([1 / 1.3] * 4)
    assert wrong.tolist() == pytest.approx([0.1 / 1.3] * 4)


def test_several_mosaics():
    """Twice as many images fill two mosaics in their order."""
    model, x, heatmaps = explained(8)
    seen = []

    def watch(model, x, target):
        seen.append((x, target.tolist()))
        return by_place(model, x, target)

    values = PAIRS(model, x, [0, 1, 2, 3, 3, 2, 1, 0], heatmaps, method=watch)

    assert values.tolist() == pytest.approx([1 / 1.3] * 4 + [0.1 / 1.3] * 4)
    assert [one for _, one in seen] == [[0], [1], [2], [3], [3], [2], [1], [0]]
    assert seen[0][0].shape == (1, 3, 16, 16)
    assert seen[0][0][0, :, :8, 8:].equal(x[1])
    assert seen[4][0][0, :, 8:, :8].equal(x[6])


def test_by_chance():
    """A constant heatmap gives each tile its part, one of zeros nothing that could be shared out."""
    model, x, heatmaps = explained(9)

    values = GridPointingGame()(model, x, range(9), heatmaps, method=lambda m, x, t: torch.ones_like(x[:, 0]))
    nothing = GridPointingGame()(model, x, range(9), heatmaps, method=lambda m, x, t: torch.zeros_like(x[:, 0]))

    assert values.tolist() == pytest.approx([1 / 9] * 9)
    assert nothing.isnan().all()


@pytest.mark.parametrize("shrink", [False, True])
def test_what_the_method_sees(shrink):
    """The mosaic as large as its tiles together, or as one of them."""
    model, x, heatmaps = explained()
    shapes = []

    def watch(model, x, target):
        shapes.append(tuple(x.shape))
        return x.mean(1).abs()

    values = GridPointingGame(2, shrink)(model, x, [0, 1, 2, 3], heatmaps, method=watch)

    assert set(shapes) == {(1, 3, 8, 8) if shrink else (1, 3, 16, 16)}
    # the same heatmap for all four classes shares itself out
    assert values.sum().item() == pytest.approx(1)


def test_with_a_real_method():
    """Shares of Score-CAM are in [0, 1], repeatable, and nothing is left on the network; the passes are counted."""
    features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
    model = ExplainedModel(Toy(features, nn.Sequential(Pool(), nn.Linear(6, 4))).double().eval(), "features")
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    before = [one.clone() for one in model.network.state_dict().values()]
    method = METHODS["score-cam"]

    with count_passes() as meter:
        values = PAIRS(model, x, [0, 1, 2, 3], x[:, 0], method=method)

    assert ((values >= 0) & (values <= 1)).all()
    assert values.dtype == torch.float64
    assert values.equal(PAIRS(model, x, [0, 1, 2, 3], x[:, 0], method=method))
    assert meter.passes == 4 * (1 + 6)
    assert all(one.equal(other) for one, other in zip(before, model.network.state_dict().values(), strict=True))


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5))
def test_a_mosaic_is_cut_into_its_images(side, channels, length):
    """Each tile of the mosaic is its image, row by row, and the tiles' masks say where."""
    images = torch.rand(side**2, channels, length, length + 1)

    whole = mosaic(images, side)
    masks = tile_masks(side, whole.shape[2:])

    assert whole.shape == (1, channels, side * length, side * (length + 1))
    for one, mask in zip(images, masks, strict=True):
        assert whole[0, :, mask].reshape(one.shape).equal(one)
    assert masks.sum(0).eq(1).all()


@pytest.mark.parametrize(("sides", "side"), [(1, 3), (3, 2)])
def test_signals_and_volumes(sides, side):
    """Any number of sides: nine, or eight, or three tiles."""
    images = torch.rand(side**sides, 2, *(4, 3, 5)[:sides])

    whole = mosaic(images, side)

    for one, mask in zip(images, tile_masks(side, whole.shape[2:]), strict=True):
        assert whole[0, :, mask].reshape(one.shape).equal(one)
    assert GridPointingGame(side).tiles(images) == side**sides


def test_tiles_of_a_shrunk_mosaic():
    """Where sides do not divide, a pixel belongs to the tile that its centre is in."""
    masks = tile_masks(3, (7, 7))

    assert [int(one.sum()) for one in masks] == [4, 6, 4, 6, 9, 6, 4, 6, 4]
    assert tile_masks(2, (3,)).tolist() == [[True, False, False], [False, True, True]]
    assert masks.sum(0).eq(1).all()
    assert shrunk(torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]]), (1, 1)).item() == 4


# -- which images --------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 6), st.integers(0, 3))
def test_groups_are_of_different_classes(classes, tiles, seed):
    """No image twice, no class twice in a mosaic, and as many mosaics as there can be."""
    found = groups(classes, tiles, seed)

    images = [one for group in found for one in group]
    assert len(images) == len(set(images))
    for group in found:
        assert len(group) == len({classes[one] for one in group}) == tiles
    # k mosaics can be made where the classes, each at most once a mosaic, have k x tiles images
    counts = Counter(classes).values()
    most = max(k for k in range(len(classes) + 1) if sum(min(one, k) for one in counts) >= k * tiles)
    assert len(found) == most
    assert groups(torch.tensor(classes), tiles, seed) == found


def test_the_seed_draws_the_groups():
    """The same seed gives the same mosaics, another one others."""
    classes = list(range(9)) * 4

    assert groups(classes, 9, seed=1) == groups(classes, 9, seed=1)
    assert groups(classes, 9, seed=1) != groups(classes, 9, seed=2)


# -- Quantus ---------------------------------------------------------------------------------------------------


def test_quantus_agrees():
    """Its Focus, of a mosaic of two by two with the target's class in one tile, is our share."""
    model, x, heatmaps = explained()
    maps = {}

    def noise(model, x, target):
        maps[int(target)] = torch.randn(x[:, 0].shape, dtype=x.dtype)
        return maps[int(target)]

    ours = PAIRS(model, x, [0, 1, 2, 3], heatmaps.double(), method=noise)

    focus = quantus.Focus(disable_warnings=True, display_progressbar=False, normalise=False)
    theirs = focus.evaluate_batch(
        a_batch=torch.stack([maps[one] for one in range(4)]).numpy(), c_batch=np.eye(4, dtype=int)
    )
    assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-6)


def test_quantus_halves_odd_sides_elsewhere():
    """It cuts 7 pixels into 3 and 4 as we do, for the middle one's centre lies on the border."""
    heatmap = torch.rand(1, 7, 7, dtype=torch.float64)
    theirs = quantus.Focus(disable_warnings=True, display_progressbar=False).evaluate_batch(
        a_batch=heatmap[:, None].numpy(), c_batch=np.array([[1, 0, 0, 0]])
    )

    assert energy_share(heatmap, tile_masks(2, (7, 7))[:1]).item() == pytest.approx(float(theirs[0]))


# -- hostile input ---------------------------------------------------------------------------------------------


def test_what_makes_no_mosaic_is_told():
    """Too few images, equal classes, weights in place of classes, no method, methods that give none."""
    model, x, heatmaps = explained()
    for count in (1, 3):
        with pytest.raises(ShapeError, match=f"needs a multiple of 4 images, got {count}: choose them with groups"):
            PAIRS(model, x[:count], list(range(count)), heatmaps[:count], method=by_place)
    with pytest.raises(TargetError, match=r"must have different classes, got \[0, 1, 2, 0\]"):
        PAIRS(model, x, [0, 1, 2, 0], heatmaps, method=by_place)
    with pytest.raises(TargetError, match=r"needs class indices \(N,\), got weights \(4, 3\)"):
        PAIRS(model, x, torch.ones(4, 3), heatmaps, method=by_place)
    with pytest.raises(MethodError, match="needs the method that made the heatmaps"):
        PAIRS(model, x, [0, 1, 2, 3], heatmaps)
    with pytest.raises(ShapeError, match="heatmaps of x"):
        PAIRS(model, x, [0, 1, 2, 3], heatmaps[:2], method=by_place)
    with pytest.raises(ShapeError, match=r"heatmaps of x \(1, 3, 16, 16\)"):
        PAIRS(model, x, [0, 1, 2, 3], heatmaps, method=lambda m, x, t: x[:, 0, :8])
    with pytest.raises(NonFiniteError):
        PAIRS(model, x, [0, 1, 2, 3], heatmaps, method=lambda m, x, t: x[:, 0] / 0)
    for side in (1, 2.0, True, "2"):
        with pytest.raises(SettingError, match="side must be an integer of at least 2, got"):
            GridPointingGame(side)


@pytest.mark.slow
def test_on_the_default_model(lite0, shared):
    """In mosaics of images that the network knows, Grad-CAM finds the tile far more often than chance does."""
    from fusioncam.data.datasets.registry import open_dataset
    from fusioncam.data.datasets.sample import draw

    samples = draw(open_dataset(shared / "data" / "imagenet-samples", classes=1000), 9, seed=2)
    x = torch.stack([lite0.preprocessing(one.open()) for one in samples])
    target = [one.label for one in samples]
    model = lite0.with_layer("blocks.6")

    shares = {
        name: GridPointingGame()(model, x, target, x[:, 0], method=METHODS[name]) for name in ("grad-cam", "center")
    }
    assert shares["grad-cam"].mean() > 0.4
    assert shares["center"].mean() < 0.2

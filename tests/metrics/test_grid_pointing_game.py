"""The grid pointing game: the layout of mosaics, the shares of the tiles, and the choice of images."""

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
    """Return a toy network's model, inputs, and heatmaps whose values are not used."""
    toy, x, _ = problem(name, images)
    return ExplainedModel(toy, "features"), x, torch.zeros(images, *x.shape[2:])


def by_tile(model, x, target):
    """Return heatmaps of 1 in the c-th tile of 2 x 2 for class c, and of 0.1 elsewhere."""
    masks = tile_masks(2, x.shape[2:]).double()
    return 0.1 + 0.9 * masks[target]


def test_by_hand():
    """A quarter of the mosaic is 1 and three quarters are 0.1: the share of the own tile is 1 / 1.3."""
    model, x, heatmaps = explained()

    values = PAIRS(model, x, [0, 1, 2, 3], heatmaps, method=by_tile)
    wrong = PAIRS(model, x, [1, 0, 3, 2], heatmaps, method=by_tile)

    assert values.tolist() == pytest.approx([1 / 1.3] * 4)
    assert wrong.tolist() == pytest.approx([0.1 / 1.3] * 4)


def test_several_mosaics():
    """Twice as many images fill two mosaics in order."""
    model, x, heatmaps = explained(8)
    calls = []

    def record(model, x, target):
        calls.append((x, target.tolist()))
        return by_tile(model, x, target)

    values = PAIRS(model, x, [0, 1, 2, 3, 3, 2, 1, 0], heatmaps, method=record)

    assert values.tolist() == pytest.approx([1 / 1.3] * 4 + [0.1 / 1.3] * 4)
    assert [one for _, one in calls] == [[0], [1], [2], [3], [3], [2], [1], [0]]
    assert calls[0][0].shape == (1, 3, 16, 16)
    assert calls[0][0][0, :, :8, 8:].equal(x[1])
    assert calls[4][0][0, :, 8:, :8].equal(x[6])


def test_flat_heatmaps():
    """A constant heatmap gives each tile the same share; the share of a heatmap of zeros is NaN."""
    model, x, heatmaps = explained(9)

    values = GridPointingGame()(model, x, range(9), heatmaps, method=lambda m, x, t: torch.ones_like(x[:, 0]))
    nothing = GridPointingGame()(model, x, range(9), heatmaps, method=lambda m, x, t: torch.zeros_like(x[:, 0]))

    assert values.tolist() == pytest.approx([1 / 9] * 9)
    assert nothing.isnan().all()


@pytest.mark.parametrize("shrink", [False, True])
def test_the_size_of_the_mosaic(shrink):
    """The mosaic is as large as its tiles together, or with ``shrink`` as one of them."""
    model, x, heatmaps = explained()
    shapes = []

    def record(model, x, target):
        shapes.append(tuple(x.shape))
        return x.mean(1).abs()

    values = GridPointingGame(2, shrink)(model, x, [0, 1, 2, 3], heatmaps, method=record)

    assert set(shapes) == {(1, 3, 8, 8) if shrink else (1, 3, 16, 16)}
    # with the same heatmap for all classes the shares sum to 1
    assert values.sum().item() == pytest.approx(1)


def test_with_a_real_method():
    """The shares of Score-CAM are in [0, 1] and repeatable, its passes are counted, the network is not changed."""
    features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
    model = ExplainedModel(Toy(features, nn.Sequential(Pool(), nn.Linear(6, 4))).double().eval(), "features")
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    before = [one.clone() for one in model.network.state_dict().values()]
    method = METHODS["score-cam"]

    with count_passes() as counter:
        values = PAIRS(model, x, [0, 1, 2, 3], x[:, 0], method=method)

    assert ((values >= 0) & (values <= 1)).all()
    assert values.dtype == torch.float64
    assert values.equal(PAIRS(model, x, [0, 1, 2, 3], x[:, 0], method=method))
    assert counter.passes == 4 * (1 + 6)
    assert all(one.equal(other) for one, other in zip(before, model.network.state_dict().values(), strict=True))


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5))
def test_tile_masks_select_the_images_of_a_mosaic(side, channels, length):
    """Each tile of the mosaic is its image, row by row."""
    images = torch.rand(side**2, channels, length, length + 1)

    whole = mosaic(images, side)
    masks = tile_masks(side, whole.shape[2:])

    assert whole.shape == (1, channels, side * length, side * (length + 1))
    for one, mask in zip(images, masks, strict=True):
        assert whole[0, :, mask].reshape(one.shape).equal(one)
    assert masks.sum(0).eq(1).all()


@pytest.mark.parametrize(("sides", "side"), [(1, 3), (3, 2)])
def test_signals_and_volumes(sides, side):
    """A mosaic has side ** d tiles for d sides."""
    images = torch.rand(side**sides, 2, *(4, 3, 5)[:sides])

    whole = mosaic(images, side)

    for one, mask in zip(images, tile_masks(side, whole.shape[2:]), strict=True):
        assert whole[0, :, mask].reshape(one.shape).equal(one)
    assert GridPointingGame(side).tiles(images) == side**sides


def test_tiles_of_a_shrunk_mosaic():
    """If the sides do not divide the size, a pixel belongs to the tile that contains its centre."""
    masks = tile_masks(3, (7, 7))

    assert [int(one.sum()) for one in masks] == [4, 6, 4, 6, 9, 6, 4, 6, 4]
    assert tile_masks(2, (3,)).tolist() == [[True, False, False], [False, True, True]]
    assert masks.sum(0).eq(1).all()
    assert shrunk(torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]]), (1, 1)).item() == 4


# -- the choice of images --------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 6), st.integers(0, 3))
def test_groups_are_of_different_classes(classes, tiles, seed):
    """No image is used twice, no class occurs twice in a mosaic, and there are as many mosaics as possible."""
    found = groups(classes, tiles, seed)

    images = [one for group in found for one in group]
    assert len(images) == len(set(images))
    for group in found:
        assert len(group) == len({classes[one] for one in group}) == tiles
    # k mosaics are possible if the classes, each used at most k times, have k x tiles images
    counts = Counter(classes).values()
    most = max(k for k in range(len(classes) + 1) if sum(min(one, k) for one in counts) >= k * tiles)
    assert len(found) == most
    assert groups(torch.tensor(classes), tiles, seed) == found


def test_the_seed_decides_the_groups():
    """The same seed gives the same groups, another seed other ones."""
    classes = list(range(9)) * 4

    assert groups(classes, 9, seed=1) == groups(classes, 9, seed=1)
    assert groups(classes, 9, seed=1) != groups(classes, 9, seed=2)


# -- Quantus ---------------------------------------------------------------------------------------------------


def test_quantus_agrees():
    """Its Focus, for a mosaic of 2 x 2 with the target's class in one tile, equals our share."""
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


def test_quantus_agrees_on_odd_sides():
    """It divides 7 pixels into 3 and 4 as we do, because the centre of the middle pixel lies on the border."""
    heatmap = torch.rand(1, 7, 7, dtype=torch.float64)
    theirs = quantus.Focus(disable_warnings=True, display_progressbar=False).evaluate_batch(
        a_batch=heatmap[:, None].numpy(), c_batch=np.array([[1, 0, 0, 0]])
    )

    assert energy_share(heatmap, tile_masks(2, (7, 7))[:1]).item() == pytest.approx(float(theirs[0]))


# -- wrong input -----------------------------------------------------------------------------------------------


def test_wrong_input_is_reported():
    """Too few images, equal classes, weights instead of classes, no method, or invalid heatmaps."""
    model, x, heatmaps = explained()
    for count in (1, 3):
        with pytest.raises(ShapeError, match=f"needs a multiple of 4 images, got {count}: choose them with groups"):
            PAIRS(model, x[:count], list(range(count)), heatmaps[:count], method=by_tile)
    with pytest.raises(TargetError, match=r"must have different classes, got \[0, 1, 2, 0\]"):
        PAIRS(model, x, [0, 1, 2, 0], heatmaps, method=by_tile)
    with pytest.raises(TargetError, match=r"needs class indices \(N,\), got weights \(4, 3\)"):
        PAIRS(model, x, torch.ones(4, 3), heatmaps, method=by_tile)
    with pytest.raises(MethodError, match="needs the method that made the heatmaps"):
        PAIRS(model, x, [0, 1, 2, 3], heatmaps)
    with pytest.raises(ShapeError, match="heatmaps of x"):
        PAIRS(model, x, [0, 1, 2, 3], heatmaps[:2], method=by_tile)
    with pytest.raises(ShapeError, match=r"heatmaps of x \(1, 3, 16, 16\)"):
        PAIRS(model, x, [0, 1, 2, 3], heatmaps, method=lambda m, x, t: x[:, 0, :8])
    with pytest.raises(NonFiniteError):
        PAIRS(model, x, [0, 1, 2, 3], heatmaps, method=lambda m, x, t: x[:, 0] / 0)
    for side in (1, 2.0, True, "2"):
        with pytest.raises(SettingError, match="side must be an integer of at least 2, got"):
            GridPointingGame(side)


@pytest.mark.slow
def test_on_the_default_model(lite0, shared):
    """On mosaics of real images the share of Grad-CAM is far above chance, that of a spot at the centre is not."""
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

"""The contrast between the heatmaps of two classes, of one image and in mosaics."""

from __future__ import annotations

import numpy as np
import pytest
import quantus
import torch
from scipy.stats import spearmanr
from torch import nn

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import SettingError, TargetError, UnknownNameError
from fusioncam.metrics.contrast import Contrast, GridContrast, second_classes
from fusioncam.metrics.grid_pointing_game import GridPointingGame, tile_masks
from toys import problem
from twins import gradient, localization

GRAD_CAM = METHODS["grad-cam"]


def explained(images=3):
    """Return a toy network, its model, inputs and targets."""
    toy, x, target = problem("small", images)
    return toy, ExplainedModel(toy, "features"), x, target


def test_contrast_equals_the_reference_implementation():
    """1 minus the rank correlation of the twins' heatmaps of the class and of the runner-up, one image at a time."""
    toy, model, x, target = explained()

    values = Contrast()(model, x, target, GRAD_CAM(model, x, target), method=GRAD_CAM)

    for value, one, c in zip(values.tolist(), x, target.tolist(), strict=True):
        logits = toy(one[None])[0].tolist()
        runner_up = max((score, index) for index, score in enumerate(logits) if index != c)[1]
        maps = [gradient.grad_cam(toy, one, index).flatten().numpy() for index in (c, runner_up)]
        assert value == pytest.approx(1 - spearmanr(*maps).statistic, abs=1e-6)


def test_the_second_class_is_another_one():
    """The runner-up has the highest score of the others; a random class is the seed's and never the target."""
    logits = torch.tensor([[0.0, 5.0, 3.0], [4.0, 1.0, 2.0]])

    assert second_classes(logits, torch.tensor([1, 1]), "runner-up", 0).tolist() == [2, 0]
    drawn = [second_classes(logits, torch.tensor([0, 2]), "random", seed).tolist() for seed in range(20)]
    assert {one for one, _ in drawn} == {1, 2}
    assert {other for _, other in drawn} == {0, 1}


def test_the_same_and_flat_heatmaps():
    """A method that ignores the class has no contrast; flat heatmaps are unrelated or undefined."""
    _, model, x, target = explained()
    same, flat = (lambda model, x, target: x.mean(1)), (lambda model, x, target: torch.zeros_like(x[:, 0]))

    assert Contrast()(model, x, target, x.mean(1), method=same).tolist() == pytest.approx([0, 0, 0])
    assert Contrast()(model, x, target, x.mean(1), method=flat).tolist() == [1, 1, 1]
    assert Contrast()(model, x, target, 0 * x.mean(1), method=same).isnan().all()


def test_only_images_with_both_classes_count():
    """With ``least``, images in which the second class is unlikely are undefined."""
    _, model, x, target = explained()
    logits = model.logits(x)
    second = logits.softmax(1).gather(1, second_classes(logits, target, "runner-up", 0)[:, None])[:, 0]
    least = float(second.sort().values[1])

    values = Contrast(least=least)(model, x, target, GRAD_CAM(model, x, target), method=GRAD_CAM)

    assert values.isnan().equal(second < least)


@pytest.mark.filterwarnings("ignore:the network has one output")
def test_a_network_with_one_class_has_no_contrast():
    """No second class can be explained."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    x = torch.rand(2, 3, 8, 8)

    values = Contrast()(ExplainedModel(network, "0"), x, torch.tensor([0, 0]), x.mean(1), method=GRAD_CAM)

    assert values.isnan().all()


@pytest.mark.filterwarnings("ignore")
def test_quantus_agrees_on_a_random_class():
    """Its RandomLogit with rank correlation is 1 minus our contrast, for the same class."""
    toy, model, x, target = explained(1)
    second = int(second_classes(model.logits(x), target, "random", seed=3))

    def explain(model, inputs, targets, **_):
        return GRAD_CAM(ExplainedModel(toy, "features"), torch.as_tensor(inputs), torch.tensor([second]))[
            :, None
        ].numpy()

    heatmaps = GRAD_CAM(model, x, target)
    theirs = quantus.RandomLogit(
        similarity_func=quantus.similarity_func.correlation_spearman,
        num_classes=model.logits(x).shape[1],
        normalise=False,
        disable_warnings=True,
    )(
        model=toy,
        x_batch=x.numpy(),
        y_batch=np.asarray(target),
        a_batch=heatmaps[:, None].numpy(),
        explain_func=explain,
        device="cpu",
    )
    ours = Contrast(second="random", seed=3)(model, x, target, heatmaps, method=GRAD_CAM)

    assert ours.tolist() == pytest.approx([1 - float(theirs[0])], abs=1e-6)


# -- mosaics -----------------------------------------------------------------------------------------------------


def test_grid_contrast_by_hand():
    """1 in the own tile and 0.1 elsewhere: 1 / 1.3 for the own class, and 0.1 / 1.3 for each other class."""
    _, model, x, _ = explained(4)

    def by_tile(model, x, target):
        return 0.1 + 0.9 * tile_masks(2, x.shape[2:]).double()[target]

    values = GridContrast()(model, x, [0, 1, 2, 3], x[:, 0], method=by_tile)

    assert values.tolist() == pytest.approx([0.9 / 1.3] * 4)


def test_a_class_agnostic_method_has_no_grid_contrast():
    """Whichever tile it prefers, though the grid pointing game is won in that tile."""
    _, model, x, _ = explained(4)

    def first_tile(model, x, target):
        return tile_masks(2, x.shape[2:])[:1].double()

    assert GridPointingGame(2)(model, x, [0, 1, 2, 3], x[:, 0], method=first_tile).tolist() == [1, 0, 0, 0]
    assert GridContrast()(model, x, [0, 1, 2, 3], x[:, 0], method=first_tile).tolist() == [0, 0, 0, 0]


def test_grid_contrast_equals_the_reference_implementation():
    """The energy in the tile of each class's heatmap, summed pixel by pixel; a heatmap of zeros is undefined."""
    _, model, x, _ = explained(4)
    maps = torch.rand(4, 16, 16, dtype=torch.float64)
    maps[2] = 0

    values = GridContrast()(model, x, [0, 1, 2, 3], x[:, 0], method=lambda model, x, target: maps[target])

    masks = tile_masks(2, (16, 16)).tolist()
    for tile in range(4):
        energies = [localization.energy(maps[c].tolist(), masks[tile]) for c in range(4)]
        others = [0 if energy != energy else energy for c, energy in enumerate(energies) if c != tile]
        assert values[tile].item() == pytest.approx(energies[tile] - sum(others) / 3, nan_ok=True)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Contrast(second="last"),
            UnknownNameError,
            "unknown second class 'last'; choose from runner-up, random",
        ),
        (lambda: Contrast(least=2), SettingError, "least must be a number between 0 and 1, got 2"),
        (lambda: GridContrast(side=1), SettingError, "side must be an integer of at least 2, got 1"),
    ],
)
def test_wrong_settings_are_reported(make, error, message):
    """The message says what is wrong and what was given."""
    with pytest.raises(error, match=message):
        make()


def test_weights_are_no_class():
    """A second class is defined for class indices only."""
    _, model, x, _ = explained()
    with pytest.raises(TargetError, match="needs class indices"):
        Contrast()(model, x, torch.rand(3, 3), x.mean(1), method=GRAD_CAM)

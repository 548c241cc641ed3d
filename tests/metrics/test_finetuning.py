"""Fine-tuning: the missing parts, the same result in every run, and after an interruption."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel
from fusioncam.errors import ResultsError, SettingError, ShapeError
from fusioncam.inference.training import Training
from fusioncam.metrics.finetuning import MissingPatch, MissingPixels, accuracy, finetune
from toys import Pool, Toy

pytestmark = pytest.mark.usefixtures("one_thread")
TRAINING = Training(epochs=3, batch_size=8, learning_rate=0.1)


def case(images=32):
    """Return a small network with dropout, and images whose class is the brighter half."""
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2))
    toy = Toy(features, nn.Sequential(Pool(), nn.Flatten(), nn.Linear(4, 2))).eval()
    labels = torch.arange(images) % 2
    x = torch.randn(images, 1, 8, 8) + 2.0 * labels.reshape(-1, 1, 1, 1)
    return ExplainedModel(toy, "features"), x, labels


def weights(model):
    """Return all parameters and buffers in one tensor."""
    return torch.cat([one.double().flatten() for one in model.network.state_dict().values()])


def test_training_learns_and_leaves_the_network_unchanged():
    """The copy is better, in evaluation mode; the given network, its gradients and the random state are as before."""
    model, x, labels = case()
    before, state, flags = weights(model), torch.get_rng_state(), [one.training for one in model.network.modules()]
    losses = []

    tuned = finetune(model, x, labels, training=TRAINING, on_epoch=lambda epoch, loss: losses.append((epoch, loss)))

    assert accuracy(tuned, x, labels) > max(0.9, accuracy(model, x, labels))
    assert [epoch for epoch, _ in losses] == [1, 2, 3]
    assert losses[2][1] < losses[0][1]
    assert weights(model).equal(before)
    assert torch.get_rng_state().equal(state)
    assert [one.training for one in model.network.modules()] == flags
    assert not any(one.training for one in tuned.network.modules())
    assert all(one.grad is None for one in model.network.parameters())


def test_the_same_arguments_return_the_same_network():
    """In any random state, also for frozen parameters and in inference mode; another seed returns another one."""
    model, x, labels = case()
    first = weights(finetune(model, x, labels, MissingPixels(), TRAINING))
    torch.manual_seed(123)
    model.network.requires_grad_(False)

    with torch.inference_mode():
        second = finetune(model, x, labels, MissingPixels(), TRAINING)

    assert weights(second).equal(first)
    other = finetune(model, x, labels, MissingPixels(), Training(3, 8, 0.1, seed=1))
    assert not weights(other).equal(first)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_an_interrupted_training_continues(tmp_path, epochs):
    """After any epoch, with the result of a training without an interruption."""
    model, x, labels = case()
    whole = finetune(model, x, labels, MissingPatch(2), TRAINING)

    def stop(epoch, loss):
        if epoch == epochs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(model, x, labels, MissingPatch(2), TRAINING, tmp_path, stop)
    seen = []
    tuned = finetune(model, x, labels, MissingPatch(2), TRAINING, tmp_path, lambda epoch, loss: seen.append(epoch))

    assert seen == [*range(epochs + 1, 4)]
    assert weights(tuned).equal(weights(whole))
    assert [path.name for path in tmp_path.iterdir()] == ["training.pt"]


def test_a_folder_of_another_training_is_refused(tmp_path):
    """Other settings, images, labels or weights, and a damaged file."""
    model, x, labels = case()
    finetune(model, x, labels, None, TRAINING, tmp_path)
    other = ExplainedModel(copy.deepcopy(model.network), "features")
    with torch.no_grad():
        next(other.network.parameters()).mul_(2)

    for arguments, name in (
        ((model, x, labels, MissingPatch(), TRAINING), "change"),
        ((model, x, labels, None, Training(3, 4, 0.1)), "batch_size"),
        ((model, x + 1, labels, None, TRAINING), "images"),
        ((model, x, 1 - labels, None, TRAINING), "images"),
        ((other, x, labels, None, TRAINING), "network"),
    ):
        with pytest.raises(
            ResultsError, match=f"is of another training, it differs in {name}: choose another folder"
        ):
            finetune(*arguments, tmp_path)
    (tmp_path / "training.pt").write_bytes(b"half")
    with pytest.raises(ResultsError, match="is damaged"):
        finetune(model, x, labels, None, TRAINING, tmp_path)


def test_missing_patches():
    """One patch of every image shows 0, or of about half of them, and each patch is chosen equally often."""
    x = torch.ones(400, 2, 8, 8)
    generator = torch.Generator().manual_seed(0)

    every, half = MissingPatch(2, share=1)(x, generator), MissingPatch(2)(x, generator)

    assert (every == 0).sum((1, 2, 3)).unique().tolist() == [2 * 16]
    places = every[:, 0, ::4, ::4].flatten(1).argmin(1).bincount()
    assert places.min() > 70
    assert 150 < (half == 0).flatten(1).any(1).sum() < 250
    assert x.eq(1).all()


def test_missing_pixels():
    """Exactly the share of the pixels of each image, other ones in each."""
    x = torch.ones(3, 2, 10, 10)

    changed = MissingPixels(0.25)(x, torch.Generator().manual_seed(0))

    assert (changed == 0).all(1).sum((1, 2)).tolist() == [25, 25, 25]
    assert not changed[0].equal(changed[1])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (partial(Training, epochs=0), SettingError, "epochs must be a positive integer, got 0"),
        (partial(Training, batch_size=0), SettingError, "batch_size must be a positive integer, got 0"),
        (partial(MissingPatch, side=0), SettingError, "side must be a positive integer, got 0"),
        (partial(MissingPatch, share=2), SettingError, "share must be a number between 0 and 1, got 2"),
        (partial(MissingPixels, share=-1), SettingError, "share must be a number between 0 and 1, got -1"),
        (
            lambda: finetune(case()[0], torch.zeros(2, 1, 8, 8), torch.zeros(3)),
            ShapeError,
            r"expected labels \(2,\), one for each image, got \(3,\)",
        ),
    ],
)
def test_wrong_arguments_are_reported(make, error, message):
    """The message says what is wrong and what was given."""
    with pytest.raises(error, match=message):
        make()

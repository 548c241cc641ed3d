"""The training of CasCAM's networks: faded images, the second cue, determinism and interruptions."""

from __future__ import annotations

from itertools import count

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel, Preprocessing
from fusioncam.errors import ResultsError, ShapeError
from fusioncam.inference.training import Training
from fusioncam.methods import CasCAM, LayerCAM
from fusioncam.metrics import cascade, finetuning
from fusioncam.metrics.cascade import train_cascade
from fusioncam.metrics.finetuning import accuracy, finetune
from toys import Toy

pytestmark = pytest.mark.usefixtures("one_thread")
TRAINING = Training(epochs=2, batch_size=8, learning_rate=0.3)
METHOD = CasCAM(LayerCAM(), stages=3, top=7)
# places of the cues, and of both in all images of class 1
STRONG, WEAK = (slice(0, 2), slice(0, 2)), (slice(5, 7), slice(5, 7))
ALL_STRONG, ALL_WEAK = ((slice(1, None, 2), 0, *cue) for cue in (STRONG, WEAK))


def images_with(strong, weak, images=32):
    """Return images of noise whose odd ones have the cues of class 1, and the labels."""
    labels = torch.arange(images) % 2
    x = 0.1 * torch.rand(images, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x[ALL_STRONG] += strong
    x[ALL_WEAK] += weak
    return x, labels


def case():
    """Return a linear model that uses the strong cue only, images with both cues, and their labels."""
    network = Toy(nn.ReLU(), nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
    weight = torch.zeros(2, 1, 8, 8)
    weight[1, 0][STRONG] = 1
    network.head[1].weight.data, network.head[1].bias.data = weight.flatten(1), torch.tensor([2.0, 0.0])
    preprocessing = Preprocessing((8, 8), 8, mean=(0.0,), std=(1.0,))
    return ExplainedModel(network.eval(), "features", preprocessing=preprocessing), *images_with(3.0, 1.0)


def weights(method):
    """Return the parameters of all later networks."""
    return torch.cat([one.flatten() for model in method.models for one in model.network.parameters()])


def test_later_networks_use_the_second_cue():
    """Without the strong cue the given network guesses, and the next one recognises the class by the weak cue."""
    model, x, labels = case()
    only_weak = images_with(0.0, 1.0)
    before = model.network.head[1].weight.clone()

    trained = train_cascade(model, x, labels, METHOD, TRAINING)

    assert accuracy(model, *only_weak) == 0.5
    assert accuracy(trained.models[0], *only_weak) == 1
    assert model.network.head[1].weight.equal(before)
    first, second, _ = trained.stage_heatmaps(model, x[1:2], 1)[0]
    assert first[STRONG].min() > 0.9
    assert not first[WEAK].any()
    assert second[WEAK].any()
    assert trained(model, x[1:2], 1)[0][WEAK].any()


@pytest.mark.filterwarnings("ignore:.*constant heatmap")  # class 0 has no cue
def test_images_are_faded_stage_by_stage(monkeypatch):
    """Where the heatmaps of the stages before are high, by the networks of these stages; others stay as they are."""
    model, x, labels = case()
    seen = []

    def recorded(start, images, *rest):
        assert start is model  # each network is trained from the given one
        seen.append(images)
        return finetune(start, images, *rest)

    monkeypatch.setattr(cascade, "finetune", recorded)
    monkeypatch.setattr(finetuning, "_BATCH", 5)

    trained = train_cascade(model, x, labels, METHOD, TRAINING)

    one = CasCAM(LayerCAM(), stages=1, top=7)
    heat = one(model, x, labels)
    torch.testing.assert_close(seen[0], x * torch.exp(-5 * heat)[:, None])
    further = one(trained.models[0], seen[0], labels)
    torch.testing.assert_close(seen[1], seen[0] * torch.exp(-5 * further)[:, None])
    assert (seen[0][ALL_STRONG] < 0.05).all()
    assert seen[0][ALL_WEAK].equal(x[ALL_WEAK])
    assert (seen[1][ALL_WEAK].mean((1, 2)) < x[ALL_WEAK].mean((1, 2))).all()
    assert len(seen) == 2


def test_the_settings_are_those_of_the_method():
    """Networks that it had are replaced; by default it is CasCAM with Grad-CAM."""
    _, x, labels = case()
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))

    trained = train_cascade(network, x, labels.tolist(), training=TRAINING)
    again = train_cascade(network, x, labels, trained, TRAINING)

    assert (trained.method, trained.stages, len(trained.models)) == (CasCAM().method, 3, 2)
    assert len(again.models) == 2
    assert not set(again.models) & set(trained.models)
    assert train_cascade(network, x, labels, CasCAM(stages=1)) == CasCAM(stages=1)


def test_the_same_arguments_return_the_same_networks():
    """In any random state; another seed returns others."""
    model, x, labels = case()
    first = weights(train_cascade(model, x, labels, METHOD, TRAINING))
    torch.manual_seed(123)

    assert weights(train_cascade(model, x, labels, METHOD, TRAINING)).equal(first)
    other = Training(epochs=2, batch_size=8, learning_rate=0.3, seed=1)
    assert not weights(train_cascade(model, x, labels, METHOD, other)).equal(first)


@pytest.mark.parametrize("stopped", [1, 2, 3])
def test_an_interrupted_training_continues(tmp_path, stopped):
    """After an epoch of any stage, with the networks of a training without an interruption."""
    model, x, labels = case()
    whole = train_cascade(model, x, labels, METHOD, TRAINING)
    epochs = count(1)

    def stop(epoch, loss):
        if next(epochs) == stopped:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_cascade(model, x, labels, METHOD, TRAINING, tmp_path, stop)
    seen = []
    trained = train_cascade(model, x, labels, METHOD, TRAINING, tmp_path, lambda epoch, loss: seen.append(epoch))

    assert seen == [1, 2, 1, 2][stopped:]
    assert weights(trained).equal(weights(whole))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stage-1", "stage-2"]


def test_a_folder_of_other_settings_is_refused(tmp_path):
    """They fade the images in another way."""
    model, x, labels = case()
    train_cascade(model, x, labels, METHOD, TRAINING, tmp_path)

    with pytest.raises(ResultsError, match="of another training, it differs in images: choose another folder"):
        train_cascade(model, x, labels, CasCAM(LayerCAM(), top=7, theta=1), TRAINING, tmp_path)


def test_wrong_labels_are_reported():
    """Before anything is trained."""
    model, x, labels = case()
    with pytest.raises(ShapeError, match=r"expected labels \(32,\), one for each image, got \(31,\)"):
        train_cascade(model, x, labels[1:], METHOD, TRAINING)

"""ROAR on a network whose evidence is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel
from fusioncam.errors import ResultsError, SettingError, UnknownNameError
from fusioncam.inference.training import Training
from fusioncam.metrics.roar import Retraining, heatmaps_of, restarted, roar, without

pytestmark = pytest.mark.usefixtures("one_thread")
TRAINING = Training(epochs=6, batch_size=8, learning_rate=0.3)


def case(images=64):
    """Return a linear network and images whose class is the sign of the first row."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    labels = torch.arange(images) % 2
    x = 0.1 * torch.randn(images, 1, 4, 4)
    x[:, :, 0] += (2.0 * labels - 1).reshape(-1, 1, 1)
    return (
        ExplainedModel(network),
        (x[: images // 2], labels[: images // 2]),
        (x[images // 2 :], labels[images // 2 :]),
    )


def first_row(model, x, target):
    """Return heatmaps of the true evidence."""
    heatmaps = torch.zeros_like(x[:, 0])
    heatmaps[:, 0] = 1
    return heatmaps


def last_row(model, x, target):
    """Return heatmaps of a row without evidence."""
    return first_row(model, x, target).flip(1)


def test_removing_the_evidence_destroys_the_accuracy():
    """A quarter of the pixels is the evidence; a network trained without it guesses."""
    model, train, test = case()

    right = roar(model, train, test, first_row, (0.25,), training=TRAINING)
    wrong = roar(model, train, test, last_row, (0.25,), training=TRAINING)
    kept = roar(model, train, test, first_row, (0.75,), removed="least", training=TRAINING, restart=False)

    assert right.accuracies[0.25] < 0.75
    assert wrong.accuracies == {0.25: 1}
    assert kept.accuracies == {0.75: 1}
    assert 0 <= right.whole <= 1


def test_without_by_rank():
    """Exactly the share, in every channel."""
    images, ranks = torch.ones(2, 3, 2, 2), torch.tensor([[[0, 1], [2, 3]], [[3, 2], [1, 0]]])

    assert without(images, ranks, 0.5)[:, 0].tolist() == [[[0, 0], [1, 1]], [[1, 1], [0, 0]]]
    assert without(images, ranks, 0).equal(images)


def test_random_pixels_differ_from_image_to_image():
    """They are the same for the same seed; the method of that name removes the same pixels from every image."""
    model, _, test = case()

    first, again, other = (heatmaps_of(model, "random", *test, seed=seed) for seed in (0, 0, 1))

    assert first.shape == test[0][:, 0].shape
    assert not first[0].equal(first[1])
    assert first.equal(again)
    assert not first.equal(other)


def test_a_restart_draws_all_weights_again():
    """The same for the same seed; the given network stays unchanged."""
    model, *_ = case()
    before = model.network[1].weight.clone()

    first, second, other = (restarted(model, seed).network[1].weight for seed in (3, 3, 4))

    assert first.equal(second)
    assert not first.equal(other)
    assert not first.equal(before)
    assert model.network[1].weight.equal(before)


def test_an_interrupted_run_continues(tmp_path):
    """Heatmaps are not computed again and finished trainings not repeated; the result is the same."""
    model, train, test = case()
    whole = roar(model, train, test, first_row, (0.25, 0.5), training=TRAINING)
    calls = []

    def counted(model, x, target):
        calls.append(len(x))
        return first_row(model, x, target)

    def stop(epoch, loss):
        if (tmp_path / "most-0.5").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        roar(model, train, test, counted, (0.25, 0.5), training=TRAINING, folder=tmp_path, on_epoch=stop)
    epochs = []
    found = roar(
        model, train, test, counted, (0.25, 0.5), training=TRAINING, folder=tmp_path,
        on_epoch=lambda epoch, loss: epochs.append(epoch),
    )  # fmt: skip

    assert calls == [32, 32]
    assert epochs == [2, 3, 4, 5, 6]
    assert found == whole
    assert isinstance(found, Retraining)


def test_heatmaps_explain_the_labels_in_batches():
    """Names are accepted too."""
    model, (x, labels), _ = case(600)
    targets = []

    def record(model, x, target):
        targets.append(target)
        return first_row(model, x, target)

    heatmaps_of(model, record, x, labels)

    assert [len(one) for one in targets] == [250, 50]
    assert torch.cat(targets).equal(labels)
    assert heatmaps_of(model, "ones", x, labels).shape == (300, 4, 4)


def test_wrong_arguments_are_reported(tmp_path):
    """Shares, the choice of pixels, and a folder of other images."""
    model, train, test = case()
    with pytest.raises(SettingError, match="shares must contain at least one share"):
        roar(model, train, test, first_row, ())
    with pytest.raises(SettingError, match="share must be a number between 0 and 1, got 25"):
        roar(model, train, test, first_row, (25,))
    with pytest.raises(UnknownNameError, match="unknown choice of removed pixels 'all'; choose from most, least"):
        roar(model, train, test, first_row, removed="all")
    heatmaps_of(model, first_row, *train, tmp_path)
    with pytest.raises(ResultsError, match="does not hold the heatmaps of these images"):
        heatmaps_of(model, first_row, train[0][:5], train[1][:5], tmp_path)

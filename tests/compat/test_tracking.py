"""Explanations of fixed images in TensorBoard, Weights & Biases, MLflow and Lightning."""

from __future__ import annotations

import sys
import types
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fusioncam import ExplainedModel, Preprocessing
from fusioncam.compat.tracking import LEVELS, log_explanations
from fusioncam.errors import InputTypeError

IMAGES = [Image.fromarray(np.random.default_rng(n).integers(0, 255, (32, 32, 3), np.uint8)) for n in range(2)]
NAMES = [f"explanations/{n}/{kind}" for n in range(2) for kind in ("overlay", "probability")]


@pytest.fixture
def model(network):
    """The network with the size of its images."""
    return ExplainedModel(network, "layer4", preprocessing=Preprocessing((32, 32), 32))


class Writer:
    """Takes what TensorBoard's writer takes."""

    def __init__(self):
        self.logged = {}

    def add_image(self, tag, img_tensor, global_step, dataformats):
        """Keep an image."""
        assert dataformats == "HWC"
        self.logged[tag] = (img_tensor.shape, global_step)

    def add_scalar(self, tag, scalar_value, global_step):
        """Keep a number."""
        self.logged[tag] = (scalar_value, global_step)


class Mlflow:
    """Takes what the functions of mlflow take, or with a run what its client takes."""

    def __init__(self, run=()):
        self.logged, self.run = {}, run

    def log_image(self, *args, key, step):
        """Keep an image."""
        *run, image = args
        assert run == list(self.run)
        self.logged[key] = (np.shape(image), step)

    def log_metric(self, *args, step):
        """Keep a number."""
        *run, key, value = args
        assert run == list(self.run)
        self.logged[key] = (value, step)


def test_tensorboard_and_mlflow_get_images_and_numbers(model):
    """The same names, values and steps."""
    logged = []
    client = Mlflow(["7"])
    for tracker, kept in (
        (writer := Writer(), writer),
        (mlflow := Mlflow(), mlflow),
        (types.SimpleNamespace(experiment=(inner := Writer())), inner),
        (types.SimpleNamespace(experiment=client, run_id="7"), client),
    ):
        explanations = log_explanations(tracker, IMAGES, model=model, step=3)
        logged.append(kept.logged)

    assert list(logged[0]) == NAMES
    assert logged[0]["explanations/0/overlay"] == ((32, 32, 3), 3)
    assert logged[0]["explanations/1/probability"] == (explanations[1].probability, 3)
    assert logged == [logged[0]] * 4


def test_weights_and_biases_gets_images(model, monkeypatch):
    """Its module has the type of images."""
    wandb = types.ModuleType("wandb")
    wandb.Image = lambda image: ("image", image.size)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    run = type("Run", (), {"__module__": "wandb.sdk", "log": lambda self, data, step: logged.append((data, step))})()
    logged = []
    log_explanations(run, IMAGES[:1], model=model, step=2, name="cats")

    assert logged[0] == ({"cats/0/overlay": ("image", (32, 32))}, 2)
    assert list(logged[1][0]) == ["cats/0/probability"]


@pytest.mark.slow
def test_trust_levels_are_numbers(model):
    """Of the cards."""
    writer = Writer()
    (explanation,) = log_explanations(writer, IMAGES[:1], model=model, step=0, check=True)

    assert writer.logged["explanations/0/trust"] == (LEVELS[explanation.card.level], 0)


def test_other_trackers_have_an_error(model):
    """It lists those that work."""
    with pytest.raises(InputTypeError, match=r"SummaryWriter of TensorBoard, .* got 'logs'"):
        log_explanations("logs", IMAGES, model=model, step=0)


def test_lightning_calls_back(network, tmp_path):
    """After each validation, with the trainer's steps; training goes on in its mode."""
    lightning = pytest.importorskip("pytorch_lightning")
    from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from fusioncam.compat.lightning import LogExplanations

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(x)

        def training_step(self, batch):
            assert self.network.training
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch):
            pass

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 1e-3)

    callback = LogExplanations(IMAGES, model=lambda module: ExplainedModel(module.network, "layer4"))
    data = torch.utils.data.DataLoader([(torch.rand(3, 32, 32), 1)] * 2)
    settings = {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Lightning's own
        loggers = [TensorBoardLogger(tmp_path), CSVLogger(tmp_path)]
        lightning.Trainer(**settings, logger=loggers, callbacks=[callback]).fit(Module().train(), data, data)
        with pytest.raises(InputTypeError, match="no logger takes images"):
            lightning.Trainer(**settings, logger=loggers[1:], callbacks=[callback]).fit(Module(), data, data)

    (path,) = tmp_path.rglob("events.out*")
    events = EventAccumulator(str(path)).Reload()
    assert [event.step for event in events.Images(NAMES[0])] == [2, 4]
    assert [event.step for event in events.Scalars(NAMES[3])] == [2, 4]

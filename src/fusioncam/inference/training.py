"""Train a copy of a network, the same way in every run, and continue after an interruption."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusioncam.errors import ResultsError, ShapeError, require_count
from fusioncam.inference.forward import NetworkRunner
from fusioncam.inference.random_state import seeded
from fusioncam.utils.files import writable_folder, write_file

# changes a batch of images (B, C, *s), with random numbers of the generator
Change = Callable[[Tensor, torch.Generator], Tensor]
# called with the number of the epoch, from 1, and the mean loss of its images
OnEpoch = Callable[[int, float], object]
_FILE = "training.pt"


@dataclass(frozen=True)
class Training:
    """How a network is trained: gradient descent with momentum, and a learning rate that falls as a cosine.

    ``seed`` decides the order of images and all changes of them.
    """

    epochs: int = 3
    batch_size: int = 64
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0

    def __post_init__(self) -> None:
        require_count("epochs", self.epochs)
        require_count("batch_size", self.batch_size)

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, from 0.

        >>> [round(Training(epochs=2).rate(epoch), 4) for epoch in range(2)]
        [0.01, 0.005]
        """
        return self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


def train(
    runner: NetworkRunner,
    images: Tensor,
    labels: Tensor,
    change: Change | None,
    training: Training,
    folder: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> None:
    """Train the runner's network in place on images ``(N, C, *s)`` with labels ``(N,)``; leave it in evaluation mode.

    With ``folder``, the state after each epoch is stored there, and a later call with the same arguments continues
    after the last stored epoch, with the same result as without an interruption. Raises :class:`ShapeError` for
    another number of labels, and :class:`ResultsError` for a folder of another training.
    """
    require_labels(images, labels)
    network = runner.network
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=training.learning_rate,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
    )
    facts = {"change": repr(change), **asdict(training), "images": _checksum([images, labels])}
    facts["network"] = _checksum(network.state_dict().values())
    done = 0 if folder is None else _restore(runner, optimizer, folder, facts)
    for epoch in range(done, training.epochs):
        for group in optimizer.param_groups:
            group["lr"] = training.rate(epoch)
        loss = _train_epoch(runner, optimizer, images, labels, change, training, epoch)
        if folder is not None:
            _store(runner, optimizer, folder, facts, epoch + 1)
        if on_epoch is not None:
            on_epoch(epoch + 1, loss)
    network.eval()


def require_labels(images: Tensor, labels: Tensor) -> None:
    """Raise :class:`ShapeError` unless there is one label for each image."""
    if labels.shape != images.shape[:1]:
        raise ShapeError(f"expected labels ({len(images)},), one for each image, got {tuple(labels.shape)}")


def _train_epoch(
    runner: NetworkRunner,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    change: Change | None,
    training: Training,
    epoch: int,
) -> float:
    """Run one epoch and return the mean loss; its random numbers depend on the seed and the epoch only."""
    device = next(runner.network.parameters()).device
    seed = training.seed * 1_000_003 + epoch
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    runner.network.train()
    with torch.enable_grad(), seeded(seed, device):  # networks may have dropout
        for rows in torch.split(torch.randperm(len(images), generator=generator), training.batch_size):
            x = images[rows] if change is None else change(images[rows], generator)
            logits = runner(x.to(device), counted=False)
            loss = torch.nn.functional.cross_entropy(logits, labels[rows].to(device))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            total += float(loss.detach()) * len(rows)
    optimizer.zero_grad()
    return total / len(images)


def _checksum(tensors: Iterable[Tensor]) -> int:
    """Return a number that identifies the values of tensors."""
    total = 0
    for tensor in tensors:
        total = zlib.crc32(tensor.detach().cpu().contiguous().numpy().tobytes(), total)
    return total


def _store(
    runner: NetworkRunner, optimizer: torch.optim.Optimizer, folder: Path, facts: dict[str, Any], epochs: int
) -> None:
    state = {"facts": facts, "epochs": epochs}
    state |= {"network": runner.network.state_dict(), "optimizer": optimizer.state_dict()}
    data = io.BytesIO()
    torch.save(state, data)
    write_file(writable_folder(folder) / _FILE, data.getvalue(), durable=True)


def _restore(runner: NetworkRunner, optimizer: torch.optim.Optimizer, folder: Path, facts: dict[str, Any]) -> int:
    """Load the stored state and return the number of epochs that are done."""
    path = folder / _FILE
    if not path.exists():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        stored, epochs = state["facts"], int(state["epochs"])
        if stored == facts:
            runner.network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
    except Exception as error:  # torch raises many kinds of errors for damaged files
        raise ResultsError(
            f"{path} is damaged ({type(error).__name__}): delete it or choose another folder"
        ) from None
    if stored != facts:
        names = ", ".join(name for name in facts if stored.get(name) != facts[name])
        raise ResultsError(f"{path} is of another training, it differs in {names}: choose another folder")
    return epochs

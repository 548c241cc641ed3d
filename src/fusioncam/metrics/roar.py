"""ROAR: the accuracy of networks that are trained again without the pixels that a method finds relevant."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fusioncam.errors import ResultsError, SettingError, require_known, require_number
from fusioncam.functional.heatmaps import precise
from fusioncam.inference.random_state import seeded
from fusioncam.inference.training import OnEpoch, Training
from fusioncam.methods.base import Method
from fusioncam.methods.registry import METHODS
from fusioncam.metrics.base import validate_heatmaps
from fusioncam.metrics.finetuning import accuracy, batches, finetune
from fusioncam.metrics.masking import pixel_order
from fusioncam.metrics.randomisation import reset
from fusioncam.model.arguments import as_explained
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import writable_folder, write_file

# the pixels that are removed: the most relevant ones (ROAR) or the least relevant ones (KAR)
REMOVED = ("most", "least")
# images that are explained at once, and whose heatmaps are stored together
Labelled = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Retraining:
    """The accuracy on whole images, and for each share of removed pixels that of a network trained without them."""

    whole: float
    accuracies: dict[float, float]


def roar(
    model: ExplainedModel | nn.Module,
    train: Labelled,
    test: Labelled,
    method: str | Method,
    shares: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    *,
    removed: str = "most",
    restart: bool = True,
    training: Training | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> Retraining:
    """Train a network without the relevant pixels for each share, and return the accuracies (Hooker et al. 2019).

    Remove and retrain, arXiv 1806.10758. The method explains the label of each image with the given network. The
    ``shares`` of the pixels that it finds most relevant show 0, the mean colour, in both sets, and a network is
    trained and tested on them. A faithful method leaves little to learn: lower is better, and a method should be
    compared with ``"random"``, which here removes other pixels from each image. Equal pixels are removed in random
    order.

    Args:
        model: the model, or a network.
        train: network inputs ``(N, C, *s)`` and labels ``(N,)``.
        test: the same for the images of the test.
        method: a SPEC or a callable.
        shares: of the pixels that are removed, each in [0, 1].
        removed: "most" relevant pixels, or "least"; then higher is better.
        restart: train from random weights, as the paper does; without it from the given ones, which takes fewer
            epochs.
        training: the number of epochs, the batch size and so on.
        seed: of the random weights, of the order of equal pixels, and of ``"random"``.
        folder: heatmaps and epochs are stored there, and after an interruption the same call continues. Use one
            folder for each method.
        on_epoch: is called with the number of each epoch and its mean loss.

    Returns:
        The accuracy on whole images, ``whole``, and that for each share, ``accuracies``.

    Raises:
        ResultsError: for a folder of other images or of another training.
        SettingError: for shares out of range.

    Examples:
        ```python
        from fusioncam.metrics.roar import roar

        for method in ("grad-cam", "random"):
            print(method, roar(model, (images, labels), (x, target), method, shares=[0.5]).accuracies)
        ```
    """
    require_known("choice of removed pixels", removed, REMOVED)
    if not shares:
        raise SettingError("shares must contain at least one share of pixels, got none")
    for share in shares:
        require_number("share", share, 0, 1)
    model = as_explained(model)
    where = None if folder is None else Path(folder)
    sign = 1 if removed == "most" else -1
    ranks = {
        name: pixel_order(sign * heatmaps_of(model, method, *data, where and where / name, seed), "random", seed)
        for name, data in (("train", train), ("test", test))
    }
    start = restarted(model, seed) if restart else model
    accuracies = {}
    for share in shares:
        images, others = (without(data[0], ranks[name], share) for name, data in (("train", train), ("test", test)))
        place = where and where / f"{removed}-{share:g}"
        tuned = finetune(start, images, train[1], None, training, place, on_epoch)
        accuracies[share] = accuracy(tuned, others, test[1])
    return Retraining(accuracy(model, *test), accuracies)


def without(images: Tensor, ranks: Tensor, share: float) -> Tensor:
    """Return images ``(N, C, *s)`` whose first share of pixels by rank ``(N, *s)`` shows 0.

    >>> without(torch.ones(1, 1, 4), torch.tensor([[2, 0, 3, 1]]), 0.5).tolist()
    [[[1.0, 0.0, 1.0, 0.0]]]
    """
    hidden = ranks < round(share * ranks[0].numel())
    return images.masked_fill(hidden[:, None].to(images.device), 0)


def restarted(model: ExplainedModel, seed: int) -> ExplainedModel:
    """Return the model with a copy of its network whose layers are all initialised again."""
    network = copy.deepcopy(model.network)
    with seeded(seed, model.device):
        for module in network.modules():
            if next(module.parameters(False), None) is not None:
                reset(module)
    return model.with_network(network)


def heatmaps_of(
    model: ExplainedModel,
    method: str | Method,
    images: Tensor,
    labels: Tensor,
    folder: Path | None = None,
    seed: int = 0,
) -> Tensor:
    """Return the method's heatmaps ``(N, *s)`` of the labels ``(N,)``; those in the folder are not computed again.

    "random" differs from image to image: a network soon learns to do without pixels that every image lacks.
    """
    if method == "random":
        return torch.rand(len(images), *images.shape[2:], generator=torch.Generator().manual_seed(seed))
    method = METHODS[method] if isinstance(method, str) else method
    pairs = enumerate(batches(images, torch.as_tensor(labels)))
    return torch.cat([_stored(model, method, x, target, folder, n) for n, (x, target) in pairs])


def _stored(
    model: ExplainedModel, method: Method, x: Tensor, target: Tensor, folder: Path | None, number: int
) -> Tensor:
    if folder is None:
        return _explained(model, method, x, target)
    path = folder / f"heatmaps-{number:05}.pt"
    if not path.exists():
        data = io.BytesIO()
        torch.save(_explained(model, method, x, target), data)
        write_file(writable_folder(folder) / path.name, data.getvalue())
    try:
        stored: Tensor = torch.load(path, map_location="cpu", weights_only=True)
        return validate_heatmaps(stored, x.cpu())
    except Exception as error:  # torch raises many kinds of errors for damaged files
        raise ResultsError(f"{path} does not hold the heatmaps of these images: choose another folder") from error


def _explained(model: ExplainedModel, method: Method, x: Tensor, target: Tensor) -> Tensor:
    return precise(validate_heatmaps(method(model, x, target), x)).cpu()

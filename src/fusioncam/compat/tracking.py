"""Log explanations of fixed images while a network is trained: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from torch import nn

from fusioncam.data.images import ImageLike
from fusioncam.errors import InputTypeError, shown
from fusioncam.explanations.explain import explain_each
from fusioncam.explanations.explanation import Explanation
from fusioncam.methods.base import Method
from fusioncam.model.explained_model import ExplainedModel

# trust levels as numbers, so that a tracker draws their course
LEVELS = {"good": 1.0, "mixed": 0.5, "poor": 0.0}


class Tracker(NamedTuple):
    """How images and numbers are logged, each by name, value and step."""

    image: Callable[[str, Image.Image, int], Any]
    number: Callable[[str, float, int], Any]


def log_explanations(
    tracker: Any,
    images: Iterable[ImageLike],
    *,
    model: nn.Module | ExplainedModel,
    step: int,
    layer: str | None = None,
    method: str | Method = "grad-cam",
    target: int | str | None = None,
    check: bool = False,
    name: str = "explanations",
) -> list[Explanation]:
    """Log the overlay and the probability of each image, and with ``check`` its trust level, and return them.

    ``tracker`` is a ``SummaryWriter`` of TensorBoard, a run of Weights & Biases, the module ``mlflow`` or a logger of
    Lightning. The names are ``explanations/0/overlay``, ``explanations/0/probability`` and ``explanations/0/trust``:
    1 is good, 0.5 mixed and 0 poor. The other arguments are those of :func:`fusioncam.explain`; ``target`` keeps the
    class the same while predictions change.

    The network is left in its mode, with its gradients. Raises :class:`InputTypeError` for another tracker.
    """
    logged = tracker_of(tracker)
    found = list(explain_each(images, model=model, layer=layer, methods=[method], target=target, check=check))
    for number, explanation in enumerate(found):
        logged.image(f"{name}/{number}/overlay", explanation.overlay(), step)
        logged.number(f"{name}/{number}/probability", explanation.probability, step)
        card = explanation.card
        if card is not None:
            logged.number(f"{name}/{number}/trust", LEVELS[card.level], step)
    return found


def tracker_of(tracker: Any) -> Tracker:
    """Return how a tracker logs; raise :class:`InputTypeError` if it is none of the known ones."""
    if isinstance(tracker, Tracker):
        return tracker
    if hasattr(tracker, "experiment"):  # a logger of Lightning
        return _of_lightning(tracker)
    if hasattr(tracker, "add_image"):
        return Tracker(
            lambda name, image, step: tracker.add_image(name, np.asarray(image), step, dataformats="HWC"),
            tracker.add_scalar,
        )
    if hasattr(tracker, "log_image") and hasattr(tracker, "log_metric"):
        return Tracker(
            lambda name, image, step: tracker.log_image(image, key=name, step=step),
            lambda name, value, step: tracker.log_metric(name, value, step=step),
        )
    if type(tracker).__module__.partition(".")[0] == "wandb":
        wandb = sys.modules["wandb"]  # the run comes from it
        return Tracker(
            lambda name, image, step: tracker.log({name: wandb.Image(image)}, step=step),
            lambda name, value, step: tracker.log({name: value}, step=step),
        )
    raise InputTypeError(
        "expected a SummaryWriter of TensorBoard, a run of Weights & Biases, the module mlflow, a logger of "
        f"Lightning or a fusioncam.compat.tracking.Tracker, got {shown(tracker)}"
    )


def _of_lightning(logger: Any) -> Tracker:
    """Return how a logger of Lightning logs: as what it wraps; MLflow's client needs the run."""
    run = getattr(logger, "run_id", None)
    if run is None:
        return tracker_of(logger.experiment)
    client = logger.experiment
    return Tracker(
        lambda name, image, step: client.log_image(run, image, key=name, step=step),
        lambda name, value, step: client.log_metric(run, name, value, step=step),
    )

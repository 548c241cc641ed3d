"""A callback of Lightning that logs explanations of fixed images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from torch import nn

from fusioncam.compat.tracking import Tracker, log_explanations, tracker_of
from fusioncam.data.images import ImageLike
from fusioncam.errors import InputTypeError, require_count
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.optional import extra

_MODULE = "lightning.pytorch" if find_spec("lightning") else "pytorch_lightning"
Callback: Any = extra("lightning", _MODULE, "callbacks of Lightning").Callback


class LogExplanations(Callback):  # type: ignore[misc] # Lightning is optional
    """Log explanations of the same images after the validation of every ``every``-th epoch, to all loggers of images.

    ``model`` returns what is explained for the ``LightningModule``: a network or an :class:`ExplainedModel` with its
    preprocessing; by default the module itself is the network. ``settings`` are those of
    :func:`fusioncam.compat.tracking.log_explanations`. The steps are the trainer's.
    """

    def __init__(
        self,
        images: Sequence[ImageLike],
        *,
        model: Callable[[Any], nn.Module | ExplainedModel] | None = None,
        every: int = 1,
        **settings: Any,
    ) -> None:
        super().__init__()
        require_count("every", every)
        self.images, self.model, self.every, self.settings = list(images), model, every, settings

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Raise :class:`InputTypeError` before the training if no logger takes images."""
        if stage == "fit" and not _trackers(trainer.loggers):
            raise InputTypeError(f"no logger takes images, got {trainer.loggers}: use TensorBoard, W&B or MLflow")

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Explain the images, except before training and in other processes than the first."""
        if trainer.sanity_checking or not trainer.is_global_zero or trainer.current_epoch % self.every:
            return
        model = pl_module if self.model is None else self.model(pl_module)
        trackers = _trackers(trainer.loggers)
        everywhere = Tracker(
            lambda *values: [tracker.image(*values) for tracker in trackers],
            lambda *values: [tracker.number(*values) for tracker in trackers],
        )
        log_explanations(everywhere, self.images, model=model, step=trainer.global_step, **self.settings)


def _trackers(loggers: Iterable[Any]) -> list[Tracker]:
    """Return those of the loggers that take images."""
    found = []
    for logger in loggers:
        with suppress(InputTypeError):
            found.append(tracker_of(logger))
    return found

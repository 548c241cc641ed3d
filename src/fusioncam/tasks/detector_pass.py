"""A pass of a detector that keeps its gradients, and the modules that make its predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision.models import detection as tv

from fusioncam.tasks.predictions import Predictions, detection_head, read_predictions

_TORCHVISION = (tv.generalized_rcnn.GeneralizedRCNN, tv.RetinaNet, tv.FCOS, tv.ssd.SSD)
# names of modules of torchvision and transformers that turn feature maps into predictions
_HEADS = {
    *("rpn", "roi_heads", "head", "decoder", "class_embed", "bbox_embed", "class_labels_classifier"),
    *("bbox_predictor", "enc_output", "enc_score_head", "enc_bbox_head"),
}
_DEPTH = 3  # of a head in a network


class DetectorPass:
    """Runs a detector on ``x`` ``(N, 3, H, W)`` and reads its predictions.

    The network gets a tensor, or a list of images if it refuses a tensor, as torchvision's interface demands.
    """

    def __init__(self, network: nn.Module) -> None:
        self._lists: bool | None = isinstance(network, _TORCHVISION) or None

    def __call__(self, detector: nn.Module, x: Tensor) -> list[Predictions]:
        """Return the predictions of each image, with gradients."""
        head = detection_head(detector)
        _forget_anchors(head)
        with _attached(head):
            return read_predictions(self._output(detector, x), detector, x)

    def _output(self, detector: nn.Module, x: Tensor) -> object:
        if self._lists is not None:
            return detector(list(x) if self._lists else x)
        try:
            output = detector(x)
            self._lists = False
        except (TypeError, AttributeError) as error:
            output = self._of_list(detector, x, error)
        return output

    def _of_list(self, detector: nn.Module, x: Tensor, error: Exception) -> object:
        """Return the output for a list of images; raise the error of the tensor if this fails too."""
        try:
            output = detector(list(x))
        except (TypeError, AttributeError):
            raise error from None
        self._lists = True
        return output


def head_names(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the modules whose outputs are predictions rather than feature maps."""
    if detection_head(network) is not None:
        return (f"model.{len(network.model) - 1}",)  # type: ignore[arg-type] # a Sequential
    names = [name for name, _ in network.named_modules() if name.rpartition(".")[2] in _HEADS]
    return tuple(name for name in names if name.count(".") < _DEPTH)


class _Attached(TorchFunctionMode):
    """Make ``Tensor.detach`` return the tensor itself."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is Tensor.detach:
            return args[0]
        return function(*args, **(kwargs or {}))


@contextmanager
def _attached(head: nn.Module | None) -> Iterator[None]:
    """Keep the gradients of ultralytics networks without non-maximum suppression, which detach the maps.

    They detach them so that one of their two heads trains the rest of the network; both heads read the same maps.
    """
    if head is None or not getattr(head, "end2end", False) or not torch.is_grad_enabled():
        yield
        return
    with _Attached():
        yield


def _forget_anchors(head: nn.Module | None) -> None:
    """Let an ultralytics head compute its anchors again: those of its predictor are of inference mode."""
    anchors = getattr(head, "anchors", None)
    if isinstance(anchors, Tensor) and anchors.is_inference():
        head.shape = None  # type: ignore[union-attr] # it has anchors


def class_names(network: nn.Module) -> tuple[str, ...] | None:
    """Return the names of a detector's classes: ultralytics' ``names``, transformers' ``config.id2label``."""
    names = getattr(network, "names", None) or getattr(getattr(network, "config", None), "id2label", None)
    if isinstance(names, Mapping) and sorted(names) == list(range(len(names))):
        return tuple(str(names[index]) for index in range(len(names)))
    return None


def is_detector(network: nn.Module) -> bool:
    """Return whether the network is a detector of ultralytics, torchvision or transformers."""
    of_transformers = any(
        kind.__module__.startswith("transformers.") and kind.__name__.endswith("ForObjectDetection")
        for kind in type(network).__mro__
    )
    of_ultralytics = detection_head(network) is not None and hasattr(network, "names")
    return isinstance(network, _TORCHVISION) or of_transformers or of_ultralytics

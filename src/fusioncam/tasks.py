"""Wrappers that return a row of scores from networks for tasks other than classification.

    model = ExplainedModel(Segmentation(segmenter), "wrapped.backbone.layer4", preprocessing=...)

A wrapper is itself a network, ``(N, C, H, W) -> (N, classes)``. The wrapped network is its attribute ``wrapped``, so
that a layer inside is named ``wrapped.layer4``.

Fusion-CAM and other methods need probabilities, the softmax of the row. If a task has a single logit ``z`` for a yes
or no question, the row is ``(-z / 2, z / 2)``: its softmax is exactly ``(sigmoid(-z), sigmoid(z))``. Target 1
explains the evidence for "yes", and target 0 the evidence for "no". A single column would always have the probability
1.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou

from fusioncam.errors import InputTypeError, NonFiniteError, SettingError, ShapeError, TargetError
from fusioncam.functional.heatmaps import precise
from fusioncam.inference.output_reading import OutputReader
from fusioncam.inference.outputs import Read, part_of, parts_of
from fusioncam.model.explained_model import ExplainedModel

# keeps the log-odds of a missing detection finite
_FLOOR = 1e-6


class _Wrapper(nn.Module):
    """Base class of the wrappers."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise InputTypeError(f"expected a network (an instance of torch.nn.Module), got {network!r}")
        self.wrapped = network
        self.reader = OutputReader(warns=False)

    def _register(self, name: str, values: Tensor) -> None:
        """Register a buffer that moves with the network but is not part of its state dict."""
        self.register_buffer(name, values, persistent=False)


class Segmentation(_Wrapper):
    """Scores of a semantic segmentation network, as in Seg-Grad-CAM (Vinogradova et al. 2020, arXiv 2002.11434).

    ``network`` returns logits ``(N, classes, H, W)``, as a tensor (segmentation_models_pytorch), in a mapping under
    the key ``out`` (torchvision), as ``.logits`` (transformers), or as the only maps in a dict or tuple. For others
    ``output`` is the key, the position, or a function of the network's output. Probabilities, softmax or sigmoids,
    are turned into logits. A single channel is treated as two classes, no and yes. ``region`` is a boolean mask
    ``(H, W)`` of the network's output, the same for all images of a batch.

    The score of class c is the mean of its logit over the region: the sum of the paper divided by the number of
    pixels, because the softmax of sums would be 0 or 1. Grad-CAM's heatmap is the same for both. Without a region,
    each class has the pixels that the network assigns to it in each image, and the sum is divided by the number of
    all pixels. The score therefore falls when a mask removes pixels of the class, which a mean over the remaining
    pixels would not. A class without pixels has the score 0 and no gradient.

    Masked images are segmented again. To score the same pixels of all masked images, set the region.

    The default layer of the model is the last one with maps of at most an eighth of the image's sides, because later
    ones are close to the result itself. Other good layers are the last one of the backbone
    (``wrapped.backbone.layer4``) or the bottleneck of a U-Net.

    Raises :class:`ShapeError` for a region or an output of another shape.
    """

    region: Tensor | None
    returns_maps = True  # the default layer is before the maps of classes

    def __init__(self, network: nn.Module, region: Tensor | None = None, output: Read = "out") -> None:
        super().__init__(network)
        if region is not None:
            region = torch.as_tensor(region)
            if region.dtype != torch.bool or not region.any():
                raise ShapeError(
                    f"region must be a boolean mask (H, W) with at least one pixel, got {region.dtype} "
                    f"{tuple(region.shape)} with {int((region != 0).sum())} pixels"
                )
        self._register("region", region)  # type: ignore[arg-type] # a buffer may be None
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)`` for ``x`` ``(N, C, H, W)``."""
        logits = self.reader.logits(lambda: self._output_of(self.wrapped(x)), x)
        logits = _two_columns(logits[:, 0]) if logits.shape[1] == 1 else logits
        if self.region is None:
            assigned = torch.zeros_like(logits, dtype=torch.bool)
            assigned = assigned.scatter(1, logits.argmax(1, keepdim=True), value=True)
            return logits.where(assigned, 0).flatten(2).mean(2)
        if self.region.shape != logits.shape[2:]:
            shapes = f"{tuple(logits.shape[2:])}, but the region is {tuple(self.region.shape)}"
            raise ShapeError(f"the network's output is {shapes}; resize the region to the output")
        return logits[:, :, self.region].mean(2)

    def _output_of(self, output: object) -> Tensor:
        parts = dict(parts_of(output))
        if self.output in parts or callable(self.output):
            output = part_of(output, self.output)
        elif parts:
            maps = [part for part in parts.values() if isinstance(part, Tensor) and part.dim() > 2]
            if len(maps) != 1 or self.output != "out":
                raise ShapeError(
                    f"the network's output has no key '{self.output}'; set output to one of "
                    f"{', '.join(map(str, parts))}"
                )
            output = maps[0]
        if not isinstance(output, Tensor) or output.dim() < 3:
            raise ShapeError(f"expected logits (N, classes, H, W) from the network, got {_describe(output)}")
        return output


class Detection(_Wrapper):
    """Confidence of a detector in the class ``label`` at ``box``: two columns, "not found" (0) and "found" (1).

    ``network`` is a torchvision detector (Faster R-CNN, RetinaNet, FCOS, SSD, Mask R-CNN) or a network with the same
    interface: for a list of images it returns a list of dicts with ``boxes`` ``(D, 4)``, ``labels`` ``(D,)`` and
    ``scores`` ``(D,)``. ``box`` is ``(x1, y1, x2, y2)`` in pixels of x, the same for all images of a batch. ``label``
    is a label of the network; in torchvision 0 is the background.

    The probability of "found" is the highest product of score and IoU with the box among the detections of that
    label, and 0 without detections: the similarity of D-RISE (Petsiuk et al. 2021, arXiv 2006.03204) without the
    other classes. Boxes and scores are the detector's output after non-maximum suppression. The gradient is that of
    the score; the IoU is a constant factor, because at the detector's own box it is not differentiable and its slope
    is rounding error.

    - torchvision's detectors normalise and resize their input, so x must be pixels in [0, 1]: use
      ``Preprocessing(size, resize, mean=(0, 0, 0), std=(1, 1, 1))``. The fill "mean" is then black.
    - They drop detections below a threshold, so that the score of masked images jumps to 0: build the network with
      ``box_score_thresh=0`` (RetinaNet, FCOS, SSD: ``score_thresh=0``).
    - They pad images to multiples of 32 pixels after resizing (except SSD). The feature maps then include the
      padding, so use sizes that need none.
    - Use a layer of the backbone, such as ``wrapped.backbone.body.layer4``. The heads run once per pyramid level.

    Raises :class:`ShapeError` for an invalid box or an output of another form, and :class:`TargetError` for an
    invalid label.
    """

    box: Tensor

    def __init__(self, network: nn.Module, box: Sequence[float] | Tensor, label: int) -> None:
        super().__init__(network)
        self._register("box", _box(box))
        self.label = _index(label, "label")

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 2)``, half the log-odds against and for the detection, for ``x`` ``(N, 3, H, W)``."""
        detections = self.wrapped(list(x))
        if not isinstance(detections, Sequence):
            raise ShapeError(f"expected a list of detections from the network, got {_describe(detections)}")
        return _two_columns(torch.stack([self._log_odds(detected) for detected in detections]))

    def _log_odds(self, detected: object) -> Tensor:
        if not isinstance(detected, Mapping) or not {"boxes", "labels", "scores"} <= set(detected):
            raise ShapeError(f"expected boxes, labels and scores for each image, got {_describe(detected)}")
        scores, boxes = precise(detected["scores"]), precise(detected["boxes"].detach())
        weights = box_iou(self.box[None].to(boxes), boxes)[0] * (detected["labels"] == self.label)
        best = F.pad(scores * weights, (0, 1)).max()  # without detections: 0, with a gradient of 0
        return torch.logit(_FLOOR + (1 - 2 * _FLOOR) * best)


class Embedding(_Wrapper):
    """Similarity of an embedding to references: column i for reference i, and a last one for "none of them".

    ``network`` returns embeddings ``(N, D)``; ``references`` is ``(R, D)``. Score i is the cosine similarity to
    reference i divided by ``temperature``, and the last column is ``neutral / temperature``. The probability of
    reference i therefore compares it with the other references and with the cosine that is neither similar nor
    different. Use a lower temperature if cosines differ little, and set ``neutral`` to the threshold of the task.

    Raises :class:`ShapeError` or :class:`NonFiniteError` for invalid references, and :class:`SettingError` for a
    temperature that is not positive.
    """

    references: Tensor

    def __init__(
        self, network: nn.Module, references: Tensor, *, temperature: float = 0.1, neutral: float = 0.5
    ) -> None:
        super().__init__(network)
        self._register("references", _references(references))
        self.temperature = _positive(temperature, "temperature")
        self.neutral = neutral

    @classmethod
    def of_images(cls, network: nn.Module, x: Tensor, *, temperature: float = 0.1, neutral: float = 0.5) -> Embedding:
        """Use the embeddings of images ``x`` ``(R, C, H, W)`` as references; the network is left unchanged."""
        references = ExplainedModel(network).logits(x)
        return cls(network, references, temperature=temperature, neutral=neutral)

    of_pictures = of_images  # its earlier name

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, R + 1)`` for ``x`` ``(N, C, H, W)``."""
        embeddings = self.wrapped(x)
        size = self.references.shape[1]
        if not isinstance(embeddings, Tensor) or embeddings.shape[1:] != (size,):
            raise ShapeError(f"expected embeddings (N, {size}) like the references, got {_describe(embeddings)}")
        similarity = F.normalize(embeddings) @ F.normalize(self.references.to(embeddings)).T
        return F.pad(similarity, (0, 1), value=self.neutral) / self.temperature


class Regression(_Wrapper):
    """Evidence for a high or a low output of a network: two columns, "below the centre" (0) and "above" (1).

    ``network`` returns ``(N,)`` or ``(N, outputs)``, of which ``output`` is explained. With
    ``v = (y - centre) / scale``, the probability of "above" is ``sigmoid(v)``, a soft threshold for methods that need
    probabilities. Set ``centre`` to a typical value and ``scale`` to the typical deviation from it (the mean and
    standard deviation of the training values), because the probability is nearly constant far from the centre.
    Grad-CAM's heatmap depends on neither.

    Raises :class:`ShapeError` or :class:`TargetError` for an output that does not exist, and :class:`SettingError`
    for a scale that is not positive.
    """

    def __init__(self, network: nn.Module, output: int = 0, *, centre: float = 0.0, scale: float = 1.0) -> None:
        super().__init__(network)
        self.output = _index(output, "output")
        self.centre = centre
        self.scale = _positive(scale, "scale")

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 2)`` for ``x`` ``(N, C, H, W)``."""
        return _two_columns((_column(_rows(self.wrapped(x), len(x)), self.output) - self.centre) / self.scale)


class MultiLabel(_Wrapper):
    """One of several labels that are not exclusive: two columns, "absent" (0) and "present" (1).

    ``network`` returns one logit per label, ``(N, labels)``, or ``(N,)`` for a single label; probabilities are turned
    into log-odds. The probability of "present" is the sigmoid of the logit of ``label``. With a softmax over all
    labels, the other labels would lower it, although an image may show several.

    Raises :class:`ShapeError` or :class:`TargetError` for a label that does not exist.
    """

    def __init__(self, network: nn.Module, label: int = 0) -> None:
        super().__init__(network)
        self.label = _index(label, "label")

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 2)`` for ``x`` ``(N, C, H, W)``."""
        logits = self.reader.log_odds(lambda: _rows(self.wrapped(x), len(x)), x)
        return _two_columns(_column(logits, self.label))


# -- helpers ----------------------------------------------------------------------------------------------


def _two_columns(z: Tensor) -> Tensor:
    """Stack ``(-z / 2, z / 2)`` along dimension 1; their softmax is ``sigmoid(-z)``, ``sigmoid(z)``."""
    return torch.stack([-z, z], dim=1) / 2


def _rows(output: object, images: int) -> Tensor:
    """Return an output ``(N, outputs)`` or ``(N,)`` as ``(N, outputs)``."""
    if not isinstance(output, Tensor) or output.dim() not in (1, 2) or len(output) != images:
        raise ShapeError(f"expected ({images}, outputs) or ({images},) from the network, got {_describe(output)}")
    return output.reshape(images, -1)


def _column(rows: Tensor, index: int) -> Tensor:
    if index >= rows.shape[1]:
        raise TargetError(f"index must be from 0 to {rows.shape[1] - 1}, the last output of the network, got {index}")
    return rows[:, index]


def _index(value: object, name: str) -> int:
    """Convert an integer of Python, numpy or torch; raise :class:`TargetError` for others and negative ones."""
    try:
        index = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type] # TypeError is caught
    except TypeError:
        index = -1
    if index < 0:
        raise TargetError(f"{name} must be an index of at least 0, got {value!r}")
    return index


def _positive(value: float, name: str) -> float:
    if not 0 < value < float("inf"):
        raise SettingError(f"{name} must be a positive number, got {value!r}")
    return value


def _box(box: Sequence[float] | Tensor) -> Tensor:
    try:
        corners = torch.as_tensor(box, dtype=torch.float32).detach()
    except (TypeError, ValueError, RuntimeError):
        corners = torch.empty(0)
    if corners.shape != (4,) or not (corners[:2] < corners[2:]).all():
        raise ShapeError(f"box must be (x1, y1, x2, y2) in pixels with x1 < x2 and y1 < y2, got {box!r}")
    return corners


def _references(references: Tensor) -> Tensor:
    if not isinstance(references, Tensor) or references.dim() != 2 or len(references) == 0:
        is_vector = isinstance(references, Tensor) and references.dim() == 1
        hint = "; use references[None]" if is_vector else ""
        raise ShapeError(f"expected reference embeddings (R, D) with R > 0, got {_describe(references)}{hint}")
    lengths = references.detach().norm(dim=1)
    if not (lengths.isfinite() & (lengths > 0)).all():
        raise NonFiniteError(f"references must have finite, positive norms, got {lengths.tolist()}")
    return references.detach()


def _describe(output: object) -> str:
    return str(tuple(output.shape)) if isinstance(output, Tensor) else type(output).__name__

"""Networks that are no classifiers, wrapped so that a row of scores comes out.

    model = ExplainedModel(Segmentation(segmenter), "wrapped.backbone.layer4", preprocessing=...)

A wrapper is a network itself, ``(N, C, H, W) -> (N, classes)``. What it wraps stands at ``wrapped``, so that a
layer inside is named ``wrapped.layer4``.

Fusion-CAM and others ask for probabilities, the softmax of the row. Where a task has one number ``z`` that says
yes or no, the row is ``(-z / 2, z / 2)``: its softmax is ``sigmoid(z)`` exactly, target 1 asks what speaks for
it and target 0 what speaks against it. One column alone would have the probability 1 whatever is seen.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou

from fusioncam.errors import NonFiniteError, ShapeError, TargetError, UnknownNameError
from fusioncam.functional.heatmaps import precise
from fusioncam.model.explained_model import ExplainedModel

# keeps the log-odds of a detection that is not there finite
_FLOOR = 1e-6


class _Wrapper(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise ShapeError(f"expected a network (an instance of torch.nn.Module), got {network!r}")
        self.wrapped = network

    def _keep(self, name: str, values: Tensor) -> None:
        """Let a tensor follow the network to its device, and stay out of its state dict."""
        self.register_buffer(name, values, persistent=False)


class Segmentation(_Wrapper):
    """What a semantic segmenter sees of a class: Seg-Grad-CAM's score (Vinogradova et al. 2020, arXiv 2002.11434).

    ``network`` gives logits ``(N, classes, H, W)``, as a tensor or in a mapping under ``output``: a dict of
    torchvision, a plain tensor of segmentation_models_pytorch. One channel is read as yes or no, two classes.
    ``region`` is a boolean mask ``(H, W)`` of the network's output, the same for all images of a batch.

    The score of class c is the sum of its logit over the region, as in the paper, over the number of pixels of the
    region: a sum would make the softmax over the classes all or nothing, and Grad-CAM's map is the same.
    Without a region each class has the pixels that the network itself gives to it, image by image, and the sum
    is over the number of all pixels. So the score falls when a mask costs the class its pixels, which a mean over
    the pixels that are left would not; a class without pixels scores 0 and has no gradient.

    Masked images are segmented anew. To ask about the same pixels throughout, give the region.

    Name the layer: the last one that gives maps is the class logits themselves. Good ones are the backbone's last
    (``wrapped.backbone.layer4``) or a U-Net's bottleneck.

    Raises :class:`ShapeError` for a region or an output of another shape.
    """

    region: Tensor | None

    def __init__(self, network: nn.Module, region: Tensor | None = None, output: str = "out") -> None:
        super().__init__(network)
        if region is not None:
            region = torch.as_tensor(region)
            if region.dtype != torch.bool or not region.any():
                raise ShapeError(
                    f"region is a boolean mask (H, W) with at least one pixel, got {region.dtype} "
                    f"{tuple(region.shape)} with {int((region != 0).sum())} pixels"
                )
        self._keep("region", region)  # type: ignore[arg-type] # no buffer is a buffer too
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        """Give scores ``(N, classes)`` for ``x`` ``(N, C, H, W)``."""
        logits = self._maps(self.wrapped(x))
        if self.region is None:
            own = torch.zeros_like(logits, dtype=torch.bool).scatter(1, logits.argmax(1, keepdim=True), value=True)
            return logits.where(own, 0).flatten(2).mean(2)
        if self.region.shape != logits.shape[2:]:
            got = f"{tuple(logits.shape[2:])}, the region is {tuple(self.region.shape)}"
            raise ShapeError(f"the network gives {got}: resize the region to what the network gives")
        return logits[:, :, self.region].mean(2)

    def _maps(self, output: object) -> Tensor:
        if isinstance(output, Mapping):
            if self.output not in output:
                raise ShapeError(f"the network gives no '{self.output}' but {', '.join(output)}: name one as output")
            output = output[self.output]
        if not isinstance(output, Tensor) or output.dim() < 3:
            raise ShapeError(f"expected logits (N, classes, H, W) of the network, got {_shown(output)}")
        return _either(output[:, 0]) if output.shape[1] == 1 else output


class Detection(_Wrapper):
    """How surely a detector finds the class ``label`` at ``box``: two columns, "not found" (0) and "found" (1).

    ``network`` is a torchvision detector (Faster R-CNN, RetinaNet, FCOS, SSD, Mask R-CNN) or one that works alike:
    from a list of images it gives ``boxes`` ``(D, 4)``, ``labels`` and ``scores`` ``(D,)`` of each. ``box`` is
    ``(x1, y1, x2, y2)`` in pixels of x, the same for all images of a batch; ``label`` a label as the network
    counts, in torchvision with the background as 0.

    The probability of "found" is the highest score * IoU with the box among the detections of that label, 0 where
    there is none: D-RISE's similarity (Petsiuk et al. 2021, arXiv 2006.03204) without the other classes. Boxes and
    scores are the detector's own, after its suppression of overlaps. The gradient is that of the score; the IoU
    only weighs it, for at the detector's own box it has a kink and its slope is rounding.

    - torchvision's detectors normalise and resize by themselves: x is pixels in [0, 1], so give
      ``Preprocessing(size, resize, mean=(0, 0, 0), std=(1, 1, 1))``. The fill "mean" is black then.
    - They drop detections below a threshold. Under masks it makes the score jump to 0: build the network with
      ``box_score_thresh=0`` (RetinaNet, FCOS, SSD: ``score_thresh=0``).
    - They pad images to multiples of 32 pixels after resizing (SSD does not). The maps then cover the padding
      too: choose sizes that need none.
    - Name a layer of the backbone, such as ``wrapped.backbone.body.layer4``. The heads run once for each level.

    Raises :class:`ShapeError` for a box that is none or an output of another form, :class:`TargetError` for a label
    that is no index.
    """

    box: Tensor

    def __init__(self, network: nn.Module, box: Sequence[float] | Tensor, label: int) -> None:
        super().__init__(network)
        self._keep("box", _box(box))
        self.label = _index(label, "label")

    def forward(self, x: Tensor) -> Tensor:
        """Give scores ``(N, 2)``, half the log-odds against and for it, for ``x`` ``(N, 3, H, W)``."""
        found = self.wrapped(list(x))
        if not isinstance(found, Sequence):
            raise ShapeError(f"expected a list of detections of the network, got {_shown(found)}")
        return _either(torch.stack([self._log_odds(one) for one in found]))

    def _log_odds(self, found: object) -> Tensor:
        if not isinstance(found, Mapping) or not {"boxes", "labels", "scores"} <= set(found):
            raise ShapeError(f"expected boxes, labels and scores of each image, got {_shown(found)}")
        scores, boxes = precise(found["scores"]), precise(found["boxes"].detach())
        weights = box_iou(self.box[None].to(boxes), boxes)[0] * (found["labels"] == self.label)
        best = F.pad(scores * weights, (0, 1)).max()  # 0 where nothing is found, with a gradient that is zero
        return torch.logit(_FLOOR + (1 - 2 * _FLOOR) * best)


class Embedding(_Wrapper):
    """How alike an embedding is to references: column i for reference i, and a last one, "none of them".

    ``network`` gives embeddings ``(N, D)``; ``references`` is ``(R, D)``. Score i is the cosine similarity to
    reference i over ``temperature``, the last column is ``neutral / temperature``. So the probability of
    reference i compares it with the others and with the cosine that counts as neither alike nor different. Lower
    the temperature where cosines differ little; set ``neutral`` to the threshold that the task works with.

    Raises :class:`ShapeError` or :class:`NonFiniteError` for references that are none, :class:`UnknownNameError`
    for a temperature that is not above 0.
    """

    references: Tensor

    def __init__(
        self, network: nn.Module, references: Tensor, *, temperature: float = 0.1, neutral: float = 0.5
    ) -> None:
        super().__init__(network)
        self._keep("references", _references(references))
        self.temperature = _positive(temperature, "temperature")
        self.neutral = neutral

    @classmethod
    def of_images(cls, network: nn.Module, x: Tensor, *, temperature: float = 0.1, neutral: float = 0.5) -> Embedding:
        """Take the embeddings of images ``x`` ``(R, C, H, W)`` as references; leaves no trace in the network."""
        references = ExplainedModel(network).logits(x)
        return cls(network, references, temperature=temperature, neutral=neutral)

    def forward(self, x: Tensor) -> Tensor:
        """Give scores ``(N, R + 1)`` for ``x`` ``(N, C, H, W)``."""
        embeddings = self.wrapped(x)
        sides = self.references.shape[1]
        if not isinstance(embeddings, Tensor) or embeddings.shape[1:] != (sides,):
            raise ShapeError(f"expected embeddings (N, {sides}) as the references are, got {_shown(embeddings)}")
        alike = F.normalize(embeddings) @ F.normalize(self.references.to(embeddings)).T
        return F.pad(alike, (0, 1), value=self.neutral) / self.temperature


class Regression(_Wrapper):
    """What makes one number of a network high or low: two columns, "below the centre" (0) and "above" (1).

    ``network`` gives ``(N,)`` or ``(N, outputs)``; ``output`` is which. With ``v = (y - centre) / scale`` the
    probability of "above" is ``sigmoid(v)``, a soft threshold, for methods that ask for probabilities. Set
    ``centre`` to a usual value and ``scale`` to how far values usually lie from it (the mean and standard deviation
    of the training values): far from the centre the probability hardly moves. Grad-CAM's map depends on neither.

    Raises :class:`ShapeError` or :class:`TargetError` for outputs that are not there, :class:`UnknownNameError` for a
    scale that is not above 0.
    """

    def __init__(self, network: nn.Module, output: int = 0, *, centre: float = 0.0, scale: float = 1.0) -> None:
        super().__init__(network)
        self.output = _index(output, "output")
        self.centre = centre
        self.scale = _positive(scale, "scale")

    def forward(self, x: Tensor) -> Tensor:
        """Give scores ``(N, 2)`` for ``x`` ``(N, C, H, W)``."""
        return _either((_column(self.wrapped(x), self.output, len(x)) - self.centre) / self.scale)


class MultiLabel(_Wrapper):
    """One of several labels that do not exclude each other: two columns, "absent" (0) and "present" (1).

    ``network`` gives a logit for each label, ``(N, labels)``, or ``(N,)`` where there is one, before the sigmoid.
    The probability of "present" is the sigmoid of the logit of ``label``. A softmax over all labels would let the
    others lower it, though an image may show both.

    Raises :class:`ShapeError` or :class:`TargetError` for labels that are not there.
    """

    def __init__(self, network: nn.Module, label: int = 0) -> None:
        super().__init__(network)
        self.label = _index(label, "label")

    def forward(self, x: Tensor) -> Tensor:
        """Give scores ``(N, 2)`` for ``x`` ``(N, C, H, W)``."""
        return _either(_column(self.wrapped(x), self.label, len(x)))


# -- inside -----------------------------------------------------------------------------------------------


def _either(z: Tensor) -> Tensor:
    """Give ``(-z / 2, z / 2)`` side by side in dimension 1: their softmax is ``sigmoid(-z)``, ``sigmoid(z)``."""
    return torch.stack([-z, z], dim=1) / 2


def _column(output: object, index: int, images: int) -> Tensor:
    """Read one column ``(N,)`` of ``(N, outputs)`` or ``(N,)``."""
    if not isinstance(output, Tensor) or output.dim() not in (1, 2) or len(output) != images:
        raise ShapeError(f"expected the network to give ({images}, outputs) or ({images},), got {_shown(output)}")
    rows = output.reshape(images, -1)
    if index >= rows.shape[1]:
        raise TargetError(f"output {index} of {rows.shape[1]} outputs: give an index from 0 to {rows.shape[1] - 1}")
    return rows[:, index]


def _index(value: object, what: str) -> int:
    """Take Python's, numpy's and torch's integers from 0 on."""
    try:
        index = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type] # that is the question
    except TypeError:
        index = -1
    if index < 0:
        raise TargetError(f"{what} is an index from 0 on, got {value!r}")
    return index


def _positive(value: float, what: str) -> float:
    if not 0 < value < float("inf"):
        raise UnknownNameError(f"{what} is a number above 0, got {value!r}")
    return value


def _box(box: Sequence[float] | Tensor) -> Tensor:
    try:
        corners = torch.as_tensor(box, dtype=torch.float32).detach()
    except (TypeError, ValueError, RuntimeError):
        corners = torch.empty(0)
    if corners.shape != (4,) or not (corners[:2] < corners[2:]).all():
        raise ShapeError(f"box is (x1, y1, x2, y2) in pixels with x1 < x2 and y1 < y2, got {box!r}")
    return corners


def _references(references: Tensor) -> Tensor:
    if not isinstance(references, Tensor) or references.dim() != 2 or len(references) == 0:
        hint = ": add references[None]" if isinstance(references, Tensor) and references.dim() == 1 else ""
        raise ShapeError(f"expected reference embeddings (R, D) with R > 0, got {_shown(references)}{hint}")
    lengths = references.detach().norm(dim=1)
    if not (lengths.isfinite() & (lengths > 0)).all():
        raise NonFiniteError(f"references need a direction, got embeddings of the lengths {lengths.tolist()}")
    return references.detach()


def _shown(output: object) -> str:
    return str(tuple(output.shape)) if isinstance(output, Tensor) else type(output).__name__

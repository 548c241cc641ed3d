"""Scores of the classes of a semantic segmentation, overall or in a region."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusioncam.errors import ShapeError
from fusioncam.inference.outputs import Read, part_of, parts_of
from fusioncam.tasks.wrapper import Wrapper, describe_output, two_columns


class Segmentation(Wrapper):
    """Scores of a semantic segmentation network, as in Seg-Grad-CAM (Vinogradova et al. 2020, arXiv 2002.11434).

    The score of class c is the mean of its logit over the region: the sum of the paper divided by the number of
    pixels, because the softmax of sums would be 0 or 1. Grad-CAM's heatmap is the same for both. Without a region,
    each class has the pixels that the network assigns to it in each image, and the sum is divided by the number of
    all pixels. The score therefore falls when a mask removes pixels of the class, which a mean over the remaining
    pixels would not. A class without pixels has the score 0 and no gradient.

    Masked images are segmented again. To score the same pixels of all masked images, set the region.

    The default layer of the model is the last one with maps of at most an eighth of the image's sides, because later
    ones are close to the result itself. Other good layers are the last one of the backbone
    (``wrapped.backbone.layer4``) or the bottleneck of a U-Net.

    Args:
        network: returns logits ``(N, classes, H, W)``, as a tensor (segmentation_models_pytorch), in a mapping under
            the key ``out`` (torchvision), as ``.logits`` (transformers), or as the only maps in a dict or tuple.
            Probabilities, softmax or sigmoids, are turned into logits. A single channel is treated as two classes,
            no and yes.
        region: a boolean mask ``(H, W)`` of the network's output, the same for all images of a batch.
        output: where the maps of other networks are: the key, the position, or a function of the network's output.

    Raises:
        ShapeError: for a region or an output of another shape.

    Examples:
        ```python
        model = fc.ExplainedModel(fc.tasks.Segmentation(unet))  # x (N, 3, H, W) -> maps (N, classes, H, W)
        heatmaps = fc.METHODS["grad-cam"](model, x, target)
        ```
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
        logits = two_columns(logits[:, 0]) if logits.shape[1] == 1 else logits
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
            raise ShapeError(f"expected logits (N, classes, H, W) from the network, got {describe_output(output)}")
        return output

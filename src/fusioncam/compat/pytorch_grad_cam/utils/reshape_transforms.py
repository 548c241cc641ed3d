"""Functions from the output of a layer to feature maps, under the names of pytorch-grad-cam.

Vision transformers and Swin need none: :class:`fusioncam.ExplainedModel` reads their tokens by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def vit_reshape_transform(tensor: Tensor, height: int = 14, width: int = 14) -> Tensor:
    """Return the maps of tokens ``(N, 1 + height width, K)``, of which the first is the class token."""
    return tensor[:, 1:].reshape(len(tensor), height, width, -1).movedim(-1, 1)


def swinT_reshape_transform(tensor: Tensor, height: int = 7, width: int = 7) -> Tensor:  # their name
    """Return the maps of tokens ``(N, height width, K)``."""
    return tensor.reshape(len(tensor), height, width, -1).movedim(-1, 1)


def fasterrcnn_reshape_transform(x: Mapping[str, Tensor]) -> Tensor:
    """Return the absolute values of all maps of a feature pyramid, at the size of its ``pool``, as channels."""
    size = x["pool"].shape[-2:]
    return torch.cat([F.interpolate(maps.abs(), size, mode="bilinear") for maps in x.values()], dim=1)

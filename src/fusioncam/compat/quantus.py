"""Any of our methods as an ``explain_func`` of Quantus."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fusioncam.methods.base import Method
from fusioncam.methods.registry import as_method
from fusioncam.model.explained_model import ExplainedModel


def explain_func(
    model: nn.Module,
    inputs: Any,
    targets: Any,
    *,
    method: str | Method = "fusion-cam",
    layer: str | nn.Module | None = None,
    device: str | torch.device | None = None,
    **settings: Any,
) -> NDArray[np.float32]:
    """Return heatmaps ``(N, 1, H, W)`` in [0, 1] for images ``(N, C, H, W)`` and classes ``(N,)``, as arrays.

    Quantus calls it: ``metric(..., explain_func=explain_func, explain_func_kwargs={"method": "grad-cam", "layer":
    "layer4"})``. ``method`` is a name with settings as on the command line, or a callable. ``settings`` are those of
    :class:`ExplainedModel`. The heatmaps are computed where the network is; ``device`` is not used.
    """
    explained = ExplainedModel(model, layer, **settings)
    x, target = torch.as_tensor(np.asarray(inputs, np.float32)), torch.as_tensor(np.asarray(targets))
    heatmaps = as_method(method)[1](explained, x.to(explained.device), target.to(explained.device))
    found: NDArray[np.float32] = heatmaps[:, None].float().cpu().numpy()
    return found

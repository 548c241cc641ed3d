"""FinerCAM as pytorch-grad-cam calls it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusioncam.compat.pytorch_grad_cam.base_cam import BaseCAM, Layers
from fusioncam.compat.pytorch_grad_cam.cams import GradCAM, require_cam
from fusioncam.compat.pytorch_grad_cam.utils.model_targets import FinerWeightedTarget
from fusioncam.compat.targets import OutputTarget, output_tensor
from fusioncam.errors import TargetError
from fusioncam.model.explained_model import ExplainedModel


class FinerCAM:
    """The ``base_method`` of :class:`FinerWeightedTarget`: what separates a class from the most similar ones.

    Our ``finer-cam`` has the paper's other form, with the mean of the similar classes and ``gamma=0.6``.
    """

    def __init__(
        self,
        model: nn.Module,
        target_layers: Layers,
        reshape_transform: Callable[[Any], Tensor] | None = None,
        base_method: type[BaseCAM] = GradCAM,
    ) -> None:
        require_cam(base_method)
        self.base_cam = base_method(model, target_layers, reshape_transform)
        self.uses_gradients = self.base_cam.uses_gradients
        self.compute_input_gradient = self.base_cam.compute_input_gradient

    def __call__(
        self,
        input_tensor: Tensor,
        targets: Sequence[OutputTarget] | None = None,
        eigen_smooth: bool = False,
        alpha: float = 1,
        comparison_categories: Sequence[int] | None = None,
        target_idx: int | None = None,
    ) -> NDArray[np.float32]:
        """Return heatmaps ``(N, H, W)``; ``comparison_categories`` are ranks of similarity, 1 is the most similar."""
        if targets is None:
            outputs = output_tensor(ExplainedModel(self.base_cam.model).runner.output(input_tensor))
            if outputs is None or outputs.dim() != 2 or outputs.shape[1] < 2:
                raise TargetError("the network does not return scores (N, classes) of several classes: pass targets")
            ranks = (1, 2, 3) if comparison_categories is None else comparison_categories
            targets = [_finer_target(scores, ranks, alpha, target_idx) for scores in outputs]
        return self.base_cam(input_tensor, targets, eigen_smooth=eigen_smooth)

    forward = __call__

    @property
    def outputs(self) -> Any:
        """What the network returned in the last call."""
        return self.base_cam.outputs

    def __enter__(self) -> FinerCAM:
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing; an error inside the block is raised."""


def _finer_target(scores: Tensor, ranks: Sequence[int], alpha: float, index: int | None) -> FinerWeightedTarget:
    main = int(scores.argmax()) if index is None else index
    distances = (scores - scores[main]).abs()
    distances[main] = -torch.inf  # another class may have the same score
    order = distances.argsort(stable=True).tolist()
    return FinerWeightedTarget(main, [order[rank] for rank in ranks if rank < len(order)], alpha)

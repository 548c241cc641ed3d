"""``eigen_smooth``: the first principal component of a method's weighted channels in place of their sum."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from fusioncam.errors import FusionCamWarning
from fusioncam.functional.cam import eigen_grad_cam
from fusioncam.functional.heatmaps import expand_like
from fusioncam.methods.activation import ActivationCAM
from fusioncam.methods.base import Method, RecordedCAM, to_heatmap
from fusioncam.methods.gradient import EigenGradCAM, SegEigenCAM
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


def eigen_smoothed(method: Method) -> Method:
    """Return the method with the principal component of its weighted channels, of the sign of their sum.

    Methods that are principal components themselves stay as they are, and so do those without gradients or without
    weighted channels.
    """
    if isinstance(method, (ActivationCAM, EigenGradCAM, SegEigenCAM)):
        return method
    if not isinstance(method, RecordedCAM) and not hasattr(method, "channel_weights"):
        warnings.warn(f"eigen_smooth has no effect on {method!r}, which weights no channels", FusionCamWarning, 3)
        return method

    def smoothed(model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        channels = _weighted_channels(method, model, x, target)
        return to_heatmap(eigen_grad_cam(channels, torch.ones_like(channels)), x, method)

    return smoothed


def _weighted_channels(method: Any, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Return the terms ``(N, K, *s)`` whose sum over channels is the method's cam."""
    if isinstance(method, RecordedCAM):
        record = model.record(x, target)
        # the cam of a single channel is its term
        alone = (maps.flatten(0, 1)[:, None] for maps in (record.activations, record.gradients))
        return method.cam(*alone).reshape(record.activations.shape)
    activations, weights = method.channel_weights(model, x, target)
    return torch.as_tensor(activations * expand_like(weights, activations))

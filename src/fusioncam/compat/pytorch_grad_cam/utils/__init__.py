"""Targets, image functions and reshape transforms under the names of pytorch-grad-cam."""

from fusioncam.compat.pytorch_grad_cam.utils import model_targets, reshape_transforms
from fusioncam.compat.pytorch_grad_cam.utils.image import deprocess_image
from fusioncam.compat.pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

__all__ = ["deprocess_image", "get_2d_projection", "model_targets", "reshape_transforms"]

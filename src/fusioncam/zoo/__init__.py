"""Load models by name, from built-in weights, timm, torchvision, checkpoints or your own functions."""

from fusioncam.zoo.loading import DEFAULT_MODEL, MODELS, load_model

__all__ = ["DEFAULT_MODEL", "MODELS", "load_model"]

"""Turn names and checkpoints into models."""

from fusioncam.zoo.loading import DEFAULT_MODEL, MODELS, load_model

__all__ = ["DEFAULT_MODEL", "MODELS", "load_model"]

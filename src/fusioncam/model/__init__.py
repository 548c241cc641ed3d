"""A network, where its feature maps are, and how an image becomes its input."""

from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.recording import Record

__all__ = ["ExplainedModel", "Record"]

"""The ablation layers of pytorch-grad-cam: accepted and not used, because Ablation-CAM changes layers by hooks."""

from __future__ import annotations


class AblationLayer:
    """Accepted by :class:`AblationCAM` and not used."""


class AblationLayerVit(AblationLayer):
    """Accepted by :class:`AblationCAM` and not used: token layouts are read by themselves."""


class AblationLayerFasterRCNN(AblationLayer):
    """Accepted by :class:`AblationCAM` and not used."""

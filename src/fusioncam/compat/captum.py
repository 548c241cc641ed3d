"""Any of our methods as an ``Attribution`` of captum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fusioncam.errors import InputTypeError, SettingError
from fusioncam.methods.base import Method
from fusioncam.methods.registry import as_method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.optional import extra

Attribution: Any = extra("captum", "captum.attr", "captum's attributions").Attribution
# its other functions call what this decorator wraps
log_usage: Any = extra("captum", "captum.log", "captum's attributions").log_usage


class FusionCamAttribution(Attribution):  # type: ignore[misc] # captum is optional
    """Attribute a network's scores to locations: ``FusionCamAttribution(network, "fusion-cam", "layer4")``.

    ``method`` is a name with settings as on the command line, or a callable; ``layer`` is a name or a module.
    Attributions are heatmaps in [0, 1], ``(N, 1, H, W)``, or ``(N, C, H, W)`` with ``per_channel``, for functions of
    captum that need the shape of the input. ``settings`` are those of :class:`ExplainedModel`.
    """

    def __init__(
        self,
        model: nn.Module,
        method: str | Method = "fusion-cam",
        layer: str | nn.Module | None = None,
        *,
        per_channel: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(model)
        self.method = as_method(method)[1]
        self.model = ExplainedModel(model, layer, **settings)
        self.per_channel = per_channel

    @log_usage()  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Tensor | tuple[Tensor],
        target: int | Tensor | list[int] | None = None,
        additional_forward_args: object = None,
    ) -> Tensor | tuple[Tensor]:
        """Return the attributions of a class for ``inputs`` ``(N, C, H, W)``, of the predicted class if None.

        A tuple of one tensor returns a tuple. Raises :class:`InputTypeError` for several inputs, and
        :class:`SettingError` for ``additional_forward_args``.
        """
        if additional_forward_args is not None:
            raise SettingError("additional_forward_args are not available: wrap the network in one that adds them")
        if isinstance(inputs, tuple):
            if len(inputs) != 1:
                raise InputTypeError(f"expected one input tensor, got {len(inputs)}: wrap the network in one of one")
            return (self._heatmaps(inputs[0], target),)
        return self._heatmaps(inputs, target)

    @torch.no_grad()
    def _heatmaps(self, x: Tensor, target: Any) -> Tensor:
        chosen = self.model.logits(x).argmax(1) if target is None else target
        heatmaps = self.method(self.model, x, chosen)[:, None].to(x)
        return heatmaps.expand_as(x).clone() if self.per_channel else heatmaps

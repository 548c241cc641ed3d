"""Extractors under the names of torch-cam: ``out = model(x)``, then ``extractor(class_idx, out)``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fusioncam import methods
from fusioncam.compat.targets import OutputTarget, require_targets, target_columns
from fusioncam.errors import InputTypeError, MethodError, SettingError
from fusioncam.functional.heatmaps import minmax, upsample
from fusioncam.inference.hooks import InputMemory
from fusioncam.inference.layer_names import layer_name
from fusioncam.inference.settings import Speed
from fusioncam.methods.base import Method
from fusioncam.model.explained_model import ExplainedModel

# torch-cam's names of settings, and ours
_SETTINGS = {"num_samples": "samples", "std": "std", "gamma": "gamma", "num_references": "references"}
# what ours finds by itself, or does not need
_IGNORED = {"input_shape", "enable_hooks", "fc_layer", "prefix_tokens", "grid_shape", "score_projection"}


class _CAM(AbstractContextManager["_CAM"]):
    """Heatmaps ``(N, H, W)`` in [0, 1] of the input of the network's last pass, a list with one per layer."""

    method: Method

    def __init__(
        self,
        model: nn.Module,
        target_layer: nn.Module | str | Sequence[nn.Module | str] | None = None,
        *,
        batch_size: int | None = None,
        reshape_transform: Callable[[Any], Tensor] | None = None,
        **settings: Any,
    ) -> None:
        self.model = model
        listed = target_layer if isinstance(target_layer, (list, tuple)) else [target_layer]
        self.target_names = [layer_name(model, layer) for layer in listed if layer is not None]
        self.method = _with_settings(self.method, settings)
        self._reading: dict[str, Any] = {"reshape": reshape_transform, "speed": Speed(chunk=batch_size)}
        self._memory = InputMemory(model)

    def __call__(
        self,
        class_idx: int | Sequence[int] | None = None,
        scores: Any = None,
        normalized: bool = True,
        *,
        targets: OutputTarget | Sequence[OutputTarget] | None = None,
    ) -> list[Tensor]:
        """Return the heatmaps of a class, of one class per image, or of ``targets``; ``scores`` is not needed."""
        if not normalized:
            raise SettingError("normalized=False is not available: heatmaps are in [0, 1]")
        if (class_idx is None) == (targets is None):
            raise InputTypeError("pass exactly one of class_idx and targets")
        x = self._memory.x
        if x is None:
            raise MethodError("the network has not run since the extractor was created: call model(x) first")
        with self._memory.paused():
            return [self._heatmaps(layer, x, class_idx, targets) for layer in self.target_names or (None,)]

    def _heatmaps(self, layer: str | None, x: Tensor, target: Any, targets: Any) -> Tensor:
        if targets is None:
            model = ExplainedModel(self.model, layer, **self._reading)
        else:
            model, target = target_columns(self.model, require_targets(targets, len(x)), layer=layer, **self._reading)
        return self.method(model, x, target)

    def remove_hooks(self) -> None:
        """Stop remembering the input of the network."""
        self._memory.remove()

    def __exit__(self, *error: object) -> None:
        """Remove the hook; an error inside the block is raised."""
        self.remove_hooks()

    @classmethod
    def fuse_cams(cls, cams: Sequence[Tensor], target_shape: Sequence[int] | None = None) -> Tensor:
        """Return the highest value of several layers' heatmaps at each location, at the largest size."""
        if not cams or not all(isinstance(cam, Tensor) for cam in cams):
            raise InputTypeError("expected a list with at least one heatmap (N, H, W)")
        size = target_shape or [max(sides) for sides in zip(*(cam.shape[1:] for cam in cams), strict=True)]
        return torch.stack([upsample(cam, size) for cam in cams]).amax(0)


def _with_settings(method: Any, settings: dict[str, Any]) -> Any:
    given = sorted(settings.keys() - _IGNORED)
    for name in given:
        if not hasattr(method, _SETTINGS.get(name, "")):
            raise SettingError(f"{type(method).__name__} has no setting '{name}': see its class in fusioncam.methods")
    return replace(method, **{_SETTINGS[name]: settings[name] for name in given})


def _extractor(name: str, method: Any) -> type[_CAM]:
    return type(name, (_CAM,), {"method": method, "__doc__": f"{name} with our {method!r}."})


CAM = _extractor("CAM", methods.CAM())
GradCAM = _extractor("GradCAM", methods.GradCAM())
GradCAMpp = _extractor("GradCAMpp", methods.GradCAMPlusPlus())
SmoothGradCAMpp = _extractor("SmoothGradCAMpp", methods.SmoothGradCAMPlusPlus())
XGradCAM = _extractor("XGradCAM", methods.XGradCAM())
LayerCAM = _extractor("LayerCAM", methods.LayerCAM())
ScoreCAM = _extractor("ScoreCAM", methods.ScoreCAM())
SSCAM = _extractor("SSCAM", methods.SSCAM())
ISCAM = _extractor("ISCAM", methods.ISCAM())
FinerCAM = _extractor("FinerCAM", methods.FinerCAM())
LeGrad = _extractor("LeGrad", methods.LeGrad())


class RefineCAM(_CAM):
    """RefineCAM: the product of the heatmaps of ``base_method`` at several layers, in a list of one."""

    def __init__(self, *args: Any, base_method: type[_CAM] = GradCAMpp, **settings: Any) -> None:
        self.method = base_method.method
        super().__init__(*args, **settings)

    def __call__(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        """Return the product of the layers' heatmaps."""
        return [minmax(torch.stack(super().__call__(*args, **kwargs)).prod(0))]

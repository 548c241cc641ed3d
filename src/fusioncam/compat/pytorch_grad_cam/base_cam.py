"""The call of pytorch-grad-cam's classes, with our methods behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusioncam.compat.pytorch_grad_cam.eigen_smooth import eigen_smoothed
from fusioncam.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from fusioncam.compat.targets import OutputTarget, output_tensor, require_targets, target_columns
from fusioncam.errors import InputTypeError, LayerError, MethodError, SettingError, TargetError, shown
from fusioncam.functional.heatmaps import minmax
from fusioncam.inference.layer_names import layer_name
from fusioncam.inference.settings import Speed
from fusioncam.methods.base import REDUCTIONS, Method
from fusioncam.model.explained_model import ExplainedModel

Layers = Sequence[nn.Module | str] | nn.Module | str


class BaseCAM:
    """Heatmaps ``(N, H, W)`` in [0, 1] as NumPy arrays: ``cam(input_tensor=x, targets=[...])``.

    ``target_layers`` are modules of the network or their names; the heatmaps of several are averaged and rescaled.
    ``reshape_transform`` turns the output of a layer into feature maps ``(N, K, h, w)``; it is only needed where
    :class:`ExplainedModel` does not read the layer by itself. ``batch_size`` is the number of images in a pass of
    masked images. After a call ``outputs`` is what the network returned. A ``with`` block is allowed, but not needed:
    nothing is left in the network after a call.
    """

    method: ClassVar[Method | None] = None
    rule: ClassVar[str] = "mean"
    uses_gradients: bool = True
    compute_input_gradient: bool = False

    def __init__(
        self,
        model: nn.Module,
        target_layers: Layers = (),
        reshape_transform: Callable[[Any], Tensor] | None = None,
        *,
        use_cuda: bool = False,
        tpu_required: bool = False,
        batch_size: int | None = None,
    ) -> None:
        if use_cuda or tpu_required:
            raise SettingError("heatmaps are computed where the network is: move it, as with model.to('cuda')")
        if not isinstance(model, nn.Module):
            raise InputTypeError(f"expected a network (an instance of torch.nn.Module), got {shown(model)}")
        if self.method is None:
            raise MethodError(
                f"{type(self).__name__} has no method: derive your own from fusioncam.methods.RecordedCAM, which "
                "computes a map from activations and gradients"
            )
        self.model = model
        alone = isinstance(target_layers, (nn.Module, str))
        self.target_layers: list[Any] = [target_layers] if alone else list(target_layers)  # type: ignore[arg-type]
        self.reshape_transform = reshape_transform
        self.batch_size = batch_size
        self.outputs: Any = None
        self._names = [layer_name(model, layer) for layer in self.target_layers]

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return ExplainedModel(self.model).device

    def __call__(
        self,
        input_tensor: Tensor,
        targets: Sequence[OutputTarget] | None = None,
        aug_smooth: bool = False,
        eigen_smooth: bool = False,
    ) -> NDArray[np.float32]:
        """Return the heatmaps of the images, of their predicted classes if ``targets`` is None.

        ``aug_smooth`` averages over mirror images and three contrasts. ``eigen_smooth`` returns the first principal
        component of the weighted channels in place of their sum.
        """
        self.outputs = ExplainedModel(self.model).runner.output(input_tensor)
        chosen = self._predicted() if targets is None else require_targets(targets, len(input_tensor))
        models, target = self._models(chosen)
        images = _augmented(input_tensor) if aug_smooth else iter([(input_tensor, False)])
        heatmaps = []
        for x, mirrored in images:
            heatmap = self._heatmaps(models, x, target, eigen_smooth)
            heatmaps.append(heatmap.flip(-1) if mirrored else heatmap)
        found: NDArray[np.float32] = torch.stack(heatmaps).mean(0).float().cpu().numpy()
        return found

    def forward(
        self, input_tensor: Tensor, targets: Sequence[OutputTarget] | None = None, eigen_smooth: bool = False
    ) -> NDArray[np.float32]:
        """Return the heatmaps without augmentation."""
        return self(input_tensor, targets, eigen_smooth=eigen_smooth)

    def _predicted(self) -> list[OutputTarget]:
        outputs = output_tensor(self.outputs)
        if outputs is None or outputs.dim() != 2:
            raise TargetError("the network does not return scores (N, classes): pass targets=[...], one per image")
        return [ClassifierOutputTarget(index) for index in outputs.argmax(1).tolist()]

    def _models(self, targets: list[OutputTarget]) -> tuple[list[ExplainedModel], Tensor]:
        """Return the network at each layer, and each image's class or column of scores."""
        speed = Speed(chunk=self.batch_size)
        settings: dict[str, Any] = {"speed": speed, "reshape": self.reshape_transform if self._names else None}
        outputs = output_tensor(self.outputs)
        classes = [target.category for target in targets if type(target) is ClassifierOutputTarget]
        layers: list[Any] = [self.model.get_submodule(name) for name in self._names]
        if len(classes) == len(targets) and outputs is not None and outputs.dim() == 2:
            model, target = ExplainedModel(self.model, *layers[:1], **settings), torch.tensor(list(map(int, classes)))
        else:
            model, target = target_columns(self.model, targets, layer=(layers or [None])[0], **settings)
        return [model, *(model.with_layer(layer) for layer in layers[1:])], target

    def _heatmaps(self, models: list[ExplainedModel], x: Tensor, target: Tensor, eigen_smooth: bool) -> Tensor:
        """Return the heatmaps ``(N, *s)``, combined over the layers."""
        method = self.method
        assert method is not None  # checked when the object was created
        compute = eigen_smoothed(method) if eigen_smooth else method
        found = [_of_any_size(compute, model, x, target) for model in models]
        return found[0] if len(found) == 1 else minmax(REDUCTIONS[self.rule](torch.stack(found)))

    # -- what programs call that clean up after themselves -------------------------------------------------------

    @property
    def activations_and_grads(self) -> BaseCAM:
        """Something with a ``release`` method."""
        return self

    def release(self) -> None:
        """Do nothing, because no hook is left after a call."""

    def __enter__(self) -> BaseCAM:
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing; an error inside the block is raised."""


def _of_any_size(method: Method, model: ExplainedModel, x: Tensor, target: Tensor) -> Tensor:
    """Return the method's heatmaps, also at a layer with one location, where they are constant and therefore 0."""
    try:
        return method(model, x, target)
    except LayerError:
        if model.reshape is not None or model.layer is None:
            raise
        read = model.runner.calling.read
        other = ExplainedModel(model.network, model.layer, reshape=_one_location, speed=model.speed, read=read)
        other.runner.reader.reading = model.runner.reader.reading
        with suppress(LayerError):
            return method(other, x, target)
        raise


def _one_location(output: Any) -> Tensor:
    """Return maps ``(N, K, 1, 1)``, and nothing else."""
    return output if isinstance(output, Tensor) and output.shape[2:].numel() == 1 else torch.empty(0)


def _augmented(x: Tensor) -> Iterator[tuple[Tensor, bool]]:
    """Yield an image and its mirror image at three contrasts, and whether it is mirrored."""
    for mirrored in (False, True):
        for contrast in (0.9, 1.0, 1.1):
            yield (x.flip(-1) if mirrored else x) * contrast, mirrored

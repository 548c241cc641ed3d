"""The layers of a network that output feature maps, and how these are read, from one traced pass per input shape."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from math import prod

import torch
from torch import Tensor, nn

from fusioncam.errors import FusionCamWarning, LayerError, MethodError
from fusioncam.inference import hooks
from fusioncam.inference.capabilities import no_hooks_error
from fusioncam.inference.forward import NetworkRunner
from fusioncam.inference.hooks import ModuleCall
from fusioncam.inference.joined_layers import FollowedLayer
from fusioncam.inference.reshape import Reshape
from fusioncam.model.candidates import Candidate, find_candidates, find_higher_resolution, find_last
from fusioncam.model.gradient_support import influences, require_gradients
from fusioncam.model.layout_errors import REORDERED, ambiguous_layout, batch_error, no_layout, wrong_maps
from fusioncam.model.layouts import Layout, TokenHint, even
from fusioncam.model.module_order import contains_channels_first
from fusioncam.model.readings import Readings
from fusioncam.model.token_probe import probe_images, verified
from fusioncam.model.windows import first_window
from fusioncam.utils.recent import Recent

# shapes of the input whose traces are kept, and outputs whose layouts are
_SHAPES, _LAYOUTS = 32, 512
# later maps of a segmentation network, with larger sides than this part of the image's, are close to its answer
_COARSE = 8


class LayerSearch:
    """The layers of a network that output feature maps. The traces of the last shapes of the input are kept.

    ``readings`` says how the model's own layer is read if a function of the user does it.
    """

    def __init__(
        self, runner: NetworkRunner, layer: str | None, hint: TokenHint, reshape: Reshape | None = None
    ) -> None:
        self._runner, self._layer, self._hint = runner, layer, hint
        self.readings = {} if layer is None or reshape is None else {layer: reshape}
        self._traces = Recent[torch.Size, Readings](_SHAPES)
        self._probes = Recent[tuple[tuple[int, ...], torch.Size], list[ModuleCall]](_SHAPES)
        self._defaults = Recent[torch.Size, str](_SHAPES)
        self._layouts = Recent[tuple[str, torch.Size, torch.Size], Layout](_LAYOUTS)

    def candidates(self, x: Tensor) -> list[Candidate]:
        """Return the layers that output feature maps for ``x``, in the order in which they end.

        Raises :class:`LayerError` if there is none because the network runs no hooks.
        """
        found = find_candidates(self._trace(first_window(self._runner.network, x)))
        without_hooks = None if found else no_hooks_error(self._runner.network)
        if without_hooks is not None:
            raise without_hooks
        return found

    def default(self, x: Tensor) -> str:
        """Return the layer that the model was created with, else the last one with feature maps for this input shape.

        The scores depend on the spatial part of its output: after the last attention of a transformer, for example,
        only the class token counts. Raises :class:`LayerError` if no layer outputs feature maps.
        """
        if self._layer is not None:
            return self._layer
        x = first_window(self._runner.network, x)

        def found() -> str:
            layer = self._influential(x)
            self._warn_if_joined(layer, x)
            return layer

        return self._defaults.get(x.shape[1:], found)

    def higher_resolution(self, x: Tensor, layer: str | None = None) -> list[str]:
        """Return the last layers before ``layer`` whose maps have 2, 4, 8... times its sides, coarse to fine."""
        readings, layer = self._trace(x), layer or self.default(x)
        last_call = {call.name: call for call in readings.calls if call.shape is not None}
        if layer in self.readings:
            raise LayerError(f"layer '{layer}' is read by a function: name the layers, as in refine-cam(layers=...)")
        if layer not in last_call:
            raise LayerError(f"layer '{layer}' does not output a tensor: name a layer with feature maps")
        shape = last_call[layer].shape or torch.Size()
        layout = self.layout(layer, shape, x[:1].expand(2, *x.shape[1:]))
        return find_higher_resolution(readings, last_call[layer], max(layout.sides))

    def run(self, layer: str, runs: int, x: Tensor) -> int:
        """Return which of a layer's runs in one pass computes the maps of the image: the only one that depends on it.

        Raises :class:`LayerError` if there is none or several, as for frames of one image.
        """
        if runs < 2:
            hooks.require_once(self._runner.network, layer, runs)
            return 0
        found = self._trace(x).run_of_image(layer)
        if found is None or found >= runs:
            raise hooks.runs_error(layer, runs)
        return found

    def layout(self, layer: str, shape: torch.Size, x: Tensor) -> Layout:
        """Return the layout of the output ``shape`` of a layer, whose maps may be out of proportion to the input.

        Raises :class:`LayerError` if the output holds no maps, or if it is ambiguous how it holds them.
        """
        if layer in self.readings:
            return reshaped_layout(layer, shape, x.shape)
        if shape[0] != len(x):
            raise batch_error(layer, shape, len(x)) or no_layout(layer, shape, x.shape, self._hint)

        def found() -> Layout:
            certain = self._certain(layer, shape, x)
            return Layout(tuple(shape[2:])) if certain else self._traced_layout(layer, shape, x)

        return self._layouts.get((layer, shape[1:], x.shape[1:]), found)

    def layout_or_none(self, layer: str, shape: torch.Size, x: Tensor) -> Layout | None:
        """Return the layout of an output; None where :meth:`layout` raises."""
        try:
            return self.layout(layer, shape, x)
        except LayerError:
            return None

    def _certain(self, layer: str, shape: Sequence[int], x: Tensor) -> bool:
        """Return whether an output has channels first for certain, so that no traced pass is needed."""
        if self._hint.grid is not None or len(shape) < 4 or len(shape) != x.dim() or max(shape[2:]) == 1:
            return False
        first, last = (even(sides, x.shape[2:]) for sides in (shape[2:], shape[1:-1]))
        return first and not last and contains_channels_first(hooks.find(self._runner.network, layer))

    def _traced_layout(self, layer: str, shape: Sequence[int], x: Tensor) -> Layout:
        readings = self._trace(x)
        runs = [index for index, call in enumerate(readings.calls) if call.name == layer]
        index = max((index for index in runs if readings.is_only_run(index)), default=max(runs, default=None))
        if index is None:
            raise no_layout(layer, shape, x.shape, self._hint)
        found = readings.of(index, (2, *shape[1:]))
        cause = readings.cause(index, shape)
        if not found and not cause and self._is_out_of_proportion(readings, index, shape):
            found = [Layout(tuple(shape[2:]))]
        if not found:
            raise no_layout(layer, shape, x.shape, self._hint, cause)
        if len(found) > 1:
            raise ambiguous_layout(layer, shape, x.shape, found)
        has_order = not found[0].channels_first and len(shape) == 3 and len(found[0].sides) > 1
        return self._verified(layer, shape, x, found[0]) if has_order else found[0]

    def _verified(self, layer: str, shape: Sequence[int], x: Tensor, layout: Layout) -> Layout:
        """Return the layout of tokens that a probing pass confirms; one pass per grid and input shape."""
        calls = self._probes.get((layout.map_sides, x.shape[1:]), lambda: self._probe(x, layout.map_sides))
        confirmed = verified(layout, calls, layer, shape[1])
        if confirmed is None:
            raise no_layout(layer, shape, x.shape, self._hint, REORDERED)
        return confirmed

    def _probe(self, x: Tensor, sides: Sequence[int]) -> list[ModuleCall]:
        images = _two_images(self._runner.validate_input(x))
        with self._runner.exclusive_eval(grad=False):
            return self._calls(probe_images(images[:1], images[1:], sides), counted=False)

    def _is_out_of_proportion(self, readings: Readings, index: int, shape: Sequence[int]) -> bool:
        """Return whether an output that is not read has channels first, with sides out of proportion to the input."""
        is_map = self._hint.grid is None and len(shape) == len(readings.x) and prod(shape[2:]) > 1
        return is_map and readings.channels_first(index, shape) is not False

    def _trace(self, x: Tensor) -> Readings:
        """Return the readings of all modules' outputs for inputs of this shape."""
        return self._traces.get(x.shape[1:], lambda: self._traced(x))

    def _before_predictions(self, x: Tensor) -> Readings:
        """Return the readings without modules whose maps are already predictions, which a wrapper may name."""
        readings = self._trace(x)
        named: tuple[str, ...] = getattr(self._runner.network, "prediction_modules", ())
        if not named:
            return readings
        inside = tuple(f"{name}." for name in named)
        calls = [call for call in readings.calls if not f"{call.name}.".startswith(inside)]
        return Readings(calls, readings.x, self._hint)

    def _traced(self, x: Tensor) -> Readings:
        images = _two_images(self._runner.validate_input(x))
        with self._runner.exclusive_eval(grad=False):
            calls = self._calls(images, counted=self._layer is None)
            if any(isinstance(call.module, nn.Embedding) for call in calls):
                calls = _of_images(calls, self._calls(images[:1], counted=False))
        return Readings(calls, images.shape, self._hint)

    def _calls(self, images: Tensor, *, counted: bool) -> list[ModuleCall]:
        with hooks.trace(self._runner.network) as calls:
            self._runner(images, counted=counted)
        return calls

    def _influential(self, x: Tensor) -> str:
        """Return the last layer whose maps, without class and register tokens, influence the highest logit."""
        self.candidates(x)  # raises the error of a network without hooks
        found = self._before_answer(find_last(self._before_predictions(x)), x)
        x = self._runner.validate_input(x)[: self._runner.fixed_rows or 1]
        outputs: dict[str, list[Tensor]] = {}
        highest = torch.zeros(())
        names, network = [candidate.name for candidate in found], self._runner.network
        # without gradients, noise decides
        with suppress(MethodError), require_gradients(self._runner, x), hooks.capture(network, names) as captured:
            outputs = captured
            highest = self._runner(x).max()
        for candidate in found:  # a layer without gradients beside others that have them is detached
            run = self.run(candidate.name, len(outputs[candidate.name]), x) if highest.requires_grad else 0
            gradient = _gradient(highest, outputs[candidate.name][run]) if highest.requires_grad else None
            if gradient is not None and candidate.layout.maps(gradient).any():
                return candidate.name
        return self._influential_by_noise(x, found)

    def _warn_if_joined(self, layer: str, x: Tensor) -> None:
        """Warn if the output of a layer is only a part of a sum that no module computes."""
        if getattr(self._runner.network, "returns_maps", False):  # later layers make the answer
            return
        x = self._runner.validate_input(x)[: self._runner.fixed_rows or 1]
        followed = FollowedLayer(x)
        reading = hooks.replace_outputs(self._runner.network, {layer: followed.start}, self.readings)
        with self._runner.exclusive_eval(grad=False), followed, reading:
            self._runner(x, counted=False)
        if followed.joined_by:
            warnings.warn(
                f"layer '{layer}' is only a part of what follows: the network's forward method joins it with other "
                f"maps ({followed.joined_by}), and no module computes the result. Let it run through a module, such "
                "as self.joined = nn.Identity(), and pass layer='joined', or explain torch.export.export(network, "
                f"(x,)), where it is a layer. Pass layer='{layer}' to explain this part",
                FusionCamWarning,
                stacklevel=2,
            )

    def _before_answer(self, found: list[Candidate], x: Tensor) -> list[Candidate]:
        """Return the layers before the maps of classes that a segmentation network returns: they are its answer."""
        if not getattr(self._runner.network, "returns_maps", False):
            return found
        found = self._without_answer(found, x)
        coarse = [
            candidate
            for candidate in found
            if all(_COARSE * side <= full for side, full in zip(candidate.shape[1:], x.shape[2:], strict=False))
        ]
        smallest = min(prod(candidate.shape[1:]) for candidate in found)
        return coarse or [candidate for candidate in found if prod(candidate.shape[1:]) == smallest]

    def _without_answer(self, found: list[Candidate], x: Tensor) -> list[Candidate]:
        """Return the layers without those that have one channel for each class, if others remain."""
        with self._runner.exclusive_eval(grad=False):
            classes = self._runner(self._runner.validate_input(x[:1]), counted=False).shape[1]
        answers = (classes, 1) if classes == 2 else (classes,)
        return [candidate for candidate in found if candidate.shape[0] not in answers] or found

    def _influential_by_noise(self, x: Tensor, found: Sequence[Candidate]) -> str:
        """Return the last layer whose maps, replaced by noise, change the scores, for networks without gradients."""
        for candidate in found:
            if influences(self._runner, x, candidate.name, candidate.layout):
                return candidate.name
        return found[0].name  # in a network whose head is still all zeros, no layer does


def reshaped_layout(layer: str, shape: Sequence[int], x: Sequence[int]) -> Layout:
    """Return the layout of maps that a function read; raise :class:`LayerError` unless they are one set per image."""
    if len(shape) != len(x) or shape[0] != x[0]:
        raise wrong_maps(layer, shape, x)
    return Layout(tuple(shape[2:]))


def _of_images(two: list[ModuleCall], one: list[ModuleCall]) -> list[ModuleCall]:
    """Return the calls of a pass of two images, except those with two rows for one image too, as for text."""
    if len(two) != len(one):
        return two
    return [
        call
        for call, single in zip(two, one, strict=True)
        if call.output is None or single.output is None or (call.output.shape[0], single.output.shape[0]) != (2, 2)
    ]


def _gradient(score: Tensor, output: Tensor) -> Tensor | None:
    """Return the gradient of a score with respect to an output, None where there is none."""
    try:
        return torch.autograd.grad(score, [output], retain_graph=True, allow_unused=True)[0]
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # an operation without a backward pass
        return None


def _two_images(x: Tensor) -> Tensor:
    """Return the first image, and the same with other brightness and noise, so that all its parts differ.

    The layouts depend on which tokens differ, not on how. The global random state is not used.
    """
    image = x[:1]
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
    scale = image.abs().max()
    return torch.cat([image, image + (noise / 4 + 0.5) * (scale if scale > 0 else 1)])

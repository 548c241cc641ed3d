"""Gradients where the network has them, an error that says why where it has not, and what to do without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from fusioncam.errors import FusionCamError
from fusioncam.inference import hooks
from fusioncam.inference.capabilities import no_gradients_error
from fusioncam.inference.forward import NetworkRunner
from fusioncam.model.layouts import Layout

T = TypeVar("T")


def with_gradients(runner: NetworkRunner, x: Tensor, compute: Callable[[Tensor], T]) -> T:
    """Return ``compute(x)``, where gradients of the input or of activations exist, but none of parameters.

    So the part of the network before these tensors runs without a graph. ``compute`` receives the input as the
    network takes it. A network that fails, because it recomputes a part or uses gradients of its parameters itself,
    runs again with these. Raises the error of :func:`require_gradients`.
    """

    def run() -> T:
        return runner.with_fast_buffers(runner.validate_input(x), compute)

    try:
        with runner.exclusive_eval(grad=True, frozen=not runner.needs_trained):
            return run()
    except RuntimeError as error:
        if isinstance(error, (FusionCamError, torch.OutOfMemoryError)):
            raise
    with require_gradients(runner, x):
        result = run()
    runner.needs_trained = True
    return result


@contextmanager
def require_gradients(runner: NetworkRunner, x: Tensor) -> Iterator[None]:
    """Run the block with gradients; raise :class:`MethodError` where only these fail.

    Operations on integers, or on tensors of ``torch.inference_mode``, fail in the forward or in the backward pass.
    """
    try:
        with runner.exclusive_eval(grad=True):
            yield
    except RuntimeError as error:
        if isinstance(error, (FusionCamError, torch.OutOfMemoryError)) or not _runs_without(runner, x):
            raise
        raise no_gradients_error(runner.network) from error


def _runs_without(runner: NetworkRunner, x: Tensor) -> bool:
    try:
        with runner.exclusive_eval(grad=False):
            runner(runner.validate_input(x), counted=False)
    except Exception:  # a network may raise anything
        return False
    return True


def influences(
    runner: NetworkRunner, x: Tensor, layer: str, layout: Layout, readings: hooks.Readings | None = None
) -> bool:
    """Return whether the scores of ``x`` change if noise replaces the maps of a layer, without class tokens."""

    def change(output: Tensor) -> Tensor:
        maps = layout.maps(output)
        scale = maps.detach().abs().amax().nan_to_num(1).clamp_min(1e-6)
        noise = torch.rand(maps.shape, generator=torch.Generator().manual_seed(0)).to(maps) * scale
        return torch.cat(
            [layout.output(one, row) for one, row in zip(torch.split(noise, 1), torch.split(output, 1), strict=True)]
        )

    with runner.exclusive_eval(grad=False):
        x = runner.validate_input(x)
        before = runner(x, counted=False)
        with hooks.replace_outputs(runner.network, {layer: change}, readings or {}):
            after = runner(x, counted=False)
    return not torch.equal(before, after)

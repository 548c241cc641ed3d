"""Copies of a network with random layers, for metrics that test whether a heatmap depends on the network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import ceil

import torch
from torch import Tensor, nn

from fusioncam.errors import LayerError, MethodError
from fusioncam.inference.random_state import seeded
from fusioncam.model.explained_model import ExplainedModel


def randomised(model: ExplainedModel, stages: int, draw: str, seed: int) -> Iterator[ExplainedModel]:
    """Yield copies of the model in which more and more layers are random, the last layers first.

    Copy ``k`` of ``stages`` has the share ``k / stages`` of its layers randomised, with one of ``DRAWS``; layers that
    are random in one copy are the same in the next.

    Raises :class:`MethodError` for a network without parameters, such as one in an ONNX file.
    """
    network = model.network
    layers = [name for name, module in network.named_modules() if next(module.parameters(False), None) is not None]
    if not layers:
        raise MethodError(f"{type(network).__name__} has no parameters that can be randomised")
    layers.reverse()
    done = 0
    for stage in range(1, stages + 1):
        network = copy.deepcopy(network)
        upto = ceil(len(layers) * stage / stages)
        with seeded(seed + stage, model.device):
            for name in layers[done:upto]:
                DRAWS[draw](network.get_submodule(name))
        done = upto
        yield model.with_network(network)


def with_fixed_layer(model: ExplainedModel, x: Tensor) -> ExplainedModel:
    """Return the model with its layer fixed, because the layer search may end elsewhere in a randomised network."""
    with suppress(LayerError):  # some methods need no layer
        return model.with_layer(model.layers.default(x))
    return model


@torch.no_grad()
def shuffle(module: nn.Module) -> None:
    """Permute the values of each of a module's own parameters, in place."""
    for parameter in module.parameters(recurse=False):
        order = torch.randperm(parameter.numel()).to(parameter.device)
        parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))


@torch.no_grad()
def reset(module: nn.Module) -> None:
    """Reinitialise a module by its own ``reset_parameters``, in place; shuffle its parameters if it has none."""
    initialise = getattr(module, "reset_parameters", None)
    initialise() if callable(initialise) else shuffle(module)


# ways to randomise a layer
DRAWS: dict[str, Callable[[nn.Module], None]] = {"shuffle": shuffle, "reset": reset}

"""TODO."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil

import torch
from torch import Tensor, nn

from fusioncam.errors import LayerError
from fusioncam.model.explained_model import ExplainedModel


def randomised(model: ExplainedModel, stages: int, draw: str, seed: int) -> Iterator[ExplainedModel]:
    """Give copies of the model with ever more of its layers random, the last ones first."""
    network = model.network
    layers = [name for name, module in network.named_modules() if next(module.parameters(False), None) is not None]
    layers.reverse()
    done = 0
    for stage in range(1, stages + 1):
        network = copy.deepcopy(network)
        upto = ceil(len(layers) * stage / stages)
        with seeded(seed + stage, model.device):
            for name in layers[done:upto]:
                DRAWS[draw](network.get_submodule(name))
        done = upto
        yield ExplainedModel(
            network,
            model.layer,
            grid=model.grid,
            preprocessing=model.preprocessing,
            labels=model.labels,
            name=model.name,
            speed=model.speed,
        )


def with_fixed_layer(model: ExplainedModel, x: Tensor) -> ExplainedModel:
    """Give the model with its layer named: a network that has forgotten might lead to another one."""
    with suppress(LayerError):  # there are methods that need none
        return model.with_layer(model.layer_for(x))
    return model


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from ``seed`` in this block, on the CPU and on the device, and leave the caller's draws as they were."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@torch.no_grad()
def shuffle(module: nn.Module) -> None:
    """Put the values of each of a module's own parameters in random order, in place."""
    for parameter in module.parameters(recurse=False):
        order = torch.randperm(parameter.numel()).to(parameter.device)
        parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))


@torch.no_grad()
def reset(module: nn.Module) -> None:
    """Let a module initialise its own parameters, in place; shuffle them if it cannot."""
    own = getattr(module, "reset_parameters", None)
    own() if callable(own) else shuffle(module)


DRAWS: dict[str, Callable[[nn.Module], None]] = {"shuffle": shuffle, "reset": reset}

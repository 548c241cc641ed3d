"""Find layers by their type or a predicate, under the names of pytorch-grad-cam."""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import nn


def find_layer_types_recursive(model: nn.Module, layer_types: Collection[type[nn.Module]]) -> list[nn.Module]:
    """Return the modules inside the network whose class is one of these."""
    return find_layer_predicate_recursive(model, lambda layer: type(layer) in layer_types)


def find_layer_predicate_recursive(model: nn.Module, predicate: Callable[[nn.Module], bool]) -> list[nn.Module]:
    """Return the modules inside the network for which the predicate is true."""
    return [module for module in model.modules() if module is not model and predicate(module)]

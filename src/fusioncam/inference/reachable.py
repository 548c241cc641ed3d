"""Networks that run without calling their modules, with layers that hooks reach."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from fusioncam.inference import exported
from fusioncam.inference.capabilities import inner_network, no_hooks_error


def with_reachable_layers(network: Any) -> Any:
    """Return a network of TorchScript or torch.export with layers, and other networks as they are.

    It has the parameters of the network. A program of torch.export is made a network. Networks whose layers cannot be
    reached are returned as they are.
    """
    if not isinstance(network, nn.Module):
        # by name, because importing torch.export takes long
        is_program = type(network).__module__.startswith("torch.export.")
        return with_reachable_layers(network.module()) if is_program else network
    network = inner_network(network)
    if isinstance(network, torch.jit.ScriptModule):
        return _scripted(network)
    if isinstance(network, fx.GraphModule) and no_hooks_error(network, "") is not None:
        return exported.with_layers(network)
    return network


def _scripted(network: torch.jit.ScriptModule) -> nn.Module:
    from fusioncam.inference.scripted import ScriptedNetwork

    try:
        return ScriptedNetwork(network)
    except RuntimeError:  # it cannot be saved
        return network

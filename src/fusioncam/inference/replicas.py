"""Replicas of a network for several threads: copies that share parameters, or one compiled network."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusioncam.errors import FusionCamWarning
from fusioncam.inference.compiled_parts import is_compiled
from fusioncam.inference.modules import all_modules


def replicate(network: nn.Module, count: int) -> Sequence[nn.Module]:
    """Return the network and ``count - 1`` copies, which share its parameters and buffers but no other state.

    A network that is compiled or cannot be copied is returned alone.
    """
    if count == 1 or not can_copy(network):
        return [network]
    try:
        return [network, *(copy_sharing_parameters(network) for _ in range(count - 1))]
    except Exception:  # a foreign module may raise anything: continue with one thread
        return [network]


def can_copy(network: nn.Module) -> bool:
    """Return whether the network consists of Python modules, none of which ``torch.compile`` returned."""
    return not (isinstance(network, torch.jit.ScriptModule) or any(map(is_compiled, all_modules(network))))


def copy_sharing_parameters(network: nn.Module) -> nn.Module:
    """Return a copy of the modules that shares their parameters and buffers."""
    shared = {id(tensor): tensor for tensors in (network.parameters(), network.buffers()) for tensor in tensors}
    return copy.deepcopy(network, shared)


class ModuleSnapshot:
    """The modules of a network, to detect whether one of them was replaced."""

    def __init__(self, network: nn.Module) -> None:
        self._modules = list(network.modules())

    def matches(self, network: nn.Module) -> bool:
        """Return whether the network has exactly these modules."""
        modules = list(network.modules())
        return len(modules) == len(self._modules) and all(a is b for a, b in zip(modules, self._modules, strict=True))


class CompiledNetwork:
    """A network compiled for one input shape and number of threads; ``ready`` is False if torch cannot compile it.

    ``call`` runs a network, or a compiled one, on inputs.
    """

    def __init__(
        self,
        network: nn.Module,
        like: Tensor,
        threads: int,
        call: Callable[[Callable[..., Any], Tensor], object],
    ) -> None:
        self.size, self._call = len(like), call
        self.modules = ModuleSnapshot(network)
        # with one graph, the state that a forward pass keeps in modules stays in the pass, so threads can share it
        self._compiled = torch.compile(network, dynamic=False, fullgraph=True)
        self.ready = self._runs(like, threads)

    def _runs(self, like: Tensor, threads: int) -> bool:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            self._call(self._compiled, like)
        except Exception as error:  # dynamo, inductor or a missing compiler may raise anything
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warnings.warn(f"continuing without compiling the network: {reason}", FusionCamWarning, stacklevel=2)
            return False
        finally:
            torch.set_num_threads(before)
        return True

    def __call__(self, *args: Any, **named: Any) -> object:
        """Run on ``size`` inputs."""
        output: object = self._compiled(*args, **named)
        return output

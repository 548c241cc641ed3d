"""Networks for several threads: copies that share parameters, or one compiled network that keeps nothing."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusioncam.errors import FusionCamWarning


def copies(network: nn.Module, wanted: int) -> Sequence[nn.Module]:
    """Give the network and as many copies less one, which share parameters and buffers, not what a pass keeps.

    A network that cannot be copied, or is compiled, is given alone.
    """
    if wanted == 1 or not may_be_copied(network):
        return [network]
    try:
        return [network, *(sharing_copy(network) for _ in range(wanted - 1))]
    except Exception:  # whatever a foreign module raises: one thread will do
        return [network]


def may_be_copied(network: nn.Module) -> bool:
    """Say whether the network is made of modules, and not of what a compiler made of them."""
    return not isinstance(network, torch.jit.ScriptModule | torch._dynamo.OptimizedModule)


def sharing_copy(network: nn.Module) -> nn.Module:
    """Copy the modules, and share their parameters and buffers."""
    shared = {id(one): one for kind in (network.parameters(), network.buffers()) for one in kind}
    return copy.deepcopy(network, shared)


class Modules:
    """The modules of a network, to see whether one was put in another's place since."""

    def __init__(self, network: nn.Module) -> None:
        self._all = list(network.modules())

    def are_of(self, network: nn.Module) -> bool:
        """Say whether the network has these very modules."""
        modules = list(network.modules())
        return len(modules) == len(self._all) and all(a is b for a, b in zip(modules, self._all, strict=True))


class Compiled:
    """A network compiled for one shape of inputs and a number of threads, if torch can: see ``ready``."""

    def __init__(self, network: nn.Module, like: Tensor, threads: int) -> None:
        self.size = len(like)
        self.made_for = Modules(network)
        # one graph: what a forward pass keeps in its modules then stays within the pass, and threads may share it
        self._fast = torch.compile(network, dynamic=False, fullgraph=True)
        self.ready = self._runs(like, threads)

    def _runs(self, like: Tensor, threads: int) -> bool:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            self._fast(like)
        except Exception as error:  # whatever dynamo, inductor or a missing compiler raises
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            warnings.warn(f"going on without compiling the network: {told}", FusionCamWarning, stacklevel=2)
            return False
        finally:
            torch.set_num_threads(before)
        return True

    def __call__(self, x: Tensor) -> object:
        """Run on ``size`` inputs."""
        output: object = self._fast(x)
        return output

"""Networks for several threads: copies that share parameters, or one compiled network that keeps nothing."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .errors import FusionCamWarning


def copies(network: nn.Module, wanted: int) -> Sequence[nn.Module]:
    """Give the network and as many copies less one, which share parameters and buffers, not what a pass keeps.

    A network that cannot be copied, or is compiled, is given alone.
    """
    if wanted == 1 or isinstance(network, torch.jit.ScriptModule | torch._dynamo.OptimizedModule):
        return [network]
    shared = {id(one): one for kind in (network.parameters(), network.buffers()) for one in kind}
    try:
        return [network, *(copy.deepcopy(network, dict(shared)) for _ in range(wanted - 1))]
    except Exception:  # whatever a foreign module raises: one thread will do
        return [network]


class Compiled:
    """A network compiled for one shape of inputs and a number of threads, if torch can: see ``ready``."""

    def __init__(self, network: nn.Module, like: Tensor, threads: int) -> None:
        self.size = len(like)
        self._modules = list(network.modules())
        # one graph: what a forward pass keeps in its modules then stays within the pass, and threads may share it
        self._fast = torch.compile(network, dynamic=False, fullgraph=True)
        self.ready = self._runs(like, threads)

    def of(self, network: nn.Module) -> bool:
        """Say whether the network has the very modules that were compiled."""
        modules = list(network.modules())
        return len(modules) == len(self._modules) and all(a is b for a, b in zip(modules, self._modules, strict=True))

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
        """Run on up to ``size`` inputs, of which the last is repeated to make up the number."""
        missing = self.size - len(x)
        output: object = self._fast(torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing else x)
        return output

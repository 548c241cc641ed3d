"""Walk through the modules of a network, which every call does several times."""

from __future__ import annotations

from torch import nn


def all_modules(network: nn.Module) -> list[nn.Module]:
    """Return what ``network.modules()`` yields, in less time: that nests a generator in another for each level.

    >>> shared = nn.ReLU()
    >>> [type(one).__name__ for one in all_modules(nn.Sequential(nn.Sequential(shared, nn.Tanh()), shared))]
    ['Sequential', 'Sequential', 'ReLU', 'Tanh']
    """
    found: dict[int, nn.Module] = {}
    waiting = [network]
    while waiting:
        module = waiting.pop()
        if id(module) not in found:
            found[id(module)] = module
            if module._modules:
                waiting += [child for child in reversed(module._modules.values()) if child is not None]
    return list(found.values())

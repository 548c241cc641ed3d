"""Convolutions with the BatchNorm behind them folded in: one layer where there were two, and the same scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fusioncam.inference import hooks
from fusioncam.inference.replicas import Modules, sharing_copy

_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Folding:
    """Which layers of a network can be folded, found by one pass; ``pairs`` is empty if folding changes the scores.

    ``forward(network)`` gives the network's scores for an example.
    """

    def __init__(self, network: nn.Module, forward: Callable[[nn.Module], Tensor]) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.made_for = Modules(network)
        if not any(isinstance(module, _BatchNorm) for module in network.modules()):
            return
        with hooks.find_adjacent_modules(network, (_ConvNd, _BatchNorm)) as followed:
            plain = forward(network)
        if plain.dtype not in (torch.float32, torch.float64):
            return  # in half precision rounding would decide
        self.pairs = [(a, b) for a, b in followed if _foldable(network.get_submodule(a), network.get_submodule(b))]
        if self.pairs and not self._same(network, forward, plain):
            self.pairs = []

    def __call__(self, network: nn.Module) -> nn.Module:
        """Give the network folded, as its parameters are now: those that are not folded are shared."""
        if not self.pairs:
            return network
        folded = sharing_copy(network)
        for before, behind in self.pairs:
            # the pairs hold what _foldable let through
            convolution: Any = folded.get_submodule(before)
            norm: Any = folded.get_submodule(behind)
            transposed = isinstance(convolution, _ConvTransposeNd)
            _put(folded, before, fuse_conv_bn_eval(convolution, norm, transposed))
            _put(folded, behind, _rest(norm))
        return folded

    def _same(self, network: nn.Module, forward: Callable[[nn.Module], Tensor], plain: Tensor) -> bool:
        """Compare: a convolution may be needed elsewhere too, or make its weights anew in each pass."""
        try:
            folded = forward(self(network))
        except Exception:  # whatever a foreign module raises: unfolded it runs
            return False
        if not plain.isfinite().all():
            return False
        close = 1000 * torch.finfo(plain.dtype).eps * plain.abs().max().item()
        return torch.allclose(folded, plain, rtol=0, atol=close)


def _foldable(convolution: nn.Module, norm: nn.Module) -> bool:
    """Say whether it is a BatchNorm behind a convolution, with statistics, whose rest is known."""
    known = type(norm) in _PLAIN or (hasattr(norm, "drop") and hasattr(norm, "act"))
    return isinstance(convolution, _ConvNd) and known and getattr(norm, "running_mean", None) is not None


def _rest(norm: Any) -> nn.Module:
    """Give what a BatchNorm does besides: timm's hold their activation."""
    return nn.Identity() if type(norm) in _PLAIN else nn.Sequential(norm.drop, norm.act)


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)

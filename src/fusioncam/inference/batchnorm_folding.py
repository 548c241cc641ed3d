"""Fold each BatchNorm into the convolution before it: one layer instead of two, and the same scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fusioncam.inference import hooks
from fusioncam.inference.agreement import scores_agree
from fusioncam.inference.replicas import ModuleSnapshot, copy_sharing_parameters

_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class BatchNormFolding:
    """The foldable layers of a network, found in one pass; ``pairs`` is empty if folding changes the scores.

    ``forward(network)`` returns the network's scores for an example.
    """

    def __init__(self, network: nn.Module, forward: Callable[[nn.Module], Tensor]) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.modules = ModuleSnapshot(network)
        if not any(isinstance(module, _BatchNorm) for module in network.modules()):
            return
        with hooks.find_adjacent_modules(network, (_ConvNd, _BatchNorm)) as adjacent:
            scores = forward(network)
        if scores.dtype not in (torch.float32, torch.float64):
            return  # the rounding of half precision would hide a change of the scores
        self.pairs = [(a, b) for a, b in adjacent if _foldable(network.get_submodule(a), network.get_submodule(b))]
        if self.pairs and not self._keeps_scores(network, forward, scores):
            self.pairs = []

    def __call__(self, network: nn.Module) -> nn.Module:
        """Return the folded network with the current parameters; parameters of other layers are shared."""
        if not self.pairs:
            return network
        folded = copy_sharing_parameters(network)
        for first, second in self.pairs:
            # _foldable has checked the types
            convolution: Any = folded.get_submodule(first)
            norm: Any = folded.get_submodule(second)
            transposed = isinstance(convolution, _ConvTransposeNd)
            _replace(folded, first, fuse_conv_bn_eval(convolution, norm, transposed))
            _replace(folded, second, _remainder(norm))
        return folded

    def _keeps_scores(self, network: nn.Module, forward: Callable[[nn.Module], Tensor], scores: Tensor) -> bool:
        """Compare the scores: a convolution may have another use too, or compute its weights in each pass."""
        try:
            folded = forward(self(network))
        except Exception:  # a foreign module may raise anything: run unfolded
            return False
        return scores_agree(folded, scores)


def _foldable(convolution: nn.Module, norm: nn.Module) -> bool:
    """Return whether it is a convolution, followed by a BatchNorm of a known type with statistics."""
    known = type(norm) in _PLAIN or (hasattr(norm, "drop") and hasattr(norm, "act"))
    return isinstance(convolution, _ConvNd) and known and getattr(norm, "running_mean", None) is not None


def _remainder(norm: Any) -> nn.Module:
    """Return what a BatchNorm does in addition: timm's contain their activation."""
    return nn.Identity() if type(norm) in _PLAIN else nn.Sequential(norm.drop, norm.act)


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)

"""Which order of channels and locations a module's own kind requires."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules import batchnorm, conv, pooling

from fusioncam.inference.layer_points import LayerPoint, kind_of

_CHANNELS_FIRST = (
    conv._ConvNd,
    batchnorm._NormBase,
    nn.GroupNorm,
    pooling._MaxPoolNd,
    pooling._AvgPoolNd,
    pooling._AdaptiveAvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
)


def module_channels_first(module: nn.Module, shape: Sequence[int]) -> bool | None:
    """Return whether the module treats its tensors as channels first or last; None if that is not known."""
    kind = kind_of(module)
    if issubclass(kind, _CHANNELS_FIRST):
        return True
    if isinstance(module, LayerPoint):
        return False if issubclass(kind, (nn.LayerNorm, nn.Linear)) and len(shape) > 2 else None
    if type(module) is nn.LayerNorm and tuple(module.normalized_shape) == tuple(shape[-1:]):
        return False
    if isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
        return False if module.batch_first else None
    if isinstance(module, nn.TransformerEncoderLayer):
        return False
    return False if isinstance(module, nn.Linear) and len(shape) > 2 else None


def contains_channels_first(module: nn.Module) -> bool:
    """Return whether the module is, or contains, one that requires channels first."""
    return any(issubclass(kind_of(part), _CHANNELS_FIRST) for part in module.modules())

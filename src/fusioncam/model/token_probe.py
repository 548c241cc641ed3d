"""Verify the order of tokens: a part of the image changes, and the tokens of that part must change.

Shapes do not show whether tokens are in the order of their locations. Networks that compute windows sort them by
window, and some flatten columns before rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fusioncam.inference.hooks import ModuleCall
from fusioncam.model.layouts import Layout
from fusioncam.model.module_order import module_channels_first

# the first changed location of each side, as a share of the side: a mirrored or transposed grid has it elsewhere
_STARTS = (0, 1 / 2, 1 / 4)


def probe_images(image: Tensor, changed: Tensor, sides: Sequence[int]) -> Tensor:
    """Return an image ``(1, C, *s)``, and the same with the probed locations of a grid taken from a changed one."""
    inside = torch.ones((), dtype=torch.bool, device=image.device)
    for axis, (start, end) in enumerate(_probed(sides)):
        full, side = image.shape[2 + axis], sides[axis]
        spare = 1 if full % side else 0  # a location's pixels are only known up to the remainder
        pixels = torch.arange(full, device=image.device)
        lower, upper = (start - spare) * full / side, (end + spare) * full / side
        line = (pixels >= lower) & (pixels < upper)
        inside = inside & line.reshape(-1, *[1] * (len(sides) - axis - 1))
    return torch.cat([image, torch.where(inside, changed, image)])


def verified(layout: Layout, calls: Sequence[ModuleCall], layer: str, tokens: int) -> Layout | None:
    """Return the layout, or the one with columns before rows, that the probing pass confirms; None if neither is.

    The last output of as many tokens, up to the layer, in which some tokens change and others do not decides. After
    attention to all tokens all of them change, which shows nothing.
    """
    changes = _last_partial_change(layout, calls, layer, tokens)
    if changes is None or _agrees(layout, changes):
        return layout
    columns_first = replace(layout, sides=layout.sides[::-1], swapped=not layout.swapped)
    return columns_first if len(layout.sides) == 2 and _agrees(columns_first, changes) else None


def _last_partial_change(
    layout: Layout, calls: Sequence[ModuleCall], layer: str, tokens: int
) -> Sequence[bool] | None:
    """Return which tokens change in the last output that shows it, except for modules deeper than the layer."""
    end = max((index for index, call in enumerate(calls) if call.name == layer), default=-1)
    for call in reversed(calls[: end + 1]):
        output = call.output
        if output is None or output.varies is None or len(output.varies) != tokens:
            continue
        if module_channels_first(call.module, output.shape):
            continue
        maps = _maps(layout, output.varies)
        if call.name.count(".") <= layer.count(".") and maps.any() and not maps.all():
            return output.varies
    return None


def _agrees(layout: Layout, changes: Sequence[bool]) -> bool:
    """Return whether nearly all of the probed locations change, or few others; single locations may be dead."""
    changed, probed = _maps(layout, changes), torch.zeros(layout.map_sides, dtype=torch.bool)
    probed[tuple(slice(start, end) for start, end in _probed(layout.map_sides))] = True
    missing, others = (probed & ~changed).sum(), (changed & ~probed).sum()
    return bool(4 * missing <= probed.sum() or 2 * others <= probed.sum())


def _maps(layout: Layout, changes: Sequence[bool]) -> Tensor:
    return layout.maps(torch.tensor(changes)[None, :, None])[0, 0]


def _probed(sides: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first location of each side that changes, and the end: at most three, so that a shift is noticed.

    >>> _probed((14, 14)), _probed((2, 3))
    ([(0, 3), (7, 10)], [(0, 1), (1, 2)])
    """
    starts = [int(share * side) for share, side in zip(_STARTS, sides, strict=False)]
    return [(start, start + max(1, min(3, side // 4))) for start, side in zip(starts, sides, strict=True)]

"""Passes that change only a layer's maps, and so start at that layer.

One image goes in; the layer's hook hands many changed copies of its maps onward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from fusioncam.errors import ShapeError
from fusioncam.functional.heatmaps import precise
from fusioncam.functional.masks import active_pairs
from fusioncam.inference import hooks
from fusioncam.inference.batching import ChunkSizeTuner, score_in_batches
from fusioncam.inference.costs import record_passes
from fusioncam.inference.forward import NetworkRunner
from fusioncam.model.layouts import named_layout
from fusioncam.model.scores import read

# changed copies of a layer's output that go on together may take this much memory
_BYTES = 2**28


class Changes(Protocol):
    """Changes of a layer's maps: ``changes(maps, which)`` gives ``(B, K, *s)`` for one image's ``(K, *s)``.

    ``shape`` begins with ``(M, N)``: how many changes, of how many images. ``active`` is as in a mask source.
    """

    @property
    def shape(self) -> Sequence[int]:
        """``(M, N, ...)``."""

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        """Give the changed maps, one for each of ``which`` ``(B,)``."""


class _Halves:
    """The maps as they are, and half of them: to try out whether a layer bears copies."""

    shape = (2, 1)

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        return torch.stack([maps, maps / 2])


class Ablation:
    """Scores under changed maps, and the memory of which layers passes can start at."""

    def __init__(self, call: NetworkRunner, grid: Sequence[int] | None) -> None:
        self._call, self._grid = call, grid
        self._sizes: dict[tuple[str, torch.Size], int] = {}

    def scores(self, x: Tensor, changes: Changes, targets: Tensor, readout: str, layer: str) -> Tensor:
        """Give the scores ``(M, N)`` of ``x`` after each change of the layer's maps; NaN if not active."""
        pairs = active_pairs(changes).to(x.device)
        scores = torch.full(tuple(changes.shape[:2]), torch.nan, dtype=precise(x).dtype, device=x.device)
        for n in range(len(x)):
            image = x[n : n + 1]
            size = self._copy_size(image, layer)
            mine = pairs[pairs[:, 1] == n]

            def score(jobs: Tensor, image: Tensor = image, size: int = size) -> Tensor:
                which = jobs[:, 0]
                logits = self._changed(image, which, changes, layer, whole=not size)
                return read(logits, targets[jobs[:, 1]], readout)

            some = max(1, _BYTES // size) if size else self._call.speed.sizes(x.device)[0]
            scores[mine[:, 0], n] = score_in_batches([score], mine, ChunkSizeTuner((some,)), partial=bool(size)).to(
                scores
            )
        return scores

    def _changed(self, x: Tensor, which: Tensor, changes: Changes, layer: str, *, whole: bool) -> Tensor:
        """Give the logits ``(B, classes)`` of one image after each of ``B`` changes of its maps.

        ``whole`` passes see the image ``B`` times from the start.
        """
        runs = 0

        def change(output: Tensor) -> Tensor:
            nonlocal runs
            runs += 1
            layout = named_layout(layer, output.shape, (len(output), *x.shape[1:]), self._grid)
            return layout.output(changes(layout.maps(output)[0], which), output)

        images = x.expand(len(which), *x.shape[1:]) if whole else x
        with hooks.replace_outputs(self._call.network, {layer: change}):
            logits = self._call(images, counted=not whole, rows=len(which))
        hooks.require_once(layer, runs)
        return logits

    def _copy_size(self, x: Tensor, layer: str) -> int:
        """Give the bytes of one copy of what the layer gives if passes can start there, else 0: tried out once."""
        key = (layer, x.shape[1:])
        if key not in self._sizes:
            self._sizes[key] = self._measured(x, layer)
        return self._sizes[key]

    def _measured(self, x: Tensor, layer: str) -> int:
        """Compare two changed copies handed on by the layer with two whole passes.

        Where the layer's output is joined with that of a neighbour the sizes clash, or are taken for others. What an
        image's scores change by where another goes with it is rounding, which on a GPU is that of 10 bits.
        """
        with hooks.capture(self._call.network, [layer]) as outputs:
            plain = self._call(x)
        both, halves = torch.arange(2, device=x.device), _Halves()
        expected = self._changed(x, both, halves, layer, whole=True)
        record_passes(passes=2, planned=2)
        try:
            started = self._changed(x, both, halves, layer, whole=False)
        except (RuntimeError, ShapeError):
            return 0
        close = torch.finfo(plain.dtype).eps ** 0.5 * expected.abs().max()
        rounding = (expected[:1] - plain).abs().max()
        same = torch.allclose(started, expected, rtol=0, atol=max(close, 4 * rounding).item())
        (output,) = outputs[layer]
        return output.numel() * output.element_size() if same else 0

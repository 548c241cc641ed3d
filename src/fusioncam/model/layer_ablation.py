"""Passes that change only a layer's feature maps, and therefore start at that layer.

One image enters the network, and a hook replaces the layer's output by many changed copies of its feature maps.
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
from fusioncam.model.layer_search import LayerSearch
from fusioncam.model.scores import Targets, read_scores
from fusioncam.utils.recent import Recent

# memory limit for the changed copies of a layer's output in one batch
_BYTES = 2**28
_KNOWN = 512  # layers and shapes of the input that were tested


class Changes(Protocol):
    """Changes of a layer's feature maps.

    ``shape`` begins with ``(M, N)``: the number of changes and of images. ``active`` is as in a mask source.
    """

    @property
    def shape(self) -> Sequence[int]:
        """``(M, N, ...)``."""

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        """Return the changed maps ``(B, K, *s)`` of one image's ``(K, *s)``, one per index of ``which`` ``(B,)``."""


class _Halves:
    """The unchanged maps and half of them, to test whether passes can start at a layer."""

    shape = (2, 1)

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        return torch.stack([maps, maps / 2])


class LayerAblation:
    """Scores under changed feature maps. Remembers which layers passes can start at."""

    def __init__(self, runner: NetworkRunner, search: LayerSearch) -> None:
        self._runner, self._search = runner, search
        self._starts = Recent[tuple[str, torch.Size], tuple[int, int]](_KNOWN)

    def scores(self, x: Tensor, changes: Changes, targets: Targets, readout: str, layer: str) -> Tensor:
        """Return the scores ``(M, N)`` of ``x`` after each change of the layer's maps, NaN if not active."""
        pairs = active_pairs(changes).to(x.device)
        scores = torch.full(tuple(changes.shape[:2]), torch.nan, dtype=precise(x).dtype, device=x.device)
        for n in range(len(x)):
            image_pairs = pairs[pairs[:, 1] == n]
            values = self._image_scores(x[n : n + 1], image_pairs, changes, targets, readout, layer)
            scores[image_pairs[:, 0], n] = values.to(scores)
        return scores

    def _image_scores(
        self, image: Tensor, pairs: Tensor, changes: Changes, targets: Targets, readout: str, layer: str
    ) -> Tensor:
        """Return the scores ``(J,)`` of the ``(m, n)`` pairs ``(J, 2)`` of one image."""
        copy_bytes, run = self._start(image, layer)

        def score(jobs: Tensor) -> Tensor:
            logits = self._changed_logits(image, jobs[:, 0], changes, layer, run, whole=not copy_bytes)
            return read_scores(logits, targets[jobs[:, 1]], readout)

        size = max(1, _BYTES // copy_bytes) if copy_bytes else self._runner.speed.batch_sizes(image.device)[0]
        return score_in_batches([score], pairs, ChunkSizeTuner((size,)), partial=bool(copy_bytes))

    def _changed_logits(
        self, x: Tensor, which: Tensor, changes: Changes, layer: str, run: int, *, whole: bool
    ) -> Tensor:
        """Return the logits ``(B, classes)`` of one image after each of ``B`` changes of its maps.

        ``whole`` passes run the part of the network before the layer on ``B`` copies of the image.
        """
        runs = 0

        def change(output: Tensor) -> Tensor:
            nonlocal runs
            runs += 1
            if runs - 1 != run:  # of another input
                return output
            # the layout is known since the first pass: another pass cannot run inside a hook
            layout = self._search.layout(layer, output.shape, images.new_empty(()).expand(len(output), *x.shape[1:]))
            return layout.output(changes(layout.maps(output)[0], which), output)

        images = x.expand(len(which), *x.shape[1:]) if whole else x
        with hooks.replace_outputs(self._runner.network, {layer: change}, self._search.readings):
            logits = self._runner(images, counted=not whole, rows=len(which))
        self._search.run(layer, runs, x)  # raises an error if a pass runs the layer another number of times
        return logits

    def _start(self, x: Tensor, layer: str) -> tuple[int, int]:
        """Return the bytes of one copy of the layer's output if passes can start there, else 0, and the layer's run.

        Both are tested once.
        """
        return self._starts.get((layer, x.shape[1:]), lambda: self._test_partial_passes(x, layer))

    def _test_partial_passes(self, x: Tensor, layer: str) -> tuple[int, int]:
        """Compare two changed copies of the layer's output in one partial pass with two whole passes.

        Where the layer's output is joined with that of a neighbour, the batch sizes differ, or are mistaken for other
        sizes. The score of an image may differ by rounding if another image is in its batch; on a GPU this is the
        rounding of 10 bits.
        """
        with hooks.capture(self._runner.network, [layer], self._search.readings) as outputs:
            plain = self._runner(x)
        run = self._search.run(layer, len(outputs[layer]), x)
        output = outputs[layer][run]
        self._search.layout(layer, output.shape, x)
        both, halves = torch.arange(2, device=x.device), _Halves()
        expected = self._changed_logits(x, both, halves, layer, run, whole=True)
        record_passes(passes=2, planned=2)
        try:
            started = self._changed_logits(x, both, halves, layer, run, whole=False)
        except (RuntimeError, ShapeError):
            return 0, run
        tolerance = torch.finfo(plain.dtype).eps ** 0.5 * expected.abs().max()
        rounding = (expected[:1] - plain).abs().max()
        equal = torch.allclose(started, expected, rtol=0, atol=max(tolerance, 4 * rounding).item())
        return output.numel() * output.element_size() if equal else 0, run

"""Compare insertion and deletion of one heatmap with torch-cam's and with plain loops."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

import figures
import peers
from fusioncam import METHODS
from fusioncam.metrics.curves import Deletion, Insertion
from harness import Source, Subject, in_turn, samples, visiting
from meta import say

OURS = "fusioncam insertion and deletion"
TORCHCAM, LOOP = "torch-cam", "plain loop, {} at a time"
ONE, MANY = LOOP.format(1), LOOP.format(32)
# tolerance for areas in [0, 1]: rounding, and one pixel more or less of a tie
NEAR = 1e-3


@dataclass(frozen=True)
class Curves(Subject):
    """Seconds for both areas of an image's Grad-CAM heatmap, in ``steps`` steps of equal numbers of pixels."""

    name: ClassVar[str] = "curves"
    what: ClassVar[str] = "seconds for insertion and deletion of one heatmap, float32"

    model: str = "efficientnet_lite0"
    layer: str = "bn2"
    steps: int = 113
    images: Path | None = None
    count: int = 10
    device: str = "cpu"
    engine: str = "torch"
    one_process: bool = False

    def planned(self):
        """Return the number of rows, if there are enough images."""
        return self.count

    def rows(self):
        """Yield the measurements of each image."""
        source = Source(self.model, self.layer, self.device, engine=self.engine)
        model = source.load()
        with visiting(source, model, self.one_process) as ask:
            for number, (name, x, target) in enumerate(samples(model, self.images, self.count)):
                say(f"{self.name} {number + 1} of {self.count}: {name}")
                yield {"image": name, **row(model, x, target, number, ask, self.steps, (1, 32))}

    def figures(self, rows):
        """Return the figures, compared with each and with the fastest of them on each image."""
        others = (TORCHCAM, ONE, MANY)
        summary = [figures.figure(name, [row["seconds"][name] for row in rows], "s") for name in (OURS, *others)]
        summary += [figures.figure(f"times as fast as {one}", figures.ratios(rows, one, OURS), "x") for one in others]
        best = over_faster(rows)
        what = f"{OURS}, {self.steps} steps: times as fast as the faster of torch-cam's and the plain loop at batch 1"
        aim = ">= 2.5" if self.engine == "torch" else ">= 3.5"
        summary.append(figures.figure(what, best, "x", aims={"median": aim}))
        apart = [max(row["difference"].values()) for row in rows]
        return [*summary, figures.figure("largest difference between the areas", apart)]


def ours(model, x, target, heatmap, steps):
    """Return both areas ``(2,)``, with the fill and the steps of the other libraries."""
    pixels = -(-x[0, 0].numel() // steps)
    both = (Insertion(pixels=pixels, fill="mean"), Deletion(pixels=pixels, fill="mean"))
    return torch.stack([metric(model, x, target, heatmap)[0].cpu() for metric in both])


def row(model, x, target, number, ask, steps, batches):
    """Time all contestants on one image, including plain loops of these batch sizes, and compare their areas."""
    asked = (x, target, METHODS["grad-cam"](model, x, target), steps)
    contestants = {OURS: partial(ours, model, *asked), TORCHCAM: ask(peers.torchcam_curves, *asked)}
    contestants |= {LOOP.format(batch): ask(peers.plain_curves, *asked, batch) for batch in batches}
    seconds, areas = in_turn(contestants, number)
    areas = {one: np.asarray(given) for one, given in areas.items()}
    apart = {one: float(abs(areas[one] - areas[OURS]).max()) for one in areas if one != OURS}
    return {
        "seconds": seconds,
        "difference": apart,
        "agrees": {one: value <= NEAR for one, value in apart.items()},
    }


def over_faster(rows):
    """Return how many times as fast ours was as the faster of torch-cam's and the batch-1 loop, where all agree."""
    agreeing = [row for row in rows if all(row["agrees"].values())]
    return [min(row["seconds"][one] for one in (TORCHCAM, ONE)) / row["seconds"][OURS] for row in agreeing]

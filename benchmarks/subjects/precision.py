"""Measure the gain and the error of a reduced precision of masked passes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import figures
from fusioncam import METHODS, Speed, load_model
from harness import Subject, at_speed, in_turn, samples
from meta import say

from .exact import prepared

EXACT = "exact"


@dataclass(frozen=True)
class Precision(Subject):
    """Fusion-CAM in each precision, on the same images."""

    name: ClassVar[str] = "precision"
    what: ClassVar[str] = "fusion-cam with masked passes in reduced precision, batch 1"

    model: str = "efficientnet_lite0"
    layer: str = "bn2"
    precisions: tuple[str, ...] = ("bfloat16", "float16")
    images: Path | None = None
    count: int = 5
    device: str = "cpu"
    engine: str = "torch"

    def planned(self):
        """Return the number of rows, if there are enough images."""
        return self.count

    def rows(self):
        """Yield the measurements of each image."""
        exact = load_model(self.model, self.layer, device=self.device)
        models = {one: at_speed(exact, Speed(precision=one, engine=self.engine)) for one in (EXACT, *self.precisions)}
        for number, (name, x, target) in enumerate(samples(exact, self.images, self.count)):
            say(f"{self.name} {number + 1} of {self.count}: {name}")
            for model in [] if number else models.values():
                prepared(model, x)
            seconds, maps = in_turn(
                {
                    one: (lambda model=model, x=x, target=target: METHODS["fusion-cam"](model, x, target)[0].cpu())
                    for one, model in models.items()
                },
                number,
            )
            yield {
                "image": name,
                "seconds": seconds,
                "correlation": {one: figures.correlation(maps[one], maps[EXACT]) for one in self.precisions},
                "difference": {one: (maps[one] - maps[EXACT]).abs().max().item() for one in self.precisions},
            }

    def figures(self, rows):
        """Return the figures of each precision."""
        summary = [figures.figure(f"{EXACT}", [row["seconds"][EXACT] for row in rows], "s")]
        for one in self.precisions:
            summary += [
                figures.figure(one, [row["seconds"][one] for row in rows], "s"),
                figures.figure(f"{one}: times as fast as {EXACT}", figures.ratios(rows, EXACT, one), "x"),
                figures.figure(f"{one}: correlation with {EXACT}", [row["correlation"][one] for row in rows]),
                figures.figure(f"{one}: largest difference of a pixel", [row["difference"][one] for row in rows]),
            ]
        return summary

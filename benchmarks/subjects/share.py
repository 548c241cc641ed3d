"""Measure the rate of masked passes as a share of that of plain ones, as `fusioncam doctor` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import figures
from fusioncam import load_model
from fusioncam.benchmark.throughput import examine
from harness import Subject
from meta import say


@dataclass(frozen=True)
class Share(Subject):
    """Rates at the best of several settings, without and with masks; each repeat takes about ``seconds``."""

    name: ClassVar[str] = "share"
    what: ClassVar[str] = "masked images a second over plain ones at the best of all settings, float32"

    model: str = "efficientnet_lite0"
    repeats: int = 5
    seconds: float = 40.0
    device: str = "cpu"

    def planned(self):
        """Return the number of rows."""
        return self.repeats

    def rows(self):
        """Yield the measurements of each repeat."""
        for repeat in range(self.repeats):
            say(f"{self.name} {repeat + 1} of {self.repeats}")
            # a new model, so that each repeat searches its settings again
            report = examine(load_model(self.model, device=self.device), self.seconds, say)
            plain = [{key: one[key] for key in ("workers", "chunk", "rate")} for one in report["plain"]]
            yield {"image": f"random colours, repeat {repeat + 1}", "plain": plain, "masked": report["masked"]}

    def figures(self, rows):
        """Return figures: the best plain rate, the masked rates, and the share."""
        best = [max(one["rate"] for one in row["plain"]) for row in rows]
        masked = [next(one for one in row["masked"] if one["chosen"]) for row in rows]
        return [
            figures.figure("plain passes at their best setting", best, "images/s"),
            figures.figure("masked passes", [one["rate"] for one in masked], "images/s"),
            figures.figure(
                "share of the network's best rate that masked passes reach",
                [100 * one["share"] for one in masked],
                "%",
                aims={"median": ">= 90"},
            ),
        ]

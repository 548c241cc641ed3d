"""What masked passes reach of the rate of plain ones, as `fusioncam doctor` measures it."""

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
    """Rates at the best of several settings, without masks and with; each repeat takes about ``seconds``."""

    name: ClassVar[str] = "share"
    what: ClassVar[str] = "masked images a second over plain ones at the best of all settings, float32"

    model: str = "efficientnet_lite0"
    repeats: int = 5
    seconds: float = 40.0
    device: str = "cpu"

    def planned(self):
        """Count the rows to come."""
        return self.repeats

    def rows(self):
        """Measure again and again."""
        for repeat in range(self.repeats):
            say(f"{self.name} {repeat + 1} of {self.repeats}")
            # a model of its own, so that each finds its settings anew
            report = examine(load_model(self.model, device=self.device), self.seconds, say)
            plain = [{key: one[key] for key in ("workers", "chunk", "rate")} for one in report["plain"]]
            yield {"image": f"random colours, repeat {repeat + 1}", "plain": plain, "masked": report["masked"]}

    def figures(self, rows):
        """Sum up: the best plain rate, the masked rates, and the share."""
        best = [max(one["rate"] for one in row["plain"]) for row in rows]
        masked = [next(one for one in row["masked"] if one["chosen"]) for row in rows]
        return [
            figures.figure("plain passes at their best setting", best, "images/s"),
            figures.figure("masked passes", [one["rate"] for one in masked], "images/s"),
            figures.figure(
                "share of the network's best rate that a sweep reaches",
                [100 * one["share"] for one in masked],
                "%",
                aims={"median": ">= 90"},
            ),
        ]

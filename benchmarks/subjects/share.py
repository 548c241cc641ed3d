"""Measure the rate of masked passes as a share of that of plain ones, as `fusioncam doctor` does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import figures
from fusioncam import Speed, load_model
from fusioncam.benchmark.engine_rates import engine_rates
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
    engine: str = "torch"

    def planned(self):
        """Return the number of rows."""
        return self.repeats

    def rows(self):
        """Yield the measurements of each repeat."""
        for repeat in range(self.repeats):
            say(f"{self.name} {repeat + 1} of {self.repeats}")
            # a new model, so that each repeat searches its settings again
            model = load_model(self.model, device=self.device, speed=Speed(engine=self.engine))
            report = examine(model, self.seconds, say)
            plain = [{key: one[key] for key in ("workers", "chunk", "rate")} for one in report["plain"]]
            say("engines")
            engines = [asdict(one) for one in engine_rates(model, max(one["rate"] for one in plain), self.seconds)]
            measured = {"plain": plain, "masked": report["masked"], "engines": engines}
            yield {"image": f"random colours, repeat {repeat + 1}"} | measured

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
            *self.of_engine([one for row in rows for one in row.get("engines", []) if one["engine"] == self.engine]),
        ]

    def of_engine(self, rates):
        """Return the figures of another engine than PyTorch."""
        if self.engine == "torch":
            return []
        share, what = [100 * one["share"] for one in rates], f"share of its own rate that {self.engine} reaches"
        return [
            figures.figure(f"masked passes in {self.engine}", [one["rate"] for one in rates], "images/s"),
            figures.figure(what, share, "%", aims={"median": ">= 92"}),
        ]

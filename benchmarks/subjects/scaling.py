"""Compare bulk explanation in one process with one and two workers on Ray."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

import figures
from fusioncam import METHODS, load_model
from fusioncam.bulk import BulkPlan, explain_in_bulk
from fusioncam.bulk.compression import as_grid, sizes_for
from fusioncam.bulk.parquet import grid_facts, to_parquet
from fusioncam.bulk.storage import images_at
from fusioncam.distributed.ray_connection import ray_pool
from fusioncam.distributed.ray_pool import Request
from fusioncam.distributed.workers import LocalWorkers
from harness import Subject, chosen, timed
from meta import say

from .calls import NotePrinter, handing_on

PLAIN = "this process"
STEADY = 0.1  # share of the images that are done while workers still start


class Clock(NotePrinter):
    """Records when each image was finished, and prints the pool's notes."""

    def __init__(self):
        self.times = []

    def rows_finished(self, rows):
        """Record the time."""
        self.times.append(time.perf_counter())


@dataclass(frozen=True)
class Scaling(Subject):
    """The same images by each contestant, with one thread per worker, ``repeats`` times in rotation.

    ``seconds`` are those from the first tenth of the images to the last: starting Ray and loading networks, which
    does not grow with the number of images, is stored as ``start``.
    """

    name: ClassVar[str] = "scaling"
    what: ClassVar[str] = "bulk explanation in one process and by workers on a local Ray, one thread each"

    model: str = "efficientnet_lite0"
    method: str = "fusion-cam(budget=24)"
    images: Path | None = None
    count: int = 200
    repeats: int = 1
    batch_sizes: tuple[int, ...] = (1, 4, 16)
    quick: str = "grad-cam"
    device: str = "cpu"

    def planned(self):
        """Return the number of rows."""
        return self.repeats * (len(self.contestants()) + 2 * len(self.batch_sizes)) + 2

    def contestants(self):
        """Return the contestants of the whole method with their number of workers; None is this process."""
        return {PLAIN: None, "1 worker": 1, "2 workers": 2}

    def rows(self):
        """Yield the measurements."""
        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory() as folder:
            data = self._linked(Path(folder))
            yield self._parts(data)
            yield self._empty()
            for repeat in range(self.repeats):
                for name, workers in self.contestants().items():
                    yield self._measured(data, name, self.method, workers, 1, repeat)
                for size in self.batch_sizes:
                    for name, workers in ((PLAIN, None), ("1 worker", 1)):
                        yield self._measured(data, name, self.quick, workers, size, repeat)

    def _linked(self, folder):
        """Return a folder of ``count`` links to the images, repeated as needed."""
        found, data = chosen(self.images, self.count), folder / "images"
        data.mkdir()
        for number in range(self.count):
            (data / f"{number:05}{found[number % len(found)].suffix}").symlink_to(
                found[number % len(found)].resolve()
            )
        return data

    def _parts(self, data):
        """Time the work around the network, per image on one core."""
        say(f"{self.name}: the work around the network")
        model, found = load_model(self.model, device=self.device), list(images_at(str(data), ""))
        opening, opened = timed(lambda: [one.open() for one in found])
        preparing, _ = timed(lambda: [(model.preprocessing(one), model.preprocessing.view(one)) for one in opened])
        x = model.preprocessing(opened[0])[None]
        heatmap = METHODS["grad-cam"](model, x, model.logits(x).argmax(1))[0]
        size = tuple(heatmap.shape)
        fitting, grid = timed(lambda: [as_grid(heatmap, sizes_for(size), 0.005) for _ in found][-1])
        rows = [{"image": one.name, "method": "grad-cam"} | grid_facts(grid) for one in found]
        writing, _ = timed(lambda: to_parquet(rows, {}))
        parts = {"open": opening, "prepare": preparing, "fit": fitting, "write": writing}
        return {"image": f"{self.count} images", "parts": {name: one / self.count for name, one in parts.items()}}

    def _empty(self):
        """Time calls of workers that do nothing, which limit the driver."""
        say(f"{self.name}: calls of workers with nothing to do")
        calls = 10 * self.count
        (seconds,) = handing_on(calls)
        return {"image": f"{calls} calls", "call": seconds}

    def _measured(self, data, name, method, workers, batch_size, repeat):
        say(f"{self.name}: {method} by {name}, {batch_size} images at once, {repeat + 1} of {self.repeats}")
        plan, out, clock = BulkPlan((str(data),), self.model, methods=(method,)), data.parent / "out", Clock()
        began = time.perf_counter()
        place = nullcontext(LocalWorkers(batch_size))
        if workers is not None:
            place = ray_pool(request=Request(workers=workers, batch_size=batch_size), listener=clock)
        with place as hands:
            outcome = explain_in_bulk(plan, out, device=self.device, workers=hands, listener=clock)
        ended = time.perf_counter()
        assert outcome.heatmaps == self.count, outcome
        size = sum(one.stat().st_size for one in out.glob("part-*"))
        shutil.rmtree(out)
        first = max(1, int(STEADY * self.count))
        steady = clock.times[-1] - clock.times[first - 1]
        say(f"    {steady / (self.count - first):.4f} s an image")
        return {
            "image": f"{self.count} images, repeat {repeat + 1}",
            "by": name,
            "method": method,
            "batch_size": batch_size,
            "start": clock.times[0] - began,
            "whole": (ended - began) / self.count,
            "seconds": steady / (self.count - first),
            "bytes": size / self.count,
        }

    def figures(self, rows):
        """Return the figures."""
        return [*self._whole(rows), *self._by_batch(rows), *self._around(rows)]

    def _seconds(self, rows, by, method, batch_size=1, what="seconds"):
        asked = {"by": by, "method": method, "batch_size": batch_size}
        return [one[what] for one in rows if asked.items() <= one.items()]

    def _whole(self, rows):
        of = {name: self._seconds(rows, name, self.method) for name in self.contestants()}
        summary = [figures.figure(f"{self.method} by {name}, an image", values, "s") for name, values in of.items()]
        plain, ray = (self._seconds(rows, name, self.method, what="whole") for name in (PLAIN, "1 worker"))
        costs = [100 * (b / a - 1) for a, b in zip(plain, ray, strict=False)]
        gains = [a / b for a, b in zip(of["1 worker"], of["2 workers"], strict=False)]
        summary.append(
            figures.figure(
                "what Ray adds with 1 worker, its start and end counted", costs, "%", aims={"median": "<= 10"}
            )
        )
        summary.append(figures.figure("2 workers: times as fast as 1", gains, "x", aims={"median": ">= 1.7"}))
        starts = [one["start"] for one in rows if one.get("by", PLAIN) != PLAIN]
        summary.append(figures.figure("until the first image, with Ray", starts, "s"))
        return [
            *summary,
            figures.figure(
                "stored heatmap with its facts", [one["bytes"] for one in rows if "bytes" in one], "bytes"
            ),
        ]

    def _around(self, rows):
        parts = [one["parts"] for one in rows if "parts" in one]
        for name in ("open", "prepare", "fit", "write"):
            yield figures.figure(f"{name} an image, one core", [1000 * one[name] for one in parts], "ms")
        calls = [1000 * one["call"] for one in rows if "call" in one]
        yield figures.figure("a call of a worker with nothing to do", calls, "ms")

    def _by_batch(self, rows):
        for size in self.batch_sizes:
            plain, ray = (self._seconds(rows, by, self.quick, size) for by in (PLAIN, "1 worker"))
            name = f"{self.quick}, {size} at once"
            yield figures.figure(f"{name}, by this process, an image", [1000 * one for one in plain], "ms")
            added = [1000 * (b - a) for a, b in zip(plain, ray, strict=False)]
            yield figures.figure(f"{name}: what Ray adds to an image", added, "ms")

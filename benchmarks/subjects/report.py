"""Measure how long the report of many images takes until it can be used, in headless Chromium."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from PIL import Image

import figures
from fusioncam import Preprocessing
from fusioncam.benchmark.plan import Plan
from fusioncam.benchmark.run_folder import HeatmapStore
from fusioncam.errors import FusionCamError
from fusioncam.report.html.page import write_html_report
from harness import Subject, chosen
from meta import say

AIM = 3  # seconds
METHODS = ("fusion-cam", "grad-cam", "score-cam", "layer-cam")
METRICS = ("insertion", "deletion")
MODEL = "efficientnet_lite0"
SIDE, GRID, STEPS = 224, 7, 51
OPENED = "open: the first 24 images and their heatmaps are there"
STEPS_OF_A_READER = {
    "sort by a metric": lambda page: page.select_option("#measure", index=1),
    "compare two other methods": lambda page: page.locator("#values select").nth(1).select_option(METHODS[2]),
    "click an image": lambda page: page.locator("#gallery .stack").first.click(),
}
LOADED = """() => {
    const images = [...document.querySelectorAll("#gallery img:not([hidden])")];
    return images.length === 48 && images.every((image) => image.complete && image.naturalWidth);
}"""
DRAWN = "() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(true))))"


@dataclass(frozen=True)
class Report(Subject):
    """A row opens the report in a new window and uses it.

    Images are random parts of photographs. Heatmaps, values and curves are random, because the time does not depend
    on what they show.
    """

    name: ClassVar[str] = "report"
    what: ClassVar[str] = "the report of a benchmark of 1,000 images and four methods, opened from disk in Chromium"

    images: Path | None = None
    count: int = 1000
    repeats: int = 5
    seed: int = 0

    def planned(self):
        """Return the number of rows."""
        return self.repeats

    def rows(self):
        """Yield the size of the report and the seconds of each step."""
        with TemporaryDirectory() as folder, chromium() as browser:
            write_run(Path(folder), self.images, self.count, np.random.default_rng(self.seed))
            say(f"{self.name}: the run of {self.count} images is written")
            path = write_html_report(folder)[-1]
            for repeat in range(self.repeats):
                say(f"{self.name}: {repeat + 1} of {self.repeats}")
                seconds = steps(browser, path)
                yield {"image": f"opening {repeat + 1}", "megabytes": path.stat().st_size / 1e6, "seconds": seconds}

    def figures(self, rows):
        """Return the figures of each step, and of the size."""
        aims = {OPENED: {"median": f"<= {AIM}"}}
        times = [
            figures.figure(step, [row["seconds"][step] for row in rows], "s", aims=aims.get(step))
            for step in (OPENED, *STEPS_OF_A_READER)
        ]
        return [*times, figures.figure("size of the file", [row["megabytes"] for row in rows], "MB")]


# -- a browser ------------------------------------------------------------------------------------------------------


@contextmanager
def chromium():
    """Start the Chromium of the system."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise FusionCamError("no chromium on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def steps(browser, path):
    """Open a report in a new window and use it; return the seconds of each step until its result is drawn."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    seconds = {OPENED: drawn(page, lambda page: page.goto(path.as_uri(), wait_until="commit"))}
    for name, step in STEPS_OF_A_READER.items():
        seconds[name] = drawn(page, step)
    page.close()
    return seconds


def drawn(page, step):
    """Return the seconds that a step takes until all images of the gallery are loaded and two frames are drawn."""
    began = time.perf_counter()
    step(page)
    page.wait_for_function(LOADED)
    page.evaluate(DRAWN)
    return time.perf_counter() - began


# -- a run -----------------------------------------------------------------------------------------------------------


def write_run(folder, images, count, rng):
    """Write a run of so many images, as `fusioncam benchmark --keep-heatmaps` does."""
    data, store, rows = folder / "images", HeatmapStore(folder / "heatmaps"), []
    data.mkdir()
    photographs = [Image.open(path).convert("RGB") for path in chosen(images, 100)]
    for number in range(count):
        name = f"{number:04d}.jpg"
        part_of(photographs[number % len(photographs)], rng).save(data / name, quality=90)
        store.save(MODEL, name, {method: heatmap(rng) for method in METHODS})
        rows += [row(name, method, metric, rng) for method in METHODS for metric in METRICS]
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    Plan(str(data), (MODEL,), METHODS, METRICS, keep_heatmaps=True).save(folder / "plan.json")
    info = {"preprocessing": asdict(Preprocessing((SIDE, SIDE), SIDE)), "labels": ["cat", "dog"], "classes": 2}
    (folder / "models.json").write_text(json.dumps({"data": str(data), "class_map": None, "models": {MODEL: info}}))


def part_of(photograph, rng):
    """Return a random square of a photograph, of the size that the network receives."""
    side = int(min(photograph.size) * rng.uniform(0.5, 1))
    left, top = (int(rng.integers(0, length - side + 1)) for length in photograph.size)
    return photograph.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))


def heatmap(rng):
    """Return a smooth random heatmap, as upsampled feature maps are."""
    grid = Image.fromarray(rng.random((GRID, GRID), np.float32) ** 3)
    return torch.from_numpy(np.asarray(grid.resize((SIDE, SIDE), Image.Resampling.BILINEAR)).copy())


def row(image, method, metric, rng):
    """Return a row with a random value and curve."""
    return {
        "model": MODEL,
        "layer": "blocks.6",
        "image": image,
        "target": int(rng.integers(2)),
        "label": None,
        "method": method,
        "metric": metric,
        "value": float(rng.random()),
        "curve": np.sort(rng.random(STEPS)).tolist(),
        "protocol": json.dumps({"metric": metric.title(), "steps": STEPS - 1}),
        "family": "faithfulness",
        "higher_is_better": metric == "insertion",
        "shares_objective": False,
        "seconds": 1.0,
        "passes": 100.0,
        "partial_passes": 0.0,
        "metric_seconds": 1.0,
        "error": None,
        "versions": "{}",
    }

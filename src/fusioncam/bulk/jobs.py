"""An image becomes rows: opened, explained by all methods together with its batch, stored as small grids."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import torch
from PIL import Image

from fusioncam.bulk.compression import Size, as_grid, sizes_for
from fusioncam.bulk.parquet import Row, grid_facts
from fusioncam.bulk.plan import BulkPlan
from fusioncam.bulk.storage import Folder, Found
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.distributed.workers import Work
from fusioncam.errors import describe_error
from fusioncam.explanations.explain import explain_batches
from fusioncam.explanations.explanation import Explanation
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.text import slug, truncate_stem


@dataclass(frozen=True)
class BulkJob:
    """An image, and its place: the number of its shard, and which of that."""

    image: Found
    shard: int
    place: int

    def __str__(self) -> str:
        return self.image.name


@dataclass(frozen=True)
class ExplainSetUp:
    """Loads the network where images are explained."""

    plan: BulkPlan
    out: Folder
    device: str | None

    def __call__(self) -> Work:
        """Give what explains images."""
        return Explainer(self.plan, self.out, self.plan.load(self.device)).rows


@dataclass(frozen=True)
class Explainer:
    """A network and what is asked of it."""

    plan: BulkPlan
    out: Folder
    model: ExplainedModel

    def rows(self, jobs: Sequence[BulkJob]) -> list[list[Row]]:
        """Give the rows of each image of a batch; one that fails has one row with its error.

        What is wrong with the request is raised, for it is wrong for all images.
        """
        opened, failed = self._opened(jobs)
        places = {id(image): place for place, image in opened.items()}

        def fail(image: object, error: Exception) -> None:
            failed[places[id(image)]] = error

        images, plan = list(opened.values()), self.plan
        batch = max(1, len(images))
        made = list(explain_batches(images, self.model, plan.methods, plan.target, batch, on_error=fail))
        explained = iter(made)
        return [
            [failure(job, failed[place])] if place in failed else self._rows(job, opened[place], next(explained))
            for place, job in enumerate(jobs)
        ]

    def _opened(self, jobs: Sequence[BulkJob]) -> tuple[dict[int, Image.Image], dict[int, Exception]]:
        """Open images by their places, and give what is wrong with those that cannot be."""
        opened: dict[int, Image.Image] = {}
        failed: dict[int, Exception] = {}
        for place, job in enumerate(jobs):
            try:
                opened[place] = job.image.open()
            except Exception as error:  # a decoder may raise anything
                failed[place] = error
        return opened, failed

    def _rows(self, job: BulkJob, image: Image.Image, explanations: Iterable[Explanation]) -> list[Row]:
        window = seen(self.model.preprocessing, image.size)
        shown = {"width": image.width, "height": image.height, "window": window}
        return [shown | self._row(job, one, number) for number, one in enumerate(explanations)]

    def _row(self, job: BulkJob, explanation: Explanation, number: int) -> Row:
        grid = as_grid(explanation.heatmap, self._sizes(explanation.layer), self.plan.tolerance)
        facts = explanation.facts()
        row = {name: facts[name] for name in ("image", "method", "layer", "target", "label", "probability")}
        row |= {name: facts[name] for name in ("passes", "partial_passes", "seconds")}
        row |= {"gains": list(explanation.gains.items()), "overlay": self._overlay(job, explanation, number)}
        return row | grid_facts(grid)

    def _sizes(self, layer: str) -> list[Size]:
        size = self.model.preprocessing.size
        return sizes_for(size, [self._layers[layer]] if layer in self._layers else [])

    @cached_property
    def _layers(self) -> dict[str, tuple[int, ...]]:
        """The sides of the maps of every layer that has some."""
        x = torch.zeros(1, len(self.model.preprocessing.mean), *self.model.preprocessing.size)
        return {one.name: one.shape[1:] for one in self.model.layers.candidates(x)}

    def _overlay(self, job: BulkJob, explanation: Explanation, number: int) -> str | None:
        if not self.plan.overlays:
            return None
        stem = truncate_stem(PurePosixPath(job.image.path).stem, 80)
        name = (
            f"overlays/{job.shard:07d}/{job.place:05d}.{number:02d}.{slug(stem)}.{slug(explanation.method)[:60]}.jpg"
        )
        buffer = io.BytesIO()
        explanation.overlay().save(buffer, "JPEG", quality=90)
        self.out.write(name, buffer.getvalue())
        return name


def failure(job: BulkJob, error: Exception | str) -> Row:
    """Give the row of an image that could not be explained."""
    return {"image": job.image.name, "error": describe_error(error) if isinstance(error, Exception) else error}


def seen(preprocessing: Preprocessing, size: tuple[int, int]) -> list[float]:
    """Give left, top, right and bottom of what the network sees of an image of ``size`` (width, height).

    >>> seen(Preprocessing(size=(224, 224), resize=256), (512, 256))
    [144.0, 16.0, 368.0, 240.0]
    """
    (columns, rows, left, top), (height, width) = preprocessing.window(size), preprocessing.size
    across, down = size[0] / columns, size[1] / rows
    return [left * across, top * down, (left + width) * across, (top + height) * down]

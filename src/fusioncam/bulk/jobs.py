"""Turn images into rows: open them, explain them in batches, and store the heatmaps as small grids."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from fusioncam.bulk.compression import Size, as_grid, sizes_for
from fusioncam.bulk.parquet import Row, grid_facts
from fusioncam.bulk.plan import BulkPlan
from fusioncam.bulk.storage import Folder, FoundImage
from fusioncam.data.channels import OpenedImage
from fusioncam.distributed.workers import Work
from fusioncam.errors import describe_error
from fusioncam.explanations.explain import explain_batches
from fusioncam.explanations.explanation import Explanation
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.text import slug, truncate_stem


@dataclass(frozen=True)
class BulkJob:
    """An image to explain, the number of its shard, and its position within the shard."""

    image: FoundImage
    shard: int
    position: int

    def __str__(self) -> str:
        return self.image.name


@dataclass(frozen=True)
class ExplainSetUp:
    """Loads the network in the process that explains images."""

    plan: BulkPlan
    out: Folder
    device: str | None

    def __call__(self) -> Work:
        """Return the function that explains a batch of jobs."""
        return Explainer(self.plan, self.out, self.plan.load(self.device)).rows


@dataclass(frozen=True)
class Explainer:
    """A network, the plan of the run and the folder of its overlays."""

    plan: BulkPlan
    out: Folder
    model: ExplainedModel

    def rows(self, jobs: Sequence[BulkJob]) -> list[list[Row]]:
        """Return the rows of each image of a batch; an image that fails has one row with its error.

        Errors of the request itself are raised, because they affect every image.
        """
        opened, failed = self._open_images(jobs)
        positions = {id(image): position for position, image in opened.items()}

        def record_failure(image: object, error: Exception) -> None:
            failed[positions[id(image)]] = error

        images, plan, batch = list(opened.values()), self.plan, max(1, len(opened))
        # a list, so that all failures are recorded before the rows are built
        explanations = iter(
            list(explain_batches(images, self.model, plan.methods, plan.target, batch, on_error=record_failure))
        )
        return [
            [failure(job, failed[position])]
            if position in failed
            else self._rows(job, opened[position], next(explanations))
            for position, job in enumerate(jobs)
        ]

    def _open_images(self, jobs: Sequence[BulkJob]) -> tuple[dict[int, OpenedImage], dict[int, Exception]]:
        """Return the images by their positions in the batch, and the errors of those that cannot be opened."""
        opened: dict[int, OpenedImage] = {}
        failed: dict[int, Exception] = {}
        for position, job in enumerate(jobs):
            try:
                opened[position] = job.image.open(self.model.preprocessing.channels)
            except Exception as error:  # a decoder may raise anything
                failed[position] = error
        return opened, failed

    def _rows(self, job: BulkJob, image: OpenedImage, explanations: Iterable[Explanation]) -> list[Row]:
        window = list(self.model.preprocessing.visible_box(image.size))
        shared = {"width": image.width, "height": image.height, "window": window}
        return [shared | self._row(job, one, number) for number, one in enumerate(explanations)]

    def _row(self, job: BulkJob, explanation: Explanation, number: int) -> Row:
        grid = as_grid(explanation.heatmap, self._grid_sizes(explanation.layer), self.plan.tolerance)
        facts = explanation.facts()
        row = {name: facts[name] for name in ("image", "method", "layer", "target", "label", "probability")}
        row |= {name: facts[name] for name in ("passes", "partial_passes", "seconds")}
        row |= {"gains": list(explanation.gains.items()), "overlay": self._save_overlay(job, explanation, number)}
        return row | grid_facts(grid)

    def _grid_sizes(self, layer: str) -> list[Size]:
        size = self.model.preprocessing.size
        return sizes_for(size, [self._layer_sizes[layer]] if layer in self._layer_sizes else [])

    @cached_property
    def _layer_sizes(self) -> dict[str, tuple[int, ...]]:
        """The spatial size of the feature maps of each layer that has any."""
        candidates = self.model.layers.candidates(self.model.preprocessing.blank_input())
        return {one.name: one.shape[1:] for one in candidates}

    def _save_overlay(self, job: BulkJob, explanation: Explanation, number: int) -> str | None:
        if not self.plan.overlays:
            return None
        stem = slug(truncate_stem(PurePosixPath(job.image.path).stem, 80))
        method = slug(explanation.method)[:60]
        name = f"overlays/{job.shard:07d}/{job.position:05d}.{number:02d}.{stem}.{method}.jpg"
        buffer = io.BytesIO()
        explanation.overlay(view="crop").save(buffer, "JPEG", quality=90)
        self.out.write(name, buffer.getvalue())
        return name


def failure(job: BulkJob, error: Exception | str) -> Row:
    """Return the row of an image that could not be explained."""
    return {"image": job.image.name, "error": describe_error(error) if isinstance(error, Exception) else error}

"""Models x images x methods x metrics -> rows that are never lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from fusioncam.benchmark.plan import as_plan, stored_plan
from fusioncam.benchmark.run_folder import journal_of
from fusioncam.benchmark.runner import BenchmarkResult, UserObjects, finished, run
from fusioncam.data.datasets.sample import Sample
from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.workers import Workers
from fusioncam.errors import ResultsError
from fusioncam.methods.base import Method
from fusioncam.methods.registry import as_method
from fusioncam.metrics.base import MetricLike
from fusioncam.metrics.registry import as_metric
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.zoo.loading import as_model

Models = Sequence[str | nn.Module | ExplainedModel]


def benchmark(
    data: str | Path | Sequence[Sample] | None = None,
    *,
    out: str | Path,
    models: Models | None = None,
    methods: Sequence[str | Method] | None = None,
    metrics: Sequence[str | MetricLike] | None = None,
    plan: str | Path | None = None,
    extend: bool = False,
    listener: ProgressListener | None = None,
    workers: Workers | None = None,
    **settings: Any,
) -> Path:
    """Measure methods on images, and give the Parquet file of the rows, ``out/rows.parquet``.

    ``data`` is what :func:`fusioncam.datasets.open_dataset` takes, or samples. ``plan`` is a preset or a YAML file,
    whose words the other arguments override; ``settings`` are those of :class:`fusioncam.benchmark.plan.Plan`:
    ``layer``, ``target``, ``limit``, ``seed``, ``class_map``, ``device``, ``precision``, ``keep_heatmaps``. Models,
    methods and metrics are names or your own objects. Called again with the same plan it goes on where it was
    stopped; ``extend`` lets it ask for more. An image that fails has a row with its error. ``workers`` do the work,
    by default this process; :func:`fusioncam.distributed.ray_connection.ray_pool` gives others.

    Raises :class:`UnknownNameError`, :class:`ResultsError` for a folder of another plan, :class:`OutputError`.
    """
    samples = None if data is None or isinstance(data, (str, Path)) else data
    words: dict[str, Any] = {"data": data if samples is None else f"{len(samples)} samples"}
    own: dict[str, dict[str, Any]] = {}
    for name, things in (("models", models), ("methods", methods), ("metrics", metrics)):
        words[name], own[name] = _parted(things, _NAMERS[name])
    chosen = as_plan(plan, own={*own["methods"], *own["metrics"]}, **words, **settings)
    parts = UserObjects(**own, samples=samples)
    return run(chosen, Path(out), extend=extend, own=parts, listener=listener, workers=workers).file


def _named_model(model: nn.Module | ExplainedModel) -> tuple[str, ExplainedModel]:
    ready = as_model(model, None, None)
    return ready.name, ready


_NAMERS: dict[str, Callable[[Any], tuple[str, Any]]] = {
    "models": _named_model,
    "methods": as_method,
    "metrics": as_metric,
}


def _parted(things: Any, named: Callable[[Any], tuple[str, Any]]) -> tuple[list[str] | None, dict[str, Any]]:
    """Give the names of things, and what those are that were no names."""
    if things is None:
        return None, {}
    listed = [things] if isinstance(things, str) else things
    pairs = [(one, None) if isinstance(one, str) else named(one) for one in listed]
    return [name for name, _ in pairs], {name: thing for name, thing in pairs if thing is not None}


def gathered(folder: Path) -> BenchmarkResult:
    """Write the rows that a run has so far as Parquet, whether it has ended or not."""
    plan = stored_plan(folder / "plan.json")
    if plan is None:
        raise ResultsError(f"{folder} is no folder of a benchmark: it has no plan.json")
    journal = journal_of(folder)
    return finished(folder, journal, plan, journal.images())

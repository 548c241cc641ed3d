"""The functions with which Python code runs a benchmark and collects its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from fusioncam.benchmark.plan import as_plan, load_plan
from fusioncam.benchmark.run_folder import open_journal
from fusioncam.benchmark.run_setup import UserObjects
from fusioncam.benchmark.runner import BenchmarkResult, run, write_results
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
    """Measure methods on images.

    A call with the same plan continues a stopped run. An image that fails has a row with its error.

    Args:
        data: a path for :func:`fusioncam.data.datasets.open_dataset`, or samples.
        out: folder of the run.
        models: names or your own networks.
        methods: SPECs or your own callables.
        metrics: names or your own callables.
        plan: a preset or a YAML file, whose settings the other arguments override.
        extend: whether the plan may add to that of the run in ``out``.
        listener: receives the progress.
        workers: do the work, by default this process; :func:`fusioncam.distributed.ray_connection.ray_pool` returns
            others.
        settings: those of :class:`fusioncam.benchmark.plan.Plan`: ``layer``, ``target``, ``limit``, ``seed``,
            ``class_map``, ``device``, ``precision``, ``engine``, ``keep_heatmaps``.

    Returns:
        The path of the rows, ``out/rows.parquet``.

    Raises:
        UnknownNameError: for an unknown name in the plan.
        SettingError: for a bad plan.
        ResultsError: for a folder of another plan.
        OutputError: for a folder that cannot be written.

    Examples:
        ```python
        from fusioncam.benchmark import benchmark
        from fusioncam.report import read_results

        rows = benchmark("photos/", out="run/", methods=["grad-cam", "center"], metrics=["average-drop"])
        results = read_results(rows.parent)
        results.column("efficientnet_lite0", "average-drop").interval("grad-cam").mean
        ```
    """
    samples = None if data is None or isinstance(data, (str, Path)) else data
    options: dict[str, Any] = {"data": data if samples is None else f"{len(samples)} samples"}
    own: dict[str, dict[str, Any]] = {}
    for key, items in (("models", models), ("methods", methods), ("metrics", metrics)):
        options[key], own[key] = _split_names(items, _NAME_OBJECT[key])
    chosen = as_plan(plan, own={*own["methods"], *own["metrics"]}, **options, **settings)
    objects = UserObjects(**own, samples=samples)
    return run(chosen, Path(out), extend=extend, own=objects, listener=listener, workers=workers).file


def _name_model(model: nn.Module | ExplainedModel) -> tuple[str, ExplainedModel]:
    ready = as_model(model, None, None)
    return ready.name, ready


# functions that return the name of the user's own object, and the object
_NAME_OBJECT: dict[str, Callable[[Any], tuple[str, Any]]] = {
    "models": _name_model,
    "methods": as_method,
    "metrics": as_metric,
}


def _split_names(
    items: Any, name_object: Callable[[Any], tuple[str, Any]]
) -> tuple[list[str] | None, dict[str, Any]]:
    """Return the names of all items, and the items that are the user's own objects by their names."""
    if items is None:
        return None, {}
    listed = [items] if isinstance(items, str) else items
    pairs = [(item, None) if isinstance(item, str) else name_object(item) for item in listed]
    return [name for name, _ in pairs], {name: item for name, item in pairs if item is not None}


def collect_results(folder: Path) -> BenchmarkResult:
    """Write the rows that a run has so far as Parquet, finished or not.

    Raises :class:`ResultsError` for a folder that is not that of a benchmark.
    """
    plan = load_plan(folder / "plan.json")
    if plan is None:
        raise ResultsError(f"{folder} is not the folder of a benchmark: it has no plan.json")
    journal = open_journal(folder)
    return write_results(folder, journal, plan, journal.images())

"""Test benchmarks of the user's own objects."""

from __future__ import annotations

import pytest
import torch

import samples
from benchmark_runs import BASELINES, benchmark_rows
from fusioncam import ExplainedModel
from fusioncam.data.datasets.sample import Sample
from fusioncam.errors import ResultsError, describe_error
from fusioncam.methods.gradient import GradCAM
from fusioncam.metrics.registry import as_metrics
from samples import painted


def test_own_objects_are_accepted(tmp_path):
    """Models, methods, metrics and samples may be objects of the caller."""
    images = [Sample(str(n), painted(n)) for n in range(2)]
    model = samples.explained(samples.Small())
    ((_, metric),) = as_metrics("insertion(steps=3)")
    rows = benchmark_rows(images, tmp_path / "run", [GradCAM(layer="conv"), GradCAM()], [metric], models=[model])

    assert {*rows["model"]} == {"sample"}
    assert {*rows["method"]} == {"GradCAM(layer='conv')", "grad-cam", *BASELINES}
    assert rows["value"].notna().all()
    assert isinstance(model, ExplainedModel)


def test_a_plain_function_is_a_metric_and_a_method(data, tmp_path):
    """A function without attributes is a metric for which higher is better."""

    def brightness(model, x, target, heatmaps):
        return heatmaps.mean((1, 2))

    def half(model, x, target):
        return torch.full((len(x), *x.shape[2:]), 0.5)

    rows = benchmark_rows(data, tmp_path / "run", [half], [brightness], limit=1)
    assert rows.set_index("method")["value"].round(6)[["half", "ones"]].tolist() == [0.5, 1.0]
    assert {*rows["metric"]} == {"brightness"}
    assert rows["higher_is_better"].all()


def test_each_model_has_rows(data, tmp_path):
    """Rows are in the order of the plan."""
    rows = benchmark_rows(data, tmp_path / "run", models=["samples:alike", "samples:small"], layer="conv", limit=1)

    assert rows["model"].tolist() == ["samples:alike"] * 4 + ["samples:small"] * 4
    assert {*rows["layer"]} == {"conv"}


def test_a_missing_layer_is_reported_before_the_run(data, tmp_path):
    """It would otherwise fail on every image."""
    with pytest.raises(ValueError, match=r"has no layer 'cnv'; did you mean 'conv'"):
        benchmark_rows(data, tmp_path / "run", ["grad-cam(layer=cnv)"])
    assert not (tmp_path / "run" / "rows.jsonl").exists()


def test_errors_are_described_in_one_line():
    """Errors of the library have no type, others do."""
    assert describe_error(ResultsError("no rows")) == "no rows"
    assert describe_error(KeyError("a")) == "KeyError: 'a'"

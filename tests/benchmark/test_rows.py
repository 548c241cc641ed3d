"""Test the rows of benchmarks: values, costs and what is computed only once."""

from __future__ import annotations

import json

import pytest
import torch

import samples
from benchmark_runs import BASELINES, benchmark_rows
from fusioncam import METHODS, METRICS, cached_passes
from fusioncam.benchmark.evaluator import Evaluator
from fusioncam.data.datasets.sample import Sample
from fusioncam.inference.costs import count_passes
from fusioncam.methods.registry import as_methods
from fusioncam.methods.warm_up import warm_up
from fusioncam.metrics.base import protocol
from fusioncam.metrics.planted_shortcut import PlantedShortcut
from fusioncam.metrics.registry import as_metrics
from samples import painted


def test_there_is_a_row_for_everything(data, tmp_path):
    """Each image, method and metric has one row, in the order of the plan, with baselines, protocol and versions."""
    rows = benchmark_rows(data, tmp_path / "run", ["fusion-cam", "grad-cam"], ["insertion(steps=4)", "average-drop"])

    expected = [
        (f"0{n}.png", method, metric)
        for n in range(4)
        for method in ["fusion-cam", "grad-cam", *BASELINES]
        for metric in ["insertion(steps=4)", "average-drop"]
    ]
    assert list(rows[["image", "method", "metric"]].itertuples(index=False, name=None)) == expected
    assert {*rows["model"]} == {"samples:small"}
    assert {*rows["layer"]} == {"act"}
    assert rows["error"].isna().all()
    assert rows["versions"].str.contains('"torch": "').all()
    drops = rows[rows["metric"] == "average-drop"]
    assert drops.groupby("method")["shares_objective"].all().to_dict() == {
        **dict.fromkeys(["grad-cam", *BASELINES], False),
        "fusion-cam": True,
    }
    assert not drops["higher_is_better"].any()
    assert drops.loc[drops["method"] == "ones", "value"].abs().max() < 1e-6
    assert (rows.loc[rows["metric"] != "average-drop", "curve"].map(len) == 5).all()
    assert drops["curve"].isna().all()


def test_values_are_those_of_a_direct_call(data, tmp_path):
    """A stored value is what the metric returns for the image and the predicted class."""
    rows = benchmark_rows(data, tmp_path / "run", ["score-cam"], ["insertion(steps=6)"])
    model, ((_, metric),) = samples.small(), as_metrics("insertion(steps=6)")
    for n, row in enumerate(rows[rows["method"] == "score-cam"].itertuples()):
        x = model.preprocessing(painted(n))[None]
        target = model.logits(x).argmax(1)
        value = metric(model, x, target, METHODS["score-cam"](model, x, target))
        assert row.value == pytest.approx(float(value), abs=1e-6)
        assert row.target == int(target)
        assert json.loads(row.protocol) == protocol(metric)


def test_shared_results_are_computed_once():
    """The recorded pass, Score-CAM's heatmap and the score of the whole image are computed only once."""
    methods = dict(
        pair
        for name in ("grad-cam", "layer-cam", "score-cam", "union-cam", "fusion-cam")
        for pair in as_methods(name)
    )
    metrics = dict(pair for name in ("average-drop", "increase", "insertion(steps=4)") for pair in as_metrics(name))
    model, sample = samples.small(), Sample("one", painted(1))
    evaluator = Evaluator(model, "m", methods, metrics, [sample])
    warm_up(model, methods.values(), model.preprocessing.blank_input())
    with count_passes() as counter:
        rows, heatmaps = evaluator.measure(sample, {(method, metric) for method in methods for metric in metrics}, {})

    channels = 6
    # the logits, the recorded pass, Score-CAM, and the selections of Union-CAM and Fusion-CAM
    methods_passes = 1 + 1 + channels + 4 + 4
    assert counter.passes == methods_passes + 1 + len(methods) * (
        1 + 5
    )  # the whole image, each one masked, each one's curve
    assert [row for row in rows if row["error"]] == []
    assert set(heatmaps) == set(methods)
    costs = {row["method"]: row["passes"] for row in rows}
    assert costs == {"grad-cam": 1, "layer-cam": 1, "score-cam": 7, "union-cam": 11, "fusion-cam": 11}


@pytest.mark.parametrize("metric", ["idsds", "contrast", "planted-shortcut"])
def test_passes_that_do_not_depend_on_the_heatmap_run_once(metric, monkeypatch):
    """A second method, from the same recorded pass, adds none; each method's value is that of a direct call."""
    reacts = torch.tensor([0]), torch.tensor([True])
    monkeypatch.setattr(PlantedShortcut, "risen", lambda *arguments: reacts)
    model, sample = samples.small(), Sample("one", painted(1))
    x = model.preprocessing(sample.image)[None]
    target = model.logits(x).argmax(1)
    warm_up(model, [METHODS["grad-cam"]], x)

    def measured(*methods):
        pairs = {name: METHODS[name] for name in methods}
        evaluator = Evaluator(model, "m", pairs, {metric: METRICS[metric]}, [sample])
        with count_passes() as counter:
            rows, _ = evaluator.measure(sample, {(method, metric) for method in pairs}, {})
        for row in rows:
            method = METHODS[row["method"]]
            value = METRICS[metric](model, x, target, method(model, x, target), method=method)
            assert row["value"] == pytest.approx(float(value), abs=1e-6)
        return counter.passes

    assert measured("grad-cam", "layer-cam") == measured("grad-cam")


@pytest.mark.parametrize("first", [True, False])
def test_a_methods_cost_is_that_of_running_it_alone(data, tmp_path, first):
    """The cost holds for every image and order of methods; one-time searches are not part of it."""
    names = ["ablation-cam", "fusion-cam", "group-cam", "recipro-cam"]
    rows = benchmark_rows(data, tmp_path / "run", names if first else names[::-1], ["average-drop"], limit=2)
    model = samples.small()
    x = model.preprocessing(painted(0))[None]
    for name in names:
        METHODS[name](model, x, model.logits(x).argmax(1))
    for name in names:
        for n in sorted({int(name[:2]) for name in rows["image"]}):
            x = model.preprocessing(painted(n))[None]
            target = model.logits(x).argmax(1)
            with cached_passes(), count_passes() as counter:
                METHODS[name](model, x, target)
            row = rows[(rows["method"] == name) & (rows["image"] == f"{n:02}.png")].iloc[0]
            assert (row["passes"], row["partial_passes"]) == (counter.passes, counter.partial)


def test_the_limit_draws_a_stable_sample(data, tmp_path):
    """The seed selects the images; a larger limit keeps those of a smaller one."""
    drawn = [{*benchmark_rows(data, tmp_path / str(n), limit=n, seed=3)["image"]} for n in (1, 2, 3)]

    assert drawn[0] < drawn[1] < drawn[2]


def test_random_numbers_do_not_depend_on_the_order(data, tmp_path, unreliable):
    """A random method returns the same heatmap whatever was drawn before."""
    alone = benchmark_rows(data, tmp_path / "a", [unreliable], ["average-drop"], limit=1)
    torch.manual_seed(99)  # as another program may have set it
    together = benchmark_rows(data, tmp_path / "b", ["random", unreliable, "grad-cam"], ["average-drop"])
    image = alone["image"][0]

    def value(rows):
        return rows[(rows["image"] == image) & rows["method"].str.startswith("Unreliable")]["value"].item()

    assert value(alone) == value(together)
    assert len({*together[together["method"].str.startswith("Unreliable")]["value"]}) == 4

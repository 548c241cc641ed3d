"""Properties of every metric in METRICS, and the methods that share its objective."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from fusioncam import METHODS
from fusioncam import metrics as package
from fusioncam.data.ground_truth import Truth
from fusioncam.errors import InputTypeError, NonFiniteError, SettingError, UnknownNameError
from fusioncam.inference.cache import cached_passes
from fusioncam.inference.costs import count_passes
from fusioncam.methods.ensembles import RULES, Fuse, MetaCAM
from fusioncam.methods.fusion import FusionCAM, UnionCAM
from fusioncam.methods.gradient import GradCAM
from fusioncam.methods.multi_layer import Multiscale
from fusioncam.methods.opti_cam import OptiCAM
from fusioncam.methods.score_cam import ScoreCAM
from fusioncam.methods.smoothing import Augmented
from fusioncam.metrics.base import CurveMetric, Metric, protocol
from fusioncam.metrics.curves import Insertion
from fusioncam.metrics.passes import MetricPasses
from fusioncam.metrics.registry import METRICS, PROTOCOLS, as_metric, as_metrics, measure, optimises_metric
from fusioncam.metrics.removal import ROAD, MoRF
from metric_cases import ALONE, RANKING, case

pytestmark = pytest.mark.usefixtures("one_thread")

FAITHFUL = [name for name in METRICS if METRICS[name].family == "faithfulness"]
CURVES = [name for name in FAITHFUL if hasattr(METRICS[name], "curve")]


def only_image(inputs, n):
    """Return the arguments of a metric for one image of a batch."""
    model, x, target, maps, truth, method = inputs
    alone = Truth(truth.size, [truth.boxes(None)[n]], truth.mask(None)[n : n + 1])
    return model, x[n : n + 1], target[n : n + 1], maps[n : n + 1], alone, method


@pytest.mark.parametrize("name", METRICS)
def test_metrics_declare_their_facts(name):
    """The family, direction, needs, cost and source are class attributes."""
    metric = METRICS[name]

    assert metric.family in ("faithfulness", "localization", "sanity", "cost")
    for flag in (metric.higher_is_better, metric.needs_truth, metric.needs_method):
        assert isinstance(flag, bool)
    assert set(metric.shares_objective) <= set(METHODS)
    assert isinstance(metric.paper, str)
    assert isinstance(metric.cost, MetricPasses)
    assert metric.__doc__.strip()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-:")


@pytest.mark.parametrize("name", METRICS)
def test_a_protocol_restores_its_metric(name):
    """A metric can be rebuilt from its protocol in JSON."""
    stored = json.loads(json.dumps(protocol(METRICS[name])))
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}

    assert getattr(package, settings.pop("metric"))(**settings) == METRICS[name]


def test_the_protocol_of_a_callable_is_its_name():
    """A callable is accepted wherever a metric's name is."""

    def mean_of_heatmap(model, x, target, heatmaps):
        return heatmaps.flatten(1).mean(1)

    assert protocol(mean_of_heatmap) == {"metric": "mean_of_heatmap"}
    assert as_metric(mean_of_heatmap) == ("mean_of_heatmap", mean_of_heatmap)
    assert protocol(Insertion) == {"metric": "Insertion"}


@pytest.mark.parametrize("name", ALONE)
def test_batch_equals_singles(name):
    """Each image has the same finite value in a batch as alone."""
    inputs = case("pyramid", dtype=torch.float64 if name in RANKING else torch.float32)

    together = METRICS[name](*inputs)

    assert together.shape == (3,)
    assert together.is_floating_point()
    assert together.isfinite().all()
    alone = torch.cat([METRICS[name](*only_image(inputs, n)) for n in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FAITHFUL)
@pytest.mark.parametrize("toy_name", ["signal", "volume"])
def test_other_dimensions(name, toy_name):
    """Metrics accept signals and volumes."""
    values = METRICS[name](*case(toy_name))

    assert values.shape == (3,)
    assert not values.isinf().any()


@pytest.mark.parametrize("name", FAITHFUL)
def test_inputs_are_not_changed(name):
    """Images and heatmaps are as before, and a second call returns the same values."""
    inputs = case()
    before = inputs[1].clone(), inputs[3].clone()

    first, second = (METRICS[name](*inputs) for _ in range(2))

    assert first.equal(second)
    assert inputs[1].equal(before[0])
    assert inputs[3].equal(before[1])


@pytest.mark.parametrize("name", FAITHFUL)
def test_the_cost_is_the_number_of_passes(name):
    """For a method of one pass and images of 64 pixels."""
    inputs = case()
    metric = METRICS[name]
    expected = metric.cost.at(method=1, pixels=64)
    # one more pass of the whole image predicts the class
    extra = 1 if getattr(metric, "classes", "") == "predicted" else 0

    with cached_passes(), count_passes() as counter:
        metric(*inputs)

    assert counter.passes == 3 * (expected + extra)


@pytest.mark.parametrize("name", CURVES)
def test_curves_have_one_point_per_share(name):
    """The shares are increasing and in [0, 1]."""
    model, x, target, maps, *_ = case()

    curve, shares = METRICS[name].curve(model, x, target, maps), METRICS[name].shares(x)

    assert curve.shape == (len(shares), 3)
    assert (shares.diff() > 0).all()
    assert shares[0] >= 0
    assert shares[-1] <= 1


@pytest.mark.parametrize("name", FAITHFUL)
def test_flat_heatmaps_have_a_value_or_nan(name):
    """A constant heatmap raises no error, and its value is not infinite."""
    model, x, target, maps, truth, method = case()

    for value in (0.0, 0.5, 1.0):
        values = METRICS[name](model, x, target, torch.full_like(maps, value), truth, method)
        assert not values.isinf().any()


# -- names -------------------------------------------------------------------------------------------------------


def test_every_name_belongs_to_a_protocol():
    """Names with a colon belong to the protocol after it, the others to "ours"."""
    assert {name for names in PROTOCOLS.values() for name in names} == set(METRICS)
    for family, names in PROTOCOLS.items():
        suffixes = {name.partition(":")[2] for name in names}
        assert suffixes == {"ours": {""}, "adcc": {"adcc", "", "official"}}.get(family, {family})


def test_every_metric_class_is_exported():
    """The package exports the class of every metric, and its __all__ is sorted."""
    assert {type(metric).__name__ for metric in METRICS.values()} <= set(package.__all__)
    assert list(package.__all__) == sorted(
        package.__all__, key=lambda name: (name.upper() != name, name[0].islower(), name)
    )


@pytest.mark.parametrize("name", METRICS)
def test_specs_with_all_settings_are_read_back(name):
    """A metric written with all its settings is parsed to the same metric."""
    written = f"{name}({', '.join(package.settings_of(METRICS[name]))})"

    assert as_metrics(written) == [(written, METRICS[name])]
    assert package.described(name)


def test_measure_passes_only_needed_arguments():
    """A callable without parameters for the truth and the method works."""
    model, x, target, maps, truth, method = case()

    def mean_of_heatmap(model, x, target, heatmaps):
        return heatmaps.flatten(1).mean(1)

    assert measure(mean_of_heatmap, model, x, target, maps, truth, method).equal(maps.flatten(1).mean(1))
    for name in ("energy-in-box", "coherency", "average-drop"):
        inputs = (model, x, target, maps, truth, method)
        assert measure(METRICS[name], *inputs).equal(METRICS[name](*inputs))


def test_metrics_have_the_declared_type():
    """mypy accepts a metric as a Metric."""
    one: Metric = ROAD()

    assert one.cost == MetricPasses(10)


# -- metrics of users --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coverage(Metric):
    """The share of pixels above a threshold."""

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = False
    cost: ClassVar[MetricPasses] = MetricPasses()

    threshold: float = 0.5

    def values(self, model, x, target, heatmaps):
        """Return the shares ``(N,)``."""
        return (heatmaps > self.threshold).flatten(1).double().mean(1)


def test_a_subclass_implements_values_only():
    """The base class checks the heatmaps, provides the other facts, and needs neither truth nor method."""
    model, x, target, maps, truth, method = case()
    metric = Coverage(0.25)

    assert metric(model, x, target, maps).equal((maps > 0.25).flatten(1).double().mean(1))
    assert measure(metric, model, x, target, maps, truth, method).equal(metric(model, x, target, maps))
    assert protocol(metric) == {"metric": "Coverage", "threshold": 0.25}
    assert as_metric(metric) == ("Coverage(threshold=0.25)", metric)
    assert (metric.needs_truth, metric.needs_method, metric.paper, metric.shares_objective) == (False, False, "", ())
    with pytest.raises(NonFiniteError, match="heatmap 1 of 3 contains NaN"):
        metric(model, x, target, maps.index_fill(0, torch.tensor([1]), torch.nan))


def test_the_base_class_is_abstract():
    """A class without values or cost cannot be instantiated."""
    with pytest.raises(TypeError, match="abstract"):
        Metric()
    with pytest.raises(TypeError, match="abstract"):
        CurveMetric()


# -- methods that share the objective --------------------------------------------------------------------------

DROP = METRICS["average-drop"]
CHOOSING = [
    UnionCAM(),
    UnionCAM(gains="official", fill="blur"),
    FusionCAM(region=GradCAM()),
    OptiCAM(steps=3),
    MetaCAM(),
    Multiscale(),
    Augmented(method=FusionCAM()),
    Fuse((GradCAM(), UnionCAM())),
    Fuse((GradCAM(), Augmented(method=Fuse((GradCAM(), ScoreCAM()), "fusion"))), "max"),
    *(Fuse((GradCAM(), ScoreCAM()), rule) for rule in ("fusion", "union", "meta")),
    *(METHODS[name] for name in METHODS if name.startswith(("fusion-cam", "union-cam"))),
]
OTHERS = [
    *(METHODS[name] for name in ("grad-cam", "score-cam", "score-cam:cic", "rise", "ones", "poly-cam", "fuse")),
    MetaCAM(top=(20.0,)),
    Augmented(),
    *(Fuse((GradCAM(), ScoreCAM()), rule) for rule in RULES if rule not in ("fusion", "union", "meta")),
    lambda model, x, target: x[:, 0],
]


@pytest.mark.parametrize("method", CHOOSING, ids=repr)
def test_methods_that_optimise_the_masked_score_are_marked(method):
    """They are marked with any settings and inside other methods, for all metrics that measure this score."""
    for name in ("average-drop", "increase", "average-gain", "adcc", "average-drop:torchcam", "increase:score-cam"):
        assert optimises_metric(METRICS[name], method)
    assert optimises_metric(replace(DROP, fill="blur"), method)
    for name in ("insertion", "deletion", "road", "morf", "coherency", "complexity", "pointing-game", "passes"):
        assert not optimises_metric(METRICS[name], method)


@pytest.mark.parametrize("method", OTHERS, ids=lambda one: getattr(one, "__name__", str(one)))
def test_other_methods_are_not_marked(method):
    """Methods that score channels or random masks do not choose the whole heatmap by the score."""
    assert not any(optimises_metric(metric, method) for metric in METRICS.values())


def test_plain_callables_share_no_objective():
    """A callable without class attributes is accepted."""
    assert not optimises_metric(lambda *inputs: None, FusionCAM())


def test_wrong_specs_are_reported():
    """The errors are those of method specs."""
    with pytest.raises(UnknownNameError, match=r"unknown metric 'insertion:rice'; did you mean 'insertion:rise'"):
        as_metrics("insertion:rice")
    with pytest.raises(SettingError, match="names 2 metrics: give one"):
        as_metric("insertion|deletion")
    with pytest.raises(InputTypeError, match="the name of a metric or a callable"):
        as_metric(MoRF)

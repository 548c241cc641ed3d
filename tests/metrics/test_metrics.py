"""What holds for every metric of METRICS, and who shares its objective."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from fusioncam import METHODS
from fusioncam import metrics as package
from fusioncam.data.ground_truth import Truth
from fusioncam.errors import InputTypeError, SettingError, UnknownNameError
from fusioncam.inference.cache import cached_passes
from fusioncam.inference.costs import count_passes
from fusioncam.methods.ensembles import RULES, Fuse, MetaCAM
from fusioncam.methods.fusion import FusionCAM, UnionCAM
from fusioncam.methods.gradient import GradCAM
from fusioncam.methods.multi_layer import Multiscale
from fusioncam.methods.opti_cam import OptiCAM
from fusioncam.methods.score_cam import ScoreCAM
from fusioncam.methods.smoothing import Augmented
from fusioncam.metrics.base import Metric, protocol
from fusioncam.metrics.curves import Insertion
from fusioncam.metrics.registry import METRICS, PROTOCOLS, as_metric, as_metrics, measure, optimises_metric
from fusioncam.metrics.removal import ROAD, MoRF
from metric_cases import ALONE, RANKING, case

pytestmark = pytest.mark.usefixtures("one_thread")

FAITHFUL = [name for name in METRICS if METRICS[name].family == "faithfulness"]
CURVES = [name for name in FAITHFUL if hasattr(METRICS[name], "curve")]


def part(about, n):
    """Give what a metric is called with for one image alone."""
    model, x, target, maps, truth, method = about
    alone = Truth(truth.size, [truth.boxes(None)[n]], truth.mask(None)[n : n + 1])
    return model, x[n : n + 1], target[n : n + 1], maps[n : n + 1], alone, method


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_what_it_is(name):
    """Its direction, its needs and its cost are data."""
    metric = METRICS[name]

    assert metric.family in ("faithfulness", "localization", "sanity", "cost")
    for flag in (metric.higher_is_better, metric.needs_truth, metric.needs_method):
        assert isinstance(flag, bool)
    assert set(metric.shares_objective) <= set(METHODS)
    assert isinstance(metric.paper, str)
    assert metric.cost
    assert metric.__doc__.strip()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-:")


@pytest.mark.parametrize("name", METRICS)
def test_a_protocol_is_data(name):
    """What JSON keeps of a metric makes the same metric again."""
    stored = json.loads(json.dumps(protocol(METRICS[name])))
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}

    assert getattr(package, settings.pop("metric"))(**settings) == METRICS[name]


def test_a_callable_has_its_name_as_protocol():
    """Wherever a metric's name is taken, any callable is."""

    def mine(model, x, target, heatmaps):
        return heatmaps.flatten(1).mean(1)

    assert protocol(mine) == {"metric": "mine"}
    assert as_metric(mine) == ("mine", mine)
    assert protocol(Insertion) == {"metric": "Insertion"}


@pytest.mark.parametrize("name", ALONE)
def test_batch_equals_singles(name):
    """Images give in one call what they give alone, a finite number each."""
    about = case("pyramid", dtype=torch.float64 if name in RANKING else torch.float32)

    together = METRICS[name](*about)

    assert together.shape == (3,)
    assert together.is_floating_point()
    assert together.isfinite().all()
    alone = torch.cat([METRICS[name](*part(about, n)) for n in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FAITHFUL)
@pytest.mark.parametrize("toy_name", ["signal", "volume"])
def test_other_dimensions(name, toy_name):
    """Signals and volumes are measured as images are."""
    values = METRICS[name](*case(toy_name))

    assert values.shape == (3,)
    assert not values.isinf().any()


@pytest.mark.parametrize("name", FAITHFUL)
def test_nothing_is_changed(name):
    """Images and heatmaps stay as they were, and the same call gives the same values."""
    about = case()
    before = about[1].clone(), about[3].clone()

    first, second = (METRICS[name](*about) for _ in range(2))

    assert first.equal(second)
    assert about[1].equal(before[0])
    assert about[3].equal(before[1])


@pytest.mark.parametrize("name", FAITHFUL)
def test_passes_are_what_cost_says(name):
    """M is what the method takes, S the number of pixels."""
    about = case()
    metric = METRICS[name]
    where = {"M": 1, "S": 64}
    steps, _, each = metric.cost.partition(" / ")
    expected = (
        -(-64 // int(each.split()[0])) + 1 if each else sum(where.get(one) or int(one) for one in steps.split(" + "))
    )
    extra = 1 if getattr(metric, "classes", "") == "predicted" else 0  # one pass of the whole image tells the class

    with cached_passes(), count_passes() as meter:
        metric(*about)

    assert meter.passes == 3 * (expected + extra)


@pytest.mark.parametrize("name", CURVES)
def test_curves_have_their_shares(name):
    """A point of the curve for each share, from which it can be drawn."""
    model, x, target, maps, *_ = case()

    curve, shares = METRICS[name].curve(model, x, target, maps), METRICS[name].shares(x)

    assert curve.shape == (len(shares), 3)
    assert (shares.diff() > 0).all()
    assert shares[0] >= 0
    assert shares[-1] <= 1


@pytest.mark.parametrize("name", FAITHFUL)
def test_flat_heatmaps_have_a_value_or_none(name):
    """Never infinity, never an error."""
    model, x, target, maps, truth, method = case()

    for value in (0.0, 0.5, 1.0):
        values = METRICS[name](model, x, target, torch.full_like(maps, value), truth, method)
        assert not values.isinf().any()


# -- names -------------------------------------------------------------------------------------------------------


def test_every_name_belongs_to_a_protocol():
    """Those with a colon to the family behind it, the others to ours."""
    assert {name for names in PROTOCOLS.values() for name in names} == set(METRICS)
    for family, names in PROTOCOLS.items():
        said = {name.partition(":")[2] for name in names}
        assert said == {"ours": {""}, "adcc": {"adcc", "", "official"}}.get(family, {family})


def test_every_metric_is_listed():
    """What METRICS has is in the package's face, which is sorted."""
    assert {type(metric).__name__ for metric in METRICS.values()} <= set(package.__all__)
    assert list(package.__all__) == sorted(
        package.__all__, key=lambda name: (name.upper() != name, name[0].islower(), name)
    )


@pytest.mark.parametrize("name", METRICS)
def test_specs_give_back_what_they_say(name):
    """Written out with all its settings, a metric is read as itself."""
    written = f"{name}({', '.join(package.settings_of(METRICS[name]))})"

    assert as_metrics(written) == [(written, METRICS[name])]
    assert package.described(name)


def test_measure_hands_on_what_is_needed():
    """A callable without a place for the truth or the method is not given them."""
    model, x, target, maps, truth, method = case()

    def mine(model, x, target, heatmaps):
        return heatmaps.flatten(1).mean(1)

    assert measure(mine, model, x, target, maps, truth, method).equal(maps.flatten(1).mean(1))
    for name in ("energy-in-box", "coherency", "average-drop"):
        about = (model, x, target, maps, truth, method)
        assert measure(METRICS[name], *about).equal(METRICS[name](*about))


def test_a_metric_is_any_such_callable():
    """Also one that mypy sees as a Metric."""
    one: Metric = ROAD()

    assert one.cost == "10"


# -- who shares the objective --------------------------------------------------------------------------------------

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
def test_who_chooses_by_the_masked_score_is_marked(method):
    """With any settings, and inside of other methods; for all metrics that measure it, with any settings."""
    for name in ("average-drop", "increase", "average-gain", "adcc", "average-drop:torchcam", "increase:score-cam"):
        assert optimises_metric(METRICS[name], method)
    assert optimises_metric(replace(DROP, fill="blur"), method)
    for name in ("insertion", "deletion", "road", "morf", "coherency", "complexity", "pointing-game", "passes"):
        assert not optimises_metric(METRICS[name], method)


@pytest.mark.parametrize("method", OTHERS, ids=lambda one: getattr(one, "__name__", str(one)))
def test_the_others_are_not(method):
    """Channels, random masks and joined maps are scored or not, but the map as a whole is not chosen by it."""
    assert not any(optimises_metric(metric, method) for metric in METRICS.values())


def test_anything_may_be_asked_about():
    """A callable without data shares nothing that is known."""
    assert not optimises_metric(lambda *about: None, FusionCAM())


def test_wrong_specs_are_told():
    """As those of methods are."""
    with pytest.raises(UnknownNameError, match=r"unknown metric 'insertion:rice'; did you mean 'insertion:rise'"):
        as_metrics("insertion:rice")
    with pytest.raises(SettingError, match="names 2 metrics: give one"):
        as_metric("insertion|deletion")
    with pytest.raises(InputTypeError, match="the name of a metric or a callable"):
        as_metric(MoRF)

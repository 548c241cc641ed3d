"""Metrics that run the method again: on randomised networks and on slightly changed images."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import quantus
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantus.functions.similarity_func import correlation_spearman
from scipy import stats
from torch import nn

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import MethodError, NonFiniteError, SettingError, ShapeError, UnknownNameError
from fusioncam.functional.heatmaps import upsample
from fusioncam.functional.similarity import heatmap_similarity, pearson, ranks, relative_change, spearman
from fusioncam.inference.cache import cached_passes
from fusioncam.inference.context import current_context
from fusioncam.inference.costs import count_passes
from fusioncam.metrics.base import random_like
from fusioncam.metrics.passes import MetricPasses
from fusioncam.metrics.randomisation import randomised, reset, seeded, shuffle, with_fixed_layer
from fusioncam.metrics.sanity import MaxSensitivity, ModelRandomisation, NoiseStability
from toys import Toy, problem
from twins import localization as twin

METRICS = [
    ModelRandomisation(stages=2),
    ModelRandomisation(stages=3, draw="reset", similarity="pearson", seed=4),
    NoiseStability(samples=2),
    NoiseStability(0.3, 3, "pearson", 1),
    MaxSensitivity(samples=3),
    MaxSensitivity(radius=0.5, samples=2, seed=9),
]
GRAD_CAM = METHODS["grad-cam"]


def brightness(model, x, target):
    """Return heatmaps that depend only on the image."""
    return x.mean(1)


def constant(model, x, target):
    """Return the same heatmap for every image and every network."""
    return torch.linspace(0, 1, x[0, 0].numel(), dtype=x.dtype).reshape(x.shape[2:]).expand(len(x), *x.shape[2:])


def flat(model, x, target):
    """Return heatmaps of zeros."""
    return torch.zeros_like(x[:, 0])


def activity(model, x, target):
    """Return the mean activation of the layer as heatmaps."""
    return upsample(model.record(x, target).activations.mean(1), x.shape[2:])


def explained(name="small", images=2):
    """Return a toy network, its model, inputs and targets."""
    toy, x, target = problem(name, images)
    return toy, ExplainedModel(toy, "features"), x, target


def values(metric, method, model, x, target):
    """Return the metric's values for the method's own heatmaps."""
    return metric(model, x, target, method(model, x, target), method=method)


# -- by hand ---------------------------------------------------------------------------------------------------


def test_a_method_that_ignores_the_network_does_not_change():
    """The brightness of the image does not depend on the network: the similarity is 1 at every stage."""
    _, model, x, target = explained()

    assert values(ModelRandomisation(stages=3), brightness, model, x, target).tolist() == pytest.approx([1, 1])
    assert values(NoiseStability(), constant, model, x, target).tolist() == pytest.approx([1, 1])
    assert values(MaxSensitivity(), constant, model, x, target).tolist() == [0, 0]


def test_the_stages_of_randomisation_by_hand():
    """A method records which layers of the network are unchanged at each stage."""
    toy, model, x, target = explained()
    names = [name for name, one in toy.named_modules() if next(one.parameters(False), None) is not None]
    trained = {name: copy.deepcopy(toy.get_submodule(name).state_dict()) for name in names}
    recorded = []

    def record(model, x, target):
        unchanged = [
            all(
                value.equal(trained[name][key])
                for key, value in model.network.get_submodule(name).state_dict().items()
            )
            for name in names
        ]
        recorded.append(unchanged)
        return constant(model, x, target)

    ModelRandomisation(stages=2)(model, x, target, constant(model, x, target), method=record)

    assert names == ["features.0", "features.1", "features.3", "head.0", "head.4"]
    # three of five layers in the first half, from the top; shuffling the equal weights of BatchNorm has no effect
    assert recorded[0] == [True, True, False, False, False]
    assert recorded[1] == [False, True, False, False, False]


def test_later_stages_keep_the_random_layers():
    """Layers that are random at one stage are the same at the next."""
    _, model, _, _ = explained()

    first, second = randomised(model, 2, "shuffle", 0)

    assert first.network.head[0].weight.equal(second.network.head[0].weight)
    assert not first.network.features[0].weight.equal(second.network.features[0].weight)
    assert first.network is not second.network


def test_max_sensitivity_by_hand():
    """The brightness changes by the mean of the noise, which is the same for every image."""
    _, model, _, target = explained()
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    noise = [(2 * one - 1).mean(0) for one in random_like(torch.rand, x, 4, seed=3)]

    found = values(MaxSensitivity(radius=0.1, samples=4, seed=3), brightness, model, x, target)

    for value, one in zip(found, x.mean(1), strict=True):
        assert value == pytest.approx(max(0.1 * float(each.norm() / one.norm()) for each in noise))


def test_the_noise_is_relative_to_the_range_of_the_image():
    """Twice the range has twice the noise."""
    _, model, x, target = explained()
    calls = []

    def record(model, x, target):
        calls.append(x.clone())
        return constant(model, x, target)

    x[1] = 2 * x[0] + 5
    NoiseStability(0.1, samples=1)(model, x, target, constant(model, x, target), method=record)

    (noisy,) = calls
    torch.testing.assert_close((noisy - x)[1], 2 * (noisy - x)[0])
    deviation = (noisy - x)[0].std() / (x[0].amax() - x[0].amin())
    assert deviation == pytest.approx(0.1, rel=0.3)


def test_flat_heatmaps():
    """The value of a constant heatmap is NaN; a second heatmap that is constant has similarity 0."""
    _, model, x, target = explained()

    for metric in METRICS:
        assert values(metric, flat, model, x, target).isnan().all()
    for metric in METRICS[:4]:
        assert metric(model, x, target, brightness(model, x, target), method=flat).tolist() == [0, 0]
    for metric in METRICS[4:]:
        assert metric(model, x, target, brightness(model, x, target), method=flat).tolist() == pytest.approx([1, 1])


# -- every method ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS, ids=repr)
@pytest.mark.parametrize("method", ["grad-cam", "fusion-cam", "score-cam", "ablation-cam"])
def test_the_network_is_not_changed(metric, method):
    """Parameters, buffers, flags, gradients, hooks, the random state and the inputs are as before."""
    toy, model, x, target = explained()
    toy.train()
    toy.head[2].eval()
    toy.features[0].weight.grad = torch.ones_like(toy.features[0].weight)
    heatmaps = METHODS[method](model, x, target)
    before = copy.deepcopy(toy.state_dict())
    flags = [one.training for one in toy.modules()]
    copies, random_state = (x.clone(), heatmaps.clone()), torch.get_rng_state()

    metric(model, x, target, heatmaps, method=METHODS[method])

    after = toy.state_dict()
    assert before.keys() == after.keys()
    assert all(value.equal(after[name]) for name, value in before.items())
    assert [one.training for one in toy.modules()] == flags
    assert toy.features[0].weight.grad.eq(1).all()
    assert all(one.grad is None for name, one in toy.named_parameters() if name != "features.0.weight")
    assert all(one.requires_grad for one in toy.parameters())
    assert not any(one._forward_hooks or one._backward_hooks or one._forward_pre_hooks for one in toy.modules())
    assert x.equal(copies[0])
    assert heatmaps.equal(copies[1])
    assert torch.get_rng_state().equal(random_state)


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_the_seed_decides_the_value(metric):
    """The same seed gives the same value in any random state, another seed another one."""
    _, model, x, target = explained()
    first = values(metric, GRAD_CAM, model, x, target)
    torch.manual_seed(77)

    assert values(metric, GRAD_CAM, model, x, target).equal(first)
    other = type(metric)(**(vars(metric) | {"seed": 123}))
    assert not values(other, GRAD_CAM, model, x, target).equal(first)


@pytest.mark.parametrize("metric", METRICS, ids=repr)
@pytest.mark.parametrize("method", ["grad-cam", "fusion-cam"])
def test_batch_equals_singles(metric, method):
    """Values do not depend on the batch; they are in range and have the heatmaps' precision."""
    _, model, x, target = explained(images=3)
    together = values(metric, METHODS[method], model, x, target)

    singles = [values(metric, METHODS[method], model, x[n : n + 1], target[n : n + 1]) for n in range(3)]

    torch.testing.assert_close(together, torch.cat(singles), atol=1e-9, rtol=1e-9)
    assert together.dtype == torch.float64
    assert (together >= (0 if isinstance(metric, MaxSensitivity) else -1)).all()
    assert isinstance(metric, MaxSensitivity) or (together <= 1).all()


def test_the_value_is_the_mean_of_the_curve():
    """The curve has one similarity for each stage."""
    _, model, x, target = explained()
    metric = ModelRandomisation(stages=4)
    heatmaps = GRAD_CAM(model, x, target)

    curve = metric.curve(model, x, target, heatmaps, method=GRAD_CAM)

    assert curve.shape == (4, 2)
    assert curve.mean(0).equal(metric(model, x, target, heatmaps, method=GRAD_CAM))


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_the_cost_is_the_number_of_passes(metric):
    """The cost is a multiple of the passes of the method."""
    _, model, x, target = explained(images=1)
    heatmaps = GRAD_CAM(model, x, target)
    with count_passes() as counter:
        metric(model, x, target, heatmaps, method=GRAD_CAM)

    assert metric.cost == MetricPasses(methods=counter.passes)


def test_passes_of_randomised_networks_are_not_cached():
    """Passes of the copies are not added to the cache, and cached passes are not used for them."""
    _, model, x, target = explained()
    metric = ModelRandomisation(stages=2)
    alone = values(metric, METHODS["fusion-cam"], model, x, target)

    with cached_passes():
        answers = current_context().cached_passes
        heatmaps = METHODS["fusion-cam"](model, x, target)
        count = len(answers)
        assert metric(model, x, target, heatmaps, method=METHODS["fusion-cam"]).equal(alone)
        assert len(answers) == count > 0


def test_the_layer_is_that_of_the_trained_network():
    """A layer that is not given is searched once, in the trained network."""
    toy, x, target = problem("small")
    model = ExplainedModel(toy)
    calls = []

    def record(model, x, target):
        calls.append(model.layer)
        return constant(model, x, target)

    ModelRandomisation(stages=2)(model, x, target, constant(model, x, target), method=record)
    assert calls == [model.layers.default(x)] * 2
    assert model.layer is None

    rows = ExplainedModel(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).double())
    assert with_fixed_layer(rows, x) is rows
    assert values(ModelRandomisation(stages=2), brightness, rows, x, target).tolist() == pytest.approx([1, 1])


# -- randomisation ---------------------------------------------------------------------------------------------


def test_shuffling_keeps_the_values():
    """Each parameter has the same values in another order; running averages do not change."""
    toy, _, _, _ = explained()
    layer, norm = copy.deepcopy(toy.features[0]), copy.deepcopy(toy.features[1])
    mean = norm.running_mean.clone()

    shuffle(layer)
    shuffle(norm)

    for name, value in layer.named_parameters():
        before = dict(toy.features[0].named_parameters())[name]
        assert not value.equal(before)
        assert value.flatten().sort().values.equal(before.flatten().sort().values)
    assert norm.running_mean.equal(mean)


def test_resetting_uses_the_layers_own_initialisation():
    """A layer is initialised as when it was constructed, with its averages; a module without it is shuffled."""
    with seeded(3, torch.device("cpu")):
        fresh = nn.Conv2d(3, 6, 3, dtype=torch.float64)
    layer = nn.Conv2d(3, 6, 3, dtype=torch.float64)
    with seeded(3, torch.device("cpu")):
        reset(layer)
    assert layer.weight.equal(fresh.weight)

    norm = nn.BatchNorm1d(4)
    norm.running_mean += 1
    reset(norm)
    assert norm.running_mean.eq(0).all()

    own = nn.Module()
    own.scale = nn.Parameter(torch.arange(9.0))
    reset(own)
    assert own.scale.sort().values.equal(torch.arange(9.0))


def test_networks_with_fewer_layers_than_stages():
    """Parameters outside of layers and frozen parameters are randomised too."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(3, 1, 1, dtype=torch.float64), requires_grad=False)

        def forward(self, x):
            return x * self.scale

    toy = Toy(Scaled(), nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 3).double())).eval()
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    model = ExplainedModel(toy, "features")

    curve = ModelRandomisation(stages=7).curve(model, x, [0], activity(model, x, [0]), method=activity)
    assert curve.shape == (7, 1)
    assert curve.isfinite().all()
    last = list(randomised(model, 7, "shuffle", 0))[-1].network
    assert not last.features.scale.equal(toy.features.scale)
    assert not last.features.scale.requires_grad


# -- similarity ------------------------------------------------------------------------------------------------


@st.composite
def pairs(draw):
    """Draw two maps of integers, with equal values."""
    size, seed = draw(st.tuples(st.integers(1, 6), st.integers(2, 6))), draw(st.integers(0, 9999))
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, draw(st.integers(1, 9)), (2, 1, *size), generator=generator).double()


@settings(max_examples=60)
@given(pairs())
def test_similarities_are_those_of_scipy(pair):
    """Ranks, rank correlation and correlation handle equal values; a constant map gives NaN."""
    first, second = pair
    flat_ = [one.flatten().numpy() for one in pair]

    assert np.array_equal(ranks(first).flatten().numpy() + 1, stats.rankdata(flat_[0]))
    for ours, theirs in ((spearman, stats.spearmanr), (pearson, stats.pearsonr)):
        value = ours(first, second).item()
        if min(np.ptp(one) for one in flat_) == 0:
            assert math.isnan(value)
        else:
            assert value == pytest.approx(theirs(*flat_).statistic, abs=1e-12)
    assert spearman(first, second).item() == pytest.approx(
        twin.spearman(*(one.tolist() for one in flat_)), nan_ok=True
    )


def test_ranks_do_not_depend_on_the_scale():
    """A monotone transformation keeps the ranks; each map of a batch has its own ranks."""
    maps = torch.rand(3, 5, 5)

    assert spearman(maps, maps.exp() * 7 - 3).tolist() == pytest.approx([1] * 3)
    assert spearman(maps, -maps).tolist() == pytest.approx([-1] * 3)
    assert torch.cat([ranks(one[None]) for one in maps]).equal(ranks(maps))
    assert spearman(maps, maps).dtype == torch.float32


def test_a_map_that_varies_by_rounding_is_constant():
    """Rounding errors do not count as similarity."""
    maps = torch.rand(1, 5, 5)
    noise = 1 + torch.finfo(torch.float32).eps * torch.randint(0, 2, (1, 5, 5))

    assert heatmap_similarity(maps, noise, "pearson").tolist() == [0]
    assert heatmap_similarity(noise, maps, "spearman").isnan().all()
    assert relative_change(torch.zeros(1, 2, 2), torch.ones(1, 2, 2)).isnan().all()


# -- Quantus ---------------------------------------------------------------------------------------------------


def test_quantus_agrees_on_rank_correlation():
    """The similarity of its model randomisation is the same."""
    first, second = torch.rand(2, 6, 6, dtype=torch.float64)

    theirs = correlation_spearman(first.flatten().numpy(), second.flatten().numpy())
    assert spearman(first[None], second[None]).item() == pytest.approx(float(theirs))


@pytest.mark.filterwarnings("ignore")
def test_quantus_agrees_on_max_sensitivity():
    """For the same draws the value is the same: the largest relative change in Euclidean norms."""
    toy, model, x, target = explained()
    noise = (0.2 * (2 * one - 1) for one in random_like(torch.rand, x, 4, seed=5))

    def explain(model, inputs, targets, **kwargs):
        images = torch.as_tensor(np.asarray(inputs)).double()
        return GRAD_CAM(ExplainedModel(toy, "features"), images, target)[:, None].numpy()

    def perturb(arr, indices, **kwargs):
        return arr + next(noise).flatten().numpy()

    metric = quantus.MaxSensitivity(
        nr_samples=4, perturb_func=perturb, normalise=False, disable_warnings=True, display_progressbar=False
    )
    heatmaps = GRAD_CAM(model, x, target)
    theirs = metric(
        model=toy,
        x_batch=x.numpy(),
        y_batch=np.asarray(target),
        a_batch=heatmaps[:, None].numpy(),
        explain_func=explain,
        device="cpu",
    )

    ours = MaxSensitivity(radius=0.2, samples=4, seed=5)(model, x, target, heatmaps, method=GRAD_CAM)
    assert ours.tolist() == pytest.approx(list(map(float, theirs)), rel=1e-5)


# -- wrong input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_wrong_input_is_reported(metric):
    """The method is missing, heatmaps do not fit the images, or the method returns invalid heatmaps."""
    _, model, x, target = explained()
    heatmaps = brightness(model, x, target)

    with pytest.raises(MethodError, match=rf"{type(metric).__name__}.* needs the method that made the heatmaps"):
        metric(model, x, target, heatmaps)
    for wrong in (heatmaps[:1], heatmaps[:, :4], heatmaps[0]):
        with pytest.raises(ShapeError, match=r"heatmaps of x \(2, 3, 8, 8\) must have shape \(2, 8, 8\), got"):
            metric(model, x, target, wrong, method=brightness)
    with pytest.raises(NonFiniteError, match="heatmap 0 of 2 contains NaN or infinity"):
        metric(model, x, target, heatmaps / 0, method=brightness)
    with pytest.raises(ShapeError, match="heatmaps of x"):
        metric(model, x, target, heatmaps, method=lambda model, x, target: x)
    with pytest.raises(NonFiniteError):
        metric(model, x, target, heatmaps, method=lambda model, x, target: x[:, 0] * math.nan)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ModelRandomisation(stages=0), SettingError, "stages must be a positive integer, got 0"),
        (lambda: ModelRandomisation(stages=2.0), SettingError, "stages must be a positive integer, got 2.0"),
        (lambda: ModelRandomisation(stages=True), SettingError, "stages must be a positive integer, got True"),
        (
            lambda: ModelRandomisation(draw="zero"),
            UnknownNameError,
            "unknown draw 'zero'; choose from shuffle",
        ),
        (lambda: ModelRandomisation(similarity="ssim"), UnknownNameError, "unknown similarity 'ssim'"),
        (lambda: NoiseStability(level=-0.1), SettingError, r"level must be a number of at least 0, got -0\.1"),
        (lambda: NoiseStability(level="1"), SettingError, "level must be a number of at least 0, got '1'"),
        (lambda: NoiseStability(samples=0), SettingError, "samples must be a positive integer, got 0"),
        (lambda: NoiseStability(similarity="ssim"), UnknownNameError, "unknown similarity 'ssim'"),
        (lambda: MaxSensitivity(radius=math.inf), SettingError, "radius must be a number of at least 0, got inf"),
        (lambda: MaxSensitivity(radius=math.nan), SettingError, "radius must be a number of at least 0, got nan"),
        (lambda: MaxSensitivity(samples=-3), SettingError, "samples must be a positive integer, got -3"),
    ],
)
def test_wrong_settings_are_reported(make, error, message):
    """The message says what is wrong and what was given."""
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("toy_name", ["signal", "volume"])
@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_signals_and_volumes(metric, toy_name):
    """Inputs may have any number of sides."""
    _, model, x, target = explained(toy_name)

    assert values(metric, activity, model, x, target).isfinite().all()


@pytest.mark.slow
def test_on_the_default_model(lite0, cat):
    """Grad-CAM of a cat depends on the network, a spot at the centre does not; Grad-CAM is stable under noise."""
    x = lite0.preprocessing(cat)[None]
    model, target = lite0.with_layer("blocks.6"), lite0.logits(x).argmax(1)

    similarities = {
        name: values(ModelRandomisation(stages=3), METHODS[name], model, x, target).item()
        for name in ("grad-cam", "center")
    }

    assert similarities["center"] == pytest.approx(1)
    assert similarities["grad-cam"] < 0.6
    assert values(NoiseStability(0.02, 2), GRAD_CAM, model, x, target).item() > 0.8

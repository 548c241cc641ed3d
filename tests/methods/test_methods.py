"""Every method compared with its slow twin on every toy, and the properties of all methods."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from torch import nn

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import FlatHeatmapWarning, NonFiniteError, SettingError, TargetError, UnknownNameError
from fusioncam.inference.cache import cached_passes
from fusioncam.inference.costs import count_passes
from fusioncam.methods.ablation import AblationCAM, ReciproCAM
from fusioncam.methods.ensembles import MetaCAM
from fusioncam.methods.fusion import FusionCAM, UnionCAM
from fusioncam.methods.gradient import GradCAM, ShapleyCAM
from fusioncam.methods.group_cam import GroupCAM
from fusioncam.methods.legrad import LeGrad
from fusioncam.methods.multi_layer import PolyCAM
from fusioncam.methods.score_cam import ISCAM, SSCAM, ScoreCAM
from problems import LAYER, PROBLEMS, TESTED, TWINS, heatmaps_of
from selection import OF_TRANSFORMERS, REPRESENTATIVES, WAYS, WITH_NOISE, slow_unless
from toys import Exploding, problem
from twins import attention, ensembles, gradient, region

pytestmark = pytest.mark.usefixtures("one_thread")

# layers of several resolutions in the order of the network; the other toys have a single layer
SIZES = {"curved": ("features.1", "features"), "pyramid": ("features.1", "features.3", "features")}


def sizes(toy_name):
    """Return the layers of a toy with maps of different resolutions, in the order of the network."""
    return SIZES.get(toy_name, ("features",))


THREE = (GradCAM(), ScoreCAM(), AblationCAM())
TESTED["meta-cam"] = replace(TESTED["meta-cam"], partners=THREE)
# settings of twins that depend on the toy: the fast methods find these layers by themselves
LAYERS_OF = {
    "refine-cam": lambda toy: {"layers": sizes(toy)[-3:]},
    "poly-cam": lambda toy: {"layers": sizes(toy)},
    "multi-layer": lambda toy: {"layers": sizes(toy)[-2:]},
    "fusion-cam:multiscale": lambda toy: {"finer": sizes(toy)[-2::-1]},
}
ON_TOYS = [name for name in METHODS if name not in OF_TRANSFORMERS]
BASELINES = ("random", "center", "ones", "edges")
USING_THE_NETWORK = [name for name in METHODS if name not in BASELINES]
# the twin loops over the Hessian of a volume
LONGEST = ("shapley-cam", "volume")
# every problem once, and those with constant channels with other random numbers too
SEEDED = [*product(PROBLEMS, [0]), *(((name, toy_name), 1) for name, toy_name in PROBLEMS if toy_name == "dead")]


def problem_for(name):
    """Return a toy that the method supports."""
    if name in OF_TRANSFORMERS:
        return attention.problem()
    return problem("linear" if name == "cam" else "small")


def test_every_method_has_a_twin():
    """Every method has a slow re-implementation."""
    assert set(TWINS) == set(METHODS)


@pytest.mark.parametrize(
    ("name", "toy_name", "seed"),
    [slow_unless(seed == 0 and names != LONGEST, *names, seed) for names, seed in SEEDED],
)
def test_method_equals_its_twin(name, toy_name, seed):
    """The fast method equals the loops of the paper, image by image."""
    toy, x, target = problem(toy_name, seed=seed)
    twin, settings = TWINS[name]
    layers = LAYERS_OF.get(name, lambda _: {})(toy_name)

    fast = heatmaps_of(name, toy, x, target)

    slow = torch.stack([twin(toy, image, int(c), **settings, **layers) for image, c in zip(x, target, strict=True)])
    torch.testing.assert_close(fast, slow, atol=1e-9, rtol=0)


SETTINGS = {
    SSCAM(samples=3, noise="input"): partial(region.ss_cam, samples=3, noise="input"),
    ISCAM(samples=3, path="even"): partial(region.is_cam, samples=3, path="even"),
    ReciproCAM(spread="gaussian"): partial(region.recipro_cam, spread="gaussian"),
    ShapleyCAM(utility="logit"): partial(gradient.shapley_cam, utility="logit"),
    PolyCAM(sign="+", layers=("features",)): partial(region.poly_cam, sign="+"),
    PolyCAM(sign="-", layers=("features",)): partial(region.poly_cam, sign="-"),
    GroupCAM(3, 20, "k-means", fill="mean"): partial(
        region.group_cam, groups=3, theta=20, cluster="k-means", fill="mean"
    ),
    MetaCAM(THREE, top=(20.0,)): partial(ensembles.meta_cam, top=20.0),
}


@pytest.mark.parametrize("toy_name", ["curved", "dead", "pyramid", "signal"])
@pytest.mark.parametrize("method", SETTINGS, ids=repr)
def test_other_settings_equal_their_twins(method, toy_name):
    """Settings other than the defaults equal those of the twin."""
    toy, x, target = problem(toy_name)

    fast = heatmaps_of(method, toy, x, target)

    slow = torch.stack([SETTINGS[method](toy, image, int(c)) for image, c in zip(x, target, strict=True)])
    torch.testing.assert_close(fast, slow, atol=1e-9, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_legrad_equals_its_twin(seed):
    """On a transformer with a class token and a rectangular grid, with all blocks and with the last one."""
    toy, x, target = attention.problem(images=3, seed=seed)

    for blocks in (0, 1):
        fast = LeGrad(blocks)(ExplainedModel(toy), x, target)

        slow = torch.stack(
            [attention.legrad(toy, image, int(c), blocks=blocks or None) for image, c in zip(x, target, strict=True)]
        )
        torch.testing.assert_close(fast, slow, atol=1e-9, rtol=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["grad-eclip", "attention-rollout", "attention-relevance"])
def test_method_for_transformers_equals_its_twin(name, seed):
    """On a transformer with a class token and a rectangular grid."""
    toy, x, target = attention.problem(images=3, seed=seed)

    fast = METHODS[name](ExplainedModel(toy), x, target)

    twin = TWINS[name][0]
    slow = torch.stack([twin(toy, image, int(c)) for image, c in zip(x, target, strict=True)])
    torch.testing.assert_close(fast, slow, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("name", "toy_name"),
    [
        slow_unless(toy_name in ("dead", "volume"), name, toy_name)
        for name, toy_name in PROBLEMS
        if toy_name in ("dead", "volume", "signal") or (toy_name == "pyramid" and name in LAYERS_OF)
    ],
)
def test_heatmaps_have_the_size_of_the_input_and_fill_the_range(name, toy_name):
    """A heatmap is finite and reaches both 0 and 1, or is flat."""
    toy, x, target = problem(toy_name, images=3)

    heatmaps = heatmaps_of(name, toy, x, target)

    assert heatmaps.shape == (3, *x.shape[2:])
    for heatmap in heatmaps:
        ends = {(1, 1)} if name == "ones" else {(0, 1), (0, 0)}
        assert (heatmap.min().item(), heatmap.max().item()) in ends


# rounding may move a pixel across a percentile, which these methods use as a threshold
THRESHOLDING = ("meta-cam", "cas-cam")


@pytest.mark.parametrize("name", ON_TOYS)
def test_batch_equals_singles(name):
    """A batch of images with a target each equals single calls."""
    toy, x, target = problem("linear" if name == "cam" else "dead", images=5)
    if name not in THRESHOLDING:
        toy, x = toy.float(), x.float()

    together = heatmaps_of(name, toy, x, target)

    alone = torch.cat([heatmaps_of(name, toy, x[n : n + 1], target[n : n + 1]) for n in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_grad_cam_by_hand():
    """On the linear toy the weights are those of the head divided by the number of locations."""
    toy, x, _ = problem("linear", images=1)

    heatmap = heatmaps_of("grad-cam", toy, x, 2)

    cam = (x[:, 0] - x[:, 1] + 3 * (x[:, 0] - x[:, 1])).clamp(min=0)  # class 2: A0 - A1 + 3 A2
    torch.testing.assert_close(heatmap, cam / cam.max())


def test_single_target_applies_to_all_images():
    """A single class index is the target of every image."""
    toy, x, _ = problem("small")
    expected = heatmaps_of("grad-cam", toy, x, [1, 1])

    assert heatmaps_of("grad-cam", toy, x, 1).equal(expected)


@pytest.mark.parametrize("wrong", [[0], [0, 1, 2], 3, -1, [0.5, 1.0], "tabby", [True, False]])
def test_wrong_target_is_reported(wrong):
    """Too few, too many, out of range or not indices; there is no silent broadcast."""
    toy, x, _ = problem("small")

    with pytest.raises(TargetError):
        METHODS["grad-cam"](ExplainedModel(toy, LAYER), x, wrong)


# -- flat maps ------------------------------------------------------------------------------------------------


def test_flat_heatmap_is_zero_with_a_warning():
    """If nothing remains after the ReLU, the heatmap is zeros, not NaN."""
    toy, x, _ = problem("linear", images=1)
    x = -x.abs()  # class 1 weights only A1 = x1, which is negative everywhere

    with pytest.warns(FlatHeatmapWarning, match="image 0"):
        heatmap = METHODS["grad-cam"](ExplainedModel(toy, LAYER), x, 1)

    assert heatmap.equal(torch.zeros_like(heatmap))


class Canned:
    """A method that returns a given heatmap."""

    def __init__(self, heatmap):
        self.heatmap = heatmap

    def __call__(self, model, x, target):
        """Return the heatmap for each image."""
        return self.heatmap.expand(len(x), *self.heatmap.shape)


def complement():
    """Return two maps whose sum is constant, so that their union is flat."""
    region = torch.rand(8, 8, dtype=torch.float64)
    region = (region - region.min()) / (region.max() - region.min())
    return 1 - region, region


class Scripted(ExplainedModel):
    """A model with given masked scores: empty, denoised and region, then the union."""

    def masked_scores(self, x, masks, target, **_):
        """Return the next scores of the script."""
        return torch.tensor(self.script.pop(0), dtype=torch.float64)[:, None]


def scripted(*script):
    """Return a scripted model of a small toy."""
    model = Scripted(problem("small")[0], LAYER)
    model.script = list(script)
    return model


def test_region_map_replaces_a_flat_result():
    """Both gains are negative and the sum is constant: the union is flat and better."""
    gradient_map, region_map = complement()
    model = scripted([0.5, 0.4, 0.4], [0.5])

    with pytest.warns(FlatHeatmapWarning, match="replaced by the region map"):
        parts = UnionCAM(Canned(gradient_map), Canned(region_map)).ingredients(model, torch.rand(1, 3, 8, 8), 0)

    assert not parts.union.any()
    torch.testing.assert_close(parts.heatmaps[0], region_map)


def test_presets_of_public_codes_keep_flat_results():
    """The public codes return zeros."""
    gradient_map, region_map = complement()
    model = scripted([0.5, 0.4, 0.4], [0.5])

    with pytest.warns(FlatHeatmapWarning, match="no information"):
        heatmap = UnionCAM(Canned(gradient_map), Canned(region_map), gains="raw")(model, torch.rand(1, 3, 8, 8), 0)

    assert not heatmap.any()


def test_fusion_of_two_flat_maps():
    """The result is zeros with warnings, never NaN, for every rule of gains."""
    toy, x, _ = problem("small", images=1)
    nothing = Canned(torch.zeros(8, 8, dtype=torch.float64))
    for gains in ("shares", "official", "raw"):
        with pytest.warns(FlatHeatmapWarning):
            heatmap = FusionCAM(nothing, nothing, gains=gains)(ExplainedModel(toy, LAYER), x, 0)
        assert not heatmap.any()


def test_map_with_negative_gain_has_no_weight():
    """If the gain of the gradient map is negative, the result is the region map."""
    gradient_map, region_map = complement()
    model = scripted([0.5, 0.4, 0.6], [0.6])

    fused = FusionCAM(Canned(gradient_map), Canned(region_map))(model, torch.rand(1, 3, 8, 8), 0)

    torch.testing.assert_close(fused[0], region_map)


# -- number of passes --------------------------------------------------------------------------------------------


def passes_of(call):
    """Return the number of passes of a call."""
    with count_passes() as meter:
        call()
    return meter.passes


def test_constant_channels_need_no_pass():
    """Three of six channels are constant: Score-CAM records one image and scores three masks."""
    toy, x, target = problem("dead", images=2)
    maps = toy.features(x).flatten(2)
    active = int((maps.amax(2) != maps.amin(2)).sum())
    assert active < 12 - 5

    assert passes_of(lambda: heatmaps_of("score-cam", toy, x, target)) == 2 + active


def test_constant_channels_are_excluded_from_the_softmax():
    """The weights of the active channels sum to 1, so that a shift of all logits has no effect."""
    toy, x, target = problem("dead")
    expected = heatmaps_of("score-cam", toy, x, target)

    toy.head[4].bias.data -= 2000

    torch.testing.assert_close(heatmaps_of("score-cam", toy, x, target), expected)


WITH_COST = [name for name in ON_TOYS if TESTED[name].cost.at(5, 16) is not None]


@pytest.mark.parametrize("name", WITH_COST)
def test_cost_equals_the_counted_passes(name):
    """After the first call, the full and the partial passes of an image are those of the method's cost."""
    toy, x, target = problem("linear" if name == "cam" else "pyramid", images=1)
    model = ExplainedModel(toy, LAYER)
    channels, locations = toy.features(x).shape[1], toy.features(x)[0, 0].numel()
    call = lambda: heatmaps_of(TESTED[name], toy, x, target, model=model)  # noqa: E731
    call()

    with count_passes() as meter:
        call()

    prefix = 1 if meter.partial else 0  # partial passes need one full pass to the layer
    full, partial_passes = TESTED[name].cost.at(channels, locations)
    flat = (
        {"group-cam:k-means": 2}.get(name, 1) if "group" in name else 0
    )  # groups without positive values need no pass
    assert (meter.passes - prefix + flat, meter.partial) == (full, partial_passes)


def test_poly_cam_needs_two_passes_per_channel_of_every_layer():
    """The layers have 3, 4 and 5 channels, and one pass is recorded."""
    toy, x, target = problem("pyramid", images=1)
    model = ExplainedModel(toy, LAYER)
    model.layers.higher_resolution(x)

    assert str(METHODS["poly-cam"].cost) == "1 + 2 K of each layer"
    assert passes_of(lambda: METHODS["poly-cam"](model, x, target)) == 1 + 2 * (3 + 4 + 5)


def test_fusion_needs_four_passes_more_than_score_cam():
    """Both maps share the recorded pass; the empty, denoised, region and union images are scored in addition."""
    toy, x, target = problem("dead", images=1)
    alone = passes_of(lambda: heatmaps_of("score-cam", toy, x, target))

    assert passes_of(lambda: heatmaps_of("fusion-cam", toy, x, target)) == alone + 4


def test_cached_methods_share_passes():
    """Within `cached_passes`, Score-CAM is computed once for all methods, and the components need no more passes."""
    toy, x, target = problem("dead", images=1)
    model = ExplainedModel(toy, LAYER)
    fused, union = METHODS["fusion-cam"], METHODS["union-cam"]
    alone = passes_of(lambda: fused(model, x, target))

    def all_of_them():
        with cached_passes():
            maps = fused(model, x, target)
            assert fused.ingredients(model, x, target).heatmaps is maps
            METHODS["score-cam"](model, x, target)
            METHODS["grad-cam"](model, x, target)
            union(model, x, target)

    assert passes_of(all_of_them) == alone + 4


def test_passes_are_not_cached_by_default():
    """Without `cached_passes`, a second call needs the same passes again."""
    toy, x, target = problem("dead", images=1)
    call = lambda: heatmaps_of("score-cam", toy, x, target)  # noqa: E731

    assert passes_of(lambda: (call(), call())) == 2 * passes_of(call)


# -- no side effects ------------------------------------------------------------------------------------------------


def state_of(network):
    """Return everything that a call could change on a network."""
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in network.modules()]
    flags = [m.training for m in network.modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    required = [p.requires_grad for p in network.parameters()]
    values = [t.clone() for t in network.state_dict().values()]
    return hooks, flags, grads, required, values


def same(first, second):
    """Return whether two states are equal; tensors are compared by value."""
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and first.equal(second)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.mark.parametrize(
    ("mode", "frozen", "training"),
    [
        (torch.no_grad, False, True),
        slow_unless(False, torch.inference_mode, True, False),
        slow_unless(False, torch.enable_grad, True, True),
    ],
)
@pytest.mark.parametrize("name", METHODS)
def test_call_has_no_side_effects(name, mode, frozen, training):
    """Hooks, gradients, flags, buffers, the grad mode of the caller and the input are unchanged."""
    toy, x, target = problem_for(name)
    layer = None if name in OF_TRANSFORMERS else LAYER
    toy.train(training).requires_grad_(not frozen)
    for module in toy.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # a frozen BatchNorm in a network that trains
    for parameter in list(toy.parameters())[-1:]:
        parameter.grad = torch.ones_like(parameter)
    before, pixels = state_of(toy), x.clone()
    expected = heatmaps_of(name, problem_for(name)[0], x, target, layer)

    with mode():
        grad = torch.is_grad_enabled()
        heatmaps = heatmaps_of(name, toy, x.clone() if mode is torch.inference_mode else x, target, layer)
        assert torch.is_grad_enabled() == grad
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)

    assert same(state_of(toy), before)
    assert x.equal(pixels)
    torch.testing.assert_close(heatmaps, expected)


@pytest.mark.parametrize("name", USING_THE_NETWORK)
def test_failing_network_is_left_unchanged(name):
    """The network's own error is raised, and no hook or flag is changed."""
    network = Exploding().train()
    before = state_of(network)

    with pytest.raises(ArithmeticError, match="the network broke"):
        heatmaps_of(name, network, torch.rand(1, 3, 8, 8), 0, layer="conv")

    assert same(state_of(network), before)


@pytest.mark.parametrize("name", USING_THE_NETWORK)
def test_wrong_target_leaves_the_network_unchanged(name):
    """An error of the library changes no hook or flag."""
    toy, x, _ = problem_for(name)
    before = state_of(toy)

    with pytest.raises(TargetError):
        heatmaps_of(name, toy, x, 99, None if name in OF_TRANSFORMERS else LAYER)

    assert same(state_of(toy), before)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        slow_unless(name in REPRESENTATIVES or layer == "features.2", name, layer)
        for name in sorted({*USING_THE_NETWORK} - {"cam", *OF_TRANSFORMERS})
        for layer in ("features.0", "features.1", "features.2", "features.3", "features.4", "head.0")
        if name in REPRESENTATIVES | WAYS or layer == "features.2"
    ],
)
def test_in_place_operations_have_no_effect(name, layer):
    """An in-place ReLU before, at or after the layer yields the same heatmaps as an out-of-place one."""
    toy, x, target = problem("small")
    plain = problem("small")[0]
    for module in plain.modules():
        if hasattr(module, "inplace"):
            module.inplace = False

    torch.testing.assert_close(heatmaps_of(name, toy, x, target, layer), heatmaps_of(name, plain, x, target, layer))


@pytest.mark.parametrize("name", USING_THE_NETWORK)
def test_nan_is_reported(name):
    """A network that returns NaN raises an error."""
    toy, x, target = problem_for(name)
    list(toy.parameters())[-1].data.fill_(torch.nan)

    with pytest.raises(NonFiniteError, match=r"nan|NaN"):
        heatmaps_of(name, toy, x, target, None if name in OF_TRANSFORMERS else LAYER)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_heatmaps_of_half_precision_networks_are_float32(dtype):
    """They are close to those of full precision."""
    toy, x, target = problem("small")
    exact = heatmaps_of("grad-cam", toy, x, target)

    heatmaps = heatmaps_of("grad-cam", toy.to(dtype), x, target)

    assert heatmaps.dtype == torch.float32
    torch.testing.assert_close(heatmaps, exact.float(), atol=0.1, rtol=0)


# -- partners ---------------------------------------------------------------------------------------------------


def test_any_callable_is_a_partner():
    """Fusion-CAM accepts any callable that returns heatmaps."""
    toy, x, target = problem("small")
    same_map = Canned(complement()[1])

    heatmaps = FusionCAM(gradient=same_map, region=same_map, theta=0)(ExplainedModel(toy, LAYER), x, target)

    torch.testing.assert_close(heatmaps, same_map(None, x, None))


@pytest.mark.parametrize(
    "construct",
    [
        lambda: FusionCAM(theta=101),
        lambda: FusionCAM(theta=-1),
        lambda: FusionCAM(theta="ten"),
        lambda: FusionCAM(gains="none"),
        lambda: FusionCAM(fill="grey"),
        lambda: UnionCAM(gains="none"),
        lambda: ScoreCAM(readout="softmax"),
        lambda: ScoreCAM(normalise="never"),
        lambda: ScoreCAM(maps="cooked"),
    ],
)
def test_wrong_setting_is_reported(construct):
    """The constructor raises, not the call."""
    with pytest.raises((UnknownNameError, SettingError), match=r"unknown |percentile"):
        construct()


def test_layer_of_the_method_overrides_the_model():
    """The layer of a method takes precedence over that of the model."""
    toy, x, target = problem("curved")
    expected = GradCAM()(ExplainedModel(toy, "features.0"), x, target)

    assert GradCAM(layer="features.0")(ExplainedModel(toy, LAYER), x, target).equal(expected)


def test_flipping_the_input_flips_the_heatmap():
    """A network that is symmetric in left and right yields mirrored heatmaps for mirrored images."""
    toy, x, target = problem("linear")
    # the windows of occlusion begin at the left border, and the last one is cut off
    for name in sorted({*ON_TOYS} - {*WITH_NOISE, "occlusion"}):
        mirrored = heatmaps_of(name, toy, x.flip(-1), target)
        torch.testing.assert_close(mirrored, heatmaps_of(name, toy, x, target).flip(-1))


def test_fill_changes_the_weights():
    """The weights differ between a black fill and the mean colour."""
    toy, x, target = problem("small")

    over_black, over_mean = (heatmaps_of(FusionCAM(fill=fill), toy, x, target) for fill in ("black", "mean"))

    assert not over_black.equal(over_mean)


def test_network_without_parameters():
    """A network needs no parameters."""

    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.maps = nn.ReLU()

        def forward(self, x):
            return self.maps(x).flatten(2).mean(2)

    x = torch.rand(1, 3, 8, 8)
    heatmap = METHODS["grad-cam"](ExplainedModel(Bare(), "maps"), x, 1)

    torch.testing.assert_close(heatmap[0], (x[0, 1] - x[0, 1].min()) / (x[0, 1].max() - x[0, 1].min()))

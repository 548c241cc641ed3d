"""Every method against its slow twin, on every toy, and what must hold for all of them."""

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
from selection import REPRESENTATIVES, slow_unless
from toys import Exploding, problem
from twins import attention, ensembles, gradient, region

pytestmark = pytest.mark.usefixtures("one_thread")

# layers of several sizes, first to last, as they are found by shapes; of all other toys the one layer alone
SIZES = {"curved": ("features.1", "features"), "pyramid": ("features.1", "features.3", "features")}


def sizes(toy_name):
    """Give the layers of a toy that have maps of different sizes, first to last."""
    return SIZES.get(toy_name, ("features",))


THREE = (GradCAM(), ScoreCAM(), AblationCAM())
TESTED["meta-cam"] = replace(TESTED["meta-cam"], partners=THREE)
# what a twin must be told of a toy: the fast methods find these layers by shapes
LAYERS_OF = {
    "refine-cam": lambda toy: {"layers": sizes(toy)[-3:]},
    "poly-cam": lambda toy: {"layers": sizes(toy)},
    "multi-layer": lambda toy: {"layers": sizes(toy)[-2:]},
    "fusion-cam:multiscale": lambda toy: {"finer": sizes(toy)[-2::-1]},
}
ON_TOYS = [name for name in METHODS if name != "legrad"]
BASELINES = ("random", "center", "ones", "edges")
CALLING = [name for name in METHODS if name not in BASELINES]
# the twin loops over the Hessian of a volume
LONGEST = ("shapley-cam", "volume")
OF_NOISE = ("smooth-grad-cam++", "expected-grad-cam", "ss-cam", "rise", "augmented", "random")


def problem_for(name):
    """Give a toy that the method can serve."""
    if name == "legrad":
        return attention.problem()
    return problem("linear" if name == "cam" else "small")


def test_every_method_has_a_twin():
    """No method goes without a slow re-implementation."""
    assert set(TWINS) == set(METHODS)


@pytest.mark.parametrize(
    ("name", "toy_name", "seed"),
    [slow_unless(seed == 0 and names != LONGEST, *names, seed) for names, seed in product(PROBLEMS, range(3))],
)
def test_method_equals_its_twin(name, toy_name, seed):
    """The fast method gives what the paper's loops give, image by image."""
    toy, x, target = problem(toy_name, seed=seed)
    twin, settings = TWINS[name]
    told = LAYERS_OF.get(name, lambda _: {})(toy_name)

    fast = heatmaps_of(name, toy, x, target)

    slow = torch.stack([twin(toy, one, int(c), **settings, **told) for one, c in zip(x, target, strict=True)])
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
    """What a setting changes is what it says."""
    toy, x, target = problem(toy_name)

    fast = heatmaps_of(method, toy, x, target)

    slow = torch.stack([SETTINGS[method](toy, one, int(c)) for one, c in zip(x, target, strict=True)])
    torch.testing.assert_close(fast, slow, atol=1e-9, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_legrad_equals_its_twin(seed):
    """On a transformer with a class token and a grid that is not square; also of its last block alone."""
    toy, x, target = attention.problem(images=3, seed=seed)

    for blocks in (0, 1):
        fast = LeGrad(blocks)(ExplainedModel(toy), x, target)

        told = {"blocks": blocks or None}
        slow = torch.stack([attention.legrad(toy, one, int(c), **told) for one, c in zip(x, target, strict=True)])
        torch.testing.assert_close(fast, slow, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("name", "toy_name"), [slow_unless(toy_name in ("dead", "volume"), name, toy_name) for name, toy_name in PROBLEMS]
)
def test_heatmaps_are_whole(name, toy_name):
    """A heatmap has the input's size, lies in [0, 1], touches both ends or is flat, and is finite."""
    toy, x, target = problem(toy_name, images=3)

    heatmaps = heatmaps_of(name, toy, x, target)

    assert heatmaps.shape == (3, *x.shape[2:])
    for one in heatmaps:
        ends = {(1, 1)} if name == "ones" else {(0, 1), (0, 0)}
        assert (one.min().item(), one.max().item()) in ends


# a place that lies within rounding of a percentile falls on one side or the other: its rank is all that is sure
CUTTING = ("meta-cam",)


@pytest.mark.parametrize("name", ON_TOYS)
def test_batch_equals_singles(name):
    """Images with a target each give in one call what they give alone."""
    toy, x, target = problem("linear" if name == "cam" else "dead", images=5)
    if name not in CUTTING:
        toy, x = toy.float(), x.float()

    together = heatmaps_of(name, toy, x, target)

    alone = torch.cat([heatmaps_of(name, toy, x[n : n + 1], target[n : n + 1]) for n in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_grad_cam_by_hand():
    """On the linear toy the weights are the head's over the number of places."""
    toy, x, _ = problem("linear", images=1)

    heatmap = heatmaps_of("grad-cam", toy, x, 2)

    cam = (x[:, 0] - x[:, 1] + 3 * (x[:, 0] - x[:, 1])).clamp(min=0)  # class 2: A0 - A1 + 3 A2
    torch.testing.assert_close(heatmap, cam / cam.max())


def test_one_target_serves_all_images():
    """A single class index is meant for every image."""
    toy, x, _ = problem("small")
    expected = heatmaps_of("grad-cam", toy, x, [1, 1])

    assert heatmaps_of("grad-cam", toy, x, 1).equal(expected)


@pytest.mark.parametrize("wrong", [[0], [0, 1, 2], 3, -1, [0.5, 1.0], "tabby", [True, False]])
def test_wrong_targets_are_told(wrong):
    """Too few, too many, out of range or no indices: never a silent broadcast."""
    toy, x, _ = problem("small")

    with pytest.raises(TargetError):
        METHODS["grad-cam"](ExplainedModel(toy, LAYER), x, wrong)


# -- flat maps ------------------------------------------------------------------------------------------------


def test_flat_map_warns_and_is_zero():
    """Where ReLU leaves nothing, the map is zeros, not NaN, and a warning says so."""
    toy, x, _ = problem("linear", images=1)
    x = -x.abs()  # class 1 weighs A1 = x1 alone, which is negative everywhere

    with pytest.warns(FlatHeatmapWarning, match="image 0"):
        heatmap = METHODS["grad-cam"](ExplainedModel(toy, LAYER), x, 1)

    assert heatmap.equal(torch.zeros_like(heatmap))


class Canned:
    """A partner that gives the heatmap it was made with."""

    def __init__(self, heatmap):
        self.heatmap = heatmap

    def __call__(self, model, x, target):
        """Give it once for each image."""
        return self.heatmap.expand(len(x), *self.heatmap.shape)


def complement():
    """Two maps that add up to a constant, so that their union is flat."""
    region = torch.rand(8, 8, dtype=torch.float64)
    region = (region - region.min()) / (region.max() - region.min())
    return 1 - region, region


class Scripted(ExplainedModel):
    """A model whose masked scores are told beforehand: empty, denoised and region, then the union."""

    def masked_scores(self, x, masks, target, **_):
        """Give the next scores of the script."""
        return torch.tensor(self.script.pop(0), dtype=torch.float64)[:, None]


def scripted(*script):
    """Give a scripted model of a small toy."""
    model = Scripted(problem("small")[0], LAYER)
    model.script = list(script)
    return model


def test_flat_result_shows_the_region_map():
    """Both maps harm and add up to a constant: the union is flat and better, so the region map stands in."""
    gradient_map, region_map = complement()
    model = scripted([0.5, 0.4, 0.4], [0.5])

    with pytest.warns(FlatHeatmapWarning, match="replaced by the region map"):
        parts = UnionCAM(Canned(gradient_map), Canned(region_map)).ingredients(model, torch.rand(1, 3, 8, 8), 0)

    assert not parts.union.any()
    torch.testing.assert_close(parts.heatmaps[0], region_map)


def test_public_codes_show_flat_results_as_they_are():
    """The presets reproduce the codes, which give zeros where nothing is left."""
    gradient_map, region_map = complement()
    model = scripted([0.5, 0.4, 0.4], [0.5])

    with pytest.warns(FlatHeatmapWarning, match="no information"):
        heatmap = UnionCAM(Canned(gradient_map), Canned(region_map), gains="raw")(model, torch.rand(1, 3, 8, 8), 0)

    assert not heatmap.any()


def test_fusion_survives_two_flat_partners():
    """Nothing from either partner gives zeros and warnings, never NaN, in every form."""
    toy, x, _ = problem("small", images=1)
    nothing = Canned(torch.zeros(8, 8, dtype=torch.float64))
    for gains in ("shares", "official", "raw"):
        with pytest.warns(FlatHeatmapWarning):
            heatmap = FusionCAM(nothing, nothing, gains=gains)(ExplainedModel(toy, LAYER), x, 0)
        assert not heatmap.any()


def test_a_map_that_adds_nothing_weighs_nothing():
    """A gradient map whose gain is negative leaves the region map alone, in both steps."""
    gradient_map, region_map = complement()
    model = scripted([0.5, 0.4, 0.6], [0.6])

    fused = FusionCAM(Canned(gradient_map), Canned(region_map))(model, torch.rand(1, 3, 8, 8), 0)

    torch.testing.assert_close(fused[0], region_map)


# -- no work done twice -----------------------------------------------------------------------------------------


def passes_of(call):
    """Count the passes of a call."""
    with count_passes() as meter:
        call()
    return meter.passes


def test_constant_channels_cost_no_pass():
    """Of six channels three are constant: Score-CAM sends one image to record and three masks."""
    toy, x, target = problem("dead", images=2)
    maps = toy.features(x).flatten(2)
    living = int((maps.amax(2) != maps.amin(2)).sum())
    assert living < 12 - 5

    assert passes_of(lambda: heatmaps_of("score-cam", toy, x, target)) == 2 + living


def test_constant_channels_take_no_part_in_the_softmax():
    """However low the logits, the weights are shared among the living channels: a shift of all changes nothing."""
    toy, x, target = problem("dead")
    expected = heatmaps_of("score-cam", toy, x, target)

    toy.head[4].bias.data -= 2000

    torch.testing.assert_close(heatmaps_of("score-cam", toy, x, target), expected)


COSTED = [name for name in ON_TOYS if TESTED[name].cost.at(5, 16) is not None]


@pytest.mark.parametrize("name", COSTED)
def test_a_method_costs_what_it_says(name):
    """Once a network is known, the whole and the partial passes of an image are those that `list methods` shows."""
    toy, x, target = problem("linear" if name == "cam" else "pyramid", images=1)
    model = ExplainedModel(toy, LAYER)
    channels, places = toy.features(x).shape[1], toy.features(x)[0, 0].numel()
    ask = lambda: heatmaps_of(TESTED[name], toy, x, target, model=model)  # noqa: E731
    ask()

    with count_passes() as meter:
        ask()

    fronts = 1 if meter.partial else 0  # a sweep that starts at the layer passes the front once
    whole, partial_passes = TESTED[name].cost.at(channels, places)
    flat = {"group-cam:k-means": 2}.get(name, 1) if "group" in name else 0  # groups with nothing positive are free
    assert (meter.passes - fronts + flat, meter.partial) == (whole, partial_passes)


def test_poly_cam_costs_two_passes_a_channel_of_every_layer():
    """Its cost depends on more than one layer: 3, 4 and 5 channels, seen and hidden, and the recorded pass."""
    toy, x, target = problem("pyramid", images=1)
    model = ExplainedModel(toy, LAYER)
    model.layers.higher_resolution(x)

    assert str(METHODS["poly-cam"].cost) == "1 + 2 K of each layer"
    assert passes_of(lambda: METHODS["poly-cam"](model, x, target)) == 1 + 2 * (3 + 4 + 5)


def test_fusion_costs_four_passes_more_than_score_cam():
    """Both maps share the recorded pass; empty, denoised, region and union images are all that comes on top."""
    toy, x, target = problem("dead", images=1)
    alone = passes_of(lambda: heatmaps_of("score-cam", toy, x, target))

    assert passes_of(lambda: heatmaps_of("fusion-cam", toy, x, target)) == alone + 4


def test_methods_of_one_call_share():
    """Within `sharing`, Score-CAM is computed once however many methods need it, and ingredients are free."""
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


def test_nothing_is_remembered_outside():
    """Without `sharing` the same question costs the same again."""
    toy, x, target = problem("dead", images=1)
    ask = lambda: heatmaps_of("score-cam", toy, x, target)  # noqa: E731

    assert passes_of(lambda: (ask(), ask())) == 2 * passes_of(ask)


# -- no traces ----------------------------------------------------------------------------------------------------


def traces(network):
    """All that a call could leave behind on a network."""
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in network.modules()]
    flags = [m.training for m in network.modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    wanted = [p.requires_grad for p in network.parameters()]
    values = [t.clone() for t in network.state_dict().values()]
    return hooks, flags, grads, wanted, values


def same(one, other):
    """Compare traces, tensors by value."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.equal(other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize(
    ("mode", "frozen", "training"),
    [(torch.no_grad, False, True), (torch.inference_mode, True, False), (torch.enable_grad, True, True)],
)
@pytest.mark.parametrize("name", METHODS)
def test_a_call_leaves_no_trace(name, mode, frozen, training):
    """Hooks, gradients, flags, buffers, the caller's grad mode and the input are what they were."""
    toy, x, target = problem_for(name)
    layer = None if name == "legrad" else LAYER
    toy.train(training).requires_grad_(not frozen)
    for module in toy.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # a frozen BatchNorm in a network that trains
    for parameter in list(toy.parameters())[-1:]:
        parameter.grad = torch.ones_like(parameter)
    before, pixels = traces(toy), x.clone()
    expected = heatmaps_of(name, problem_for(name)[0], x, target, layer)

    with mode():
        grad = torch.is_grad_enabled()
        heatmaps = heatmaps_of(name, toy, x.clone() if mode is torch.inference_mode else x, target, layer)
        assert torch.is_grad_enabled() == grad
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)

    assert same(traces(toy), before)
    assert x.equal(pixels)
    torch.testing.assert_close(heatmaps, expected)


@pytest.mark.parametrize("name", CALLING)
def test_an_exploding_network_leaves_no_trace(name):
    """The network's own error comes through, and no hook or flag stays."""
    network = Exploding().train()
    before = traces(network)

    with pytest.raises(ArithmeticError, match="the network broke"):
        heatmaps_of(name, network, torch.rand(1, 3, 8, 8), 0, layer="conv")

    assert same(traces(network), before)


@pytest.mark.parametrize("name", CALLING)
def test_a_bad_target_leaves_no_trace(name):
    """An error of ours leaves nothing behind either."""
    toy, x, _ = problem_for(name)
    before = traces(toy)

    with pytest.raises(TargetError):
        heatmaps_of(name, toy, x, 99, None if name == "legrad" else LAYER)

    assert same(traces(toy), before)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        slow_unless(name in REPRESENTATIVES or layer == "features.2", name, layer)
        for name in sorted({*CALLING} - {"cam", "legrad"})
        for layer in ("features.0", "features.1", "features.2", "features.3", "features.4", "head.0")
    ],
)
def test_in_place_operations_change_nothing(name, layer):
    """ReLU in place before, at and behind the layer gives what ReLU out of place gives."""
    toy, x, target = problem("small")
    plain = problem("small")[0]
    for module in plain.modules():
        if hasattr(module, "inplace"):
            module.inplace = False

    torch.testing.assert_close(heatmaps_of(name, toy, x, target, layer), heatmaps_of(name, plain, x, target, layer))


@pytest.mark.parametrize("name", CALLING)
def test_nan_is_told(name):
    """A network that gives NaN is an error that says so, never a heatmap."""
    toy, x, target = problem_for(name)
    list(toy.parameters())[-1].data.fill_(torch.nan)

    with pytest.raises(NonFiniteError, match=r"nan|NaN"):
        heatmaps_of(name, toy, x, target, None if name == "legrad" else LAYER)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_networks_give_float32_maps(dtype):
    """Half precision in the network does not reach the maps."""
    toy, x, target = problem("small")
    exact = heatmaps_of("grad-cam", toy, x, target)

    heatmaps = heatmaps_of("grad-cam", toy.to(dtype), x, target)

    assert heatmaps.dtype == torch.float32
    torch.testing.assert_close(heatmaps, exact.float(), atol=0.1, rtol=0)


# -- partners ---------------------------------------------------------------------------------------------------


def test_any_callable_is_a_partner():
    """Fusion-CAM takes maps from anything that gives heatmaps."""
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


def test_a_method_takes_its_own_layer():
    """A method's layer goes before the model's."""
    toy, x, target = problem("curved")
    expected = GradCAM()(ExplainedModel(toy, "features.0"), x, target)

    assert GradCAM(layer="features.0")(ExplainedModel(toy, LAYER), x, target).equal(expected)


def test_flipping_the_input_flips_the_heatmap():
    """A network that treats left and right alike gives mirrored maps of mirrored images."""
    toy, x, target = problem("linear")
    for name in sorted({*ON_TOYS} - {*OF_NOISE}):
        mirrored = heatmaps_of(name, toy, x.flip(-1), target)
        torch.testing.assert_close(mirrored, heatmaps_of(name, toy, x, target).flip(-1))


def test_the_empty_image_is_the_fill():
    """The same maps weighed over black are weighed otherwise than over the mean colour."""
    toy, x, target = problem("small")

    over_black, over_mean = (heatmaps_of(FusionCAM(fill=fill), toy, x, target) for fill in ("black", "mean"))

    assert not over_black.equal(over_mean)


def test_nn_module_is_not_required_to_have_parameters():
    """A network without parameters is explained where it stands."""

    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.maps = nn.ReLU()

        def forward(self, x):
            return self.maps(x).flatten(2).mean(2)

    x = torch.rand(1, 3, 8, 8)
    heatmap = METHODS["grad-cam"](ExplainedModel(Bare(), "maps"), x, 1)

    torch.testing.assert_close(heatmap[0], (x[0, 1] - x[0, 1].min()) / (x[0, 1].max() - x[0, 1].min()))

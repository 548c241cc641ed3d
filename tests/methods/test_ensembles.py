"""Ensembles of methods: the rules by hand, and the passes that partners share."""

from __future__ import annotations

import pytest
import torch

import fusioncam as fc
from fusioncam import ExplainedModel, fuse
from fusioncam.errors import MethodError, SettingError, UnknownNameError
from fusioncam.functional.heatmaps import minmax
from fusioncam.inference.cache import prefetch_layers
from fusioncam.inference.costs import count_passes
from fusioncam.methods.baselines import Ones
from fusioncam.methods.ensembles import MetaCAM, consensus
from fusioncam.methods.fusion import FusionCAM, UnionCAM
from fusioncam.methods.gradient import GradCAM, LayerCAM
from fusioncam.methods.multi_layer import MultiLayer, Multiscale, RefineCAM
from fusioncam.methods.score_cam import ScoreCAM
from fusioncam.methods.smoothing import Augmented
from toys import problem

PARTNERS = (GradCAM(), LayerCAM(), ScoreCAM())


@pytest.fixture
def inputs():
    """Return a model of the pyramid toy, images and targets."""
    toy, x, target = problem("pyramid")
    return ExplainedModel(toy, "features"), x, target


@pytest.mark.parametrize(
    ("rule", "reduce"),
    [
        ("mean", lambda maps: maps.mean(0)),
        ("max", lambda maps: maps.amax(0)),
        ("product", lambda maps: maps.prod(0)),
    ],
)
def test_pixel_rules(rule, reduce, inputs):
    """Any number of heatmaps is combined pixel by pixel."""
    maps = torch.stack([partner(*inputs) for partner in PARTNERS])

    assert fuse(*PARTNERS, rule=rule)(*inputs).equal(minmax(reduce(maps)))


@pytest.mark.filterwarnings("ignore::fusioncam.FusionCamWarning")
@pytest.mark.parametrize(("rule", "method"), [("fusion", FusionCAM), ("union", UnionCAM)])
def test_composed_rules(rule, method, inputs):
    """Two partners form the method itself; a third one is combined with the result of the first two."""
    first, second, third = PARTNERS

    assert fuse(first, third, rule=rule)(*inputs).equal(method(first, third)(*inputs))
    assert fuse(*PARTNERS, rule=rule)(*inputs).equal(method(method(first, second), third)(*inputs))
    assert fuse(*PARTNERS, rule="meta") == fuse(*PARTNERS, rule="meta")
    assert fuse(*PARTNERS, rule="meta")(*inputs).equal(MetaCAM(PARTNERS)(*inputs))


def test_votes_by_hand():
    """The top 20 percent of ten pixels are two; zeros never vote, and tied pixels all vote."""
    first = torch.tensor([[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 1]])
    second = torch.tensor([[1, 0, 0, 0, 0, 0, 0, 0, 0, 0.5]])
    third = torch.tensor([[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]])

    votes = consensus(torch.stack([first, second, third]), 20)

    assert (votes[0] * 2).tolist() == [2, 1, 1, 0, 0, 0, 0, 0, 1, 2]


def test_meta_cam_selects_the_best_top(inputs):
    """The selected ``top`` has the largest difference of probabilities between mask and complement."""
    model, x, target = inputs
    each = torch.stack([MetaCAM(PARTNERS, top=(top,))(*inputs) for top in (5.0, 25.0, 60.0)])
    inside = model.masked_scores(x, each, target, readout="probability")
    outside = model.masked_scores(x, 1 - each, target, readout="probability")

    best = MetaCAM(PARTNERS, top=(5.0, 25.0, 60.0))(*inputs)

    for n, index in enumerate((inside - outside).argmax(0).tolist()):
        assert best[n].equal(each[index, n])


def test_callable_is_a_partner(inputs):
    """Any callable that returns heatmaps may be a partner."""
    half = lambda model, x, target: x.new_full((len(x), *x.shape[2:]), 0.5)  # noqa: E731

    fused = fuse(half, Ones(), GradCAM(), rule="mean")(*inputs)

    torch.testing.assert_close(fused, GradCAM()(*inputs))


@pytest.mark.filterwarnings("ignore::fusioncam.FusionCamWarning")
@pytest.mark.parametrize(
    "method",
    [
        Multiscale(),
        RefineCAM(),
        MultiLayer(),
        fuse(GradCAM(), GradCAM(layer="features.1"), LayerCAM(layer="features.3")),
        FusionCAM(gradient=LayerCAM(layer="features.1"), region=fuse(GradCAM(), GradCAM(layer="features.3"))),
    ],
    ids=repr,
)
def test_partners_at_several_layers_share_one_recorded_pass(method, inputs, monkeypatch):
    """One backward pass records any number of layers."""
    method(*inputs)
    backward = []
    grad = torch.autograd.grad

    def counted(*args, **kwargs):
        backward.append(args)
        return grad(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", counted)

    method(*inputs)

    assert len(backward) == 1


def test_methods_of_one_call_share_one_recorded_pass():
    """`explain_each` announces the layers that its methods will use."""
    toy, _, _ = problem("pyramid")
    image = torch.randint(0, 256, (16, 16, 3), dtype=torch.uint8).numpy()
    preprocessing = fc.Preprocessing((16, 16), 16, "bilinear", (0.5,) * 3, (0.5,) * 3)
    model = ExplainedModel(toy.float(), "features", preprocessing=preprocessing)
    methods = ["grad-cam", "layer-cam(layer=features.1)", "grad-cam++(layer=features.3)"]

    with count_passes() as meter:
        explanations = list(fc.explain_each([image], model=model, methods=methods))

    assert [explanation.layer for explanation in explanations] == ["features", "features.1", "features.3"]
    assert meter.passes == 2  # the predicted class, and one recorded pass


@pytest.mark.parametrize("method", [RefineCAM(), MultiLayer(), Multiscale(base=GradCAM())], ids=repr)
def test_layers_found_by_search_are_prefetched_within_an_outer_prefetch(method, inputs):
    """Methods inside a block that announces layers add the layers that they find."""
    x = inputs[1]
    method(*inputs)

    with count_passes() as meter, fc.cached_passes(), prefetch_layers(x, {None}):
        method(*inputs)
        with prefetch_layers(x.clone(), {"features.1"}):
            method(*inputs)

    assert meter.passes == len(x)


def test_multiscale_adds_finer_layers(inputs):
    """The weights apply to the last layers with twice and four times the resolution of the model's layer."""
    fine, finest = LayerCAM("features.3")(*inputs), LayerCAM("features.1")(*inputs)

    heatmaps = Multiscale(base=GradCAM(), weights=(2.0, 3.0))(*inputs)

    torch.testing.assert_close(heatmaps, minmax(GradCAM()(*inputs) + 2 * fine + 3 * finest))


def test_finer_layers_of_the_default_model(lite0):
    """They are the ends of the earlier stages, from coarse to fine."""
    x = torch.zeros(1, 3, 224, 224)

    assert lite0.layers.higher_resolution(x) == ["blocks.4", "blocks.2", "blocks.1", "blocks.0"]
    assert lite0.layers.higher_resolution(x, "blocks.2") == ["blocks.1", "blocks.0"]


def test_augmented_averages_flips_and_noise(inputs):
    """Without noise it is the mean of the heatmap and of the mirror image's heatmap, mirrored back."""
    model, x, target = inputs
    mirrored = GradCAM()(model, x.flip(-1), target).flip(-1)

    assert Augmented(samples=0)(*inputs).equal(minmax(torch.stack([GradCAM()(*inputs), mirrored]).mean(0)))
    assert Augmented(samples=0, flips=False)(*inputs).equal(GradCAM()(*inputs))
    assert not Augmented(samples=1, flips=False)(*inputs).equal(GradCAM()(*inputs))


@pytest.mark.parametrize(
    ("construct", "error", "message"),
    [
        (lambda: fuse(GradCAM()), SettingError, "at least two methods"),
        (lambda: fuse(GradCAM(), "grad-cam"), SettingError, "at least two methods"),
        (lambda: fuse(GradCAM(), ScoreCAM(), rule="median"), UnknownNameError, "median"),
        (lambda: MetaCAM(PARTNERS, top=()), SettingError, "percentages"),
        (lambda: MetaCAM(PARTNERS, top=(100,)), SettingError, "percentages"),
        (lambda: Augmented(samples=-1), SettingError, "at least 0"),
        (lambda: MultiLayer(rule="median"), UnknownNameError, "median"),
    ],
)
def test_wrong_setting_is_reported(construct, error, message):
    """The constructor raises, not the call."""
    with pytest.raises(error, match=message):
        construct()


def test_method_without_a_layer_is_reported_by_multi_layer(inputs):
    """The error names methods that have a layer."""
    with pytest.raises(UnknownNameError, match="grad-cam"):
        MultiLayer(method=Ones())(*inputs)


@pytest.mark.parametrize(
    ("name", "alternative"),
    [
        ("cam", "grad-cam"),
        ("legrad", "recipro-cam"),
        ("grad-eclip", "legrad"),
        ("attention-rollout", "recipro-cam"),
        ("attention-relevance", "recipro-cam"),
    ],
)
def test_unsupported_network_is_reported_with_an_alternative(name, alternative, inputs):
    """CAM needs a linear head, LeGrad needs attention."""
    with pytest.raises(MethodError, match=alternative):
        fc.METHODS[name](*inputs)

"""Several methods in one map: what the rules come to, and what partners share."""

from __future__ import annotations

import pytest
import torch

import fusioncam as fc
from fusioncam import ExplainedModel, fuse
from fusioncam.errors import MethodError, UnknownNameError
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
def asked():
    """A model of the pyramid, images and targets."""
    toy, x, target = problem("pyramid")
    return ExplainedModel(toy, "features"), x, target


@pytest.mark.parametrize(
    ("rule", "join"),
    [
        ("mean", lambda maps: maps.mean(0)),
        ("max", lambda maps: maps.amax(0)),
        ("product", lambda maps: maps.prod(0)),
    ],
)
def test_pixel_rules(rule, join, asked):
    """Heatmaps are joined pixel by pixel, however many there are."""
    maps = torch.stack([partner(*asked) for partner in PARTNERS])

    assert fuse(*PARTNERS, rule=rule)(*asked).equal(minmax(join(maps)))


@pytest.mark.filterwarnings("ignore::fusioncam.FusionCamWarning")
@pytest.mark.parametrize(("rule", "method"), [("fusion", FusionCAM), ("union", UnionCAM)])
def test_composed_rules(rule, method, asked):
    """Of two partners it is the method itself, of three the method of the first two's result and the third."""
    first, second, third = PARTNERS

    assert fuse(first, third, rule=rule)(*asked).equal(method(first, third)(*asked))
    assert fuse(*PARTNERS, rule=rule)(*asked).equal(method(method(first, second), third)(*asked))
    assert fuse(*PARTNERS, rule="meta") == fuse(*PARTNERS, rule="meta")
    assert fuse(*PARTNERS, rule="meta")(*asked).equal(MetaCAM(PARTNERS)(*asked))


def test_votes_by_hand():
    """Of ten pixels the highest two are the top 20 percent; zeros never vote, ties vote together."""
    first = torch.tensor([[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 1]])
    second = torch.tensor([[1, 0, 0, 0, 0, 0, 0, 0, 0, 0.5]])
    third = torch.tensor([[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]])

    votes = consensus(torch.stack([first, second, third]), 20)

    assert (votes[0] * 2).tolist() == [2, 1, 1, 0, 0, 0, 0, 0, 1, 2]


def test_meta_cam_takes_the_share_that_serves_best(asked):
    """Of several shares it is the one whose mask keeps most more of the probability than the rest does."""
    model, x, target = asked
    each = torch.stack([MetaCAM(PARTNERS, top=(top,))(*asked) for top in (5.0, 25.0, 60.0)])
    kept = model.masked_scores(x, each, target, readout="probability")
    lost = model.masked_scores(x, 1 - each, target, readout="probability")

    best = MetaCAM(PARTNERS, top=(5.0, 25.0, 60.0))(*asked)

    for n, place in enumerate((kept - lost).argmax(0).tolist()):
        assert best[n].equal(each[place, n])


def test_your_own_callable_is_a_partner(asked):
    """Anything that gives heatmaps may take part."""
    half = lambda model, x, target: x.new_full((len(x), *x.shape[2:]), 0.5)  # noqa: E731

    joined = fuse(half, Ones(), GradCAM(), rule="mean")(*asked)

    torch.testing.assert_close(joined, GradCAM()(*asked))


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
def test_partners_at_several_layers_share_one_recorded_pass(method, asked, monkeypatch):
    """However many layers are looked at, one backward pass records them all."""
    method(*asked)
    backward = []
    grad = torch.autograd.grad

    def counted(*args, **kwargs):
        backward.append(args)
        return grad(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", counted)

    method(*asked)

    assert len(backward) == 1


def test_methods_of_one_call_share_one_recorded_pass():
    """`explain_each` tells beforehand which layers all of its methods will ask for."""
    toy, _, _ = problem("pyramid")
    image = torch.randint(0, 256, (16, 16, 3), dtype=torch.uint8).numpy()
    preprocessing = fc.Preprocessing((16, 16), 16, "bilinear", (0.5,) * 3, (0.5,) * 3)
    model = ExplainedModel(toy.float(), "features", preprocessing=preprocessing)
    methods = ["grad-cam", "layer-cam(layer=features.1)", "grad-cam++(layer=features.3)"]

    with count_passes() as meter:
        made = list(fc.explain_each([image], model=model, methods=methods))

    assert [one.layer for one in made] == ["features", "features.1", "features.3"]
    assert meter.passes == 2  # the predicted class, and one recorded pass


@pytest.mark.parametrize("method", [RefineCAM(), MultiLayer(), Multiscale(base=GradCAM())], ids=repr)
def test_layers_found_by_shapes_share_one_pass_also_within_a_call(method, asked):
    """A call that announces the layers that it knows of does not keep methods inside from adding theirs."""
    x = asked[1]
    method(*asked)

    with count_passes() as meter, fc.cached_passes(), prefetch_layers(x, {None}):
        method(*asked)
        with prefetch_layers(x.clone(), {"features.1"}):
            method(*asked)

    assert meter.passes == len(x)


def test_multiscale_adds_what_finer_layers_show(asked):
    """The weights go to the last layers at twice and at four times the sides of the model's maps."""
    fine, finest = LayerCAM("features.3")(*asked), LayerCAM("features.1")(*asked)

    given = Multiscale(base=GradCAM(), weights=(2.0, 3.0))(*asked)

    torch.testing.assert_close(given, minmax(GradCAM()(*asked) + 2 * fine + 3 * finest))


def test_layers_are_found_by_size_on_real_networks(lite0):
    """On the default model they are the ends of the stages before the last, coarse to fine."""
    x = torch.zeros(1, 3, 224, 224)

    assert lite0.higher_resolution_layers(x) == ["blocks.4", "blocks.2", "blocks.1", "blocks.0"]
    assert lite0.higher_resolution_layers(x, "blocks.2") == ["blocks.1", "blocks.0"]


def test_augmented_averages_flips_and_noise(asked):
    """Without noise it is the mean of the map and of the mirror image's, mirrored back."""
    model, x, target = asked
    mirrored = GradCAM()(model, x.flip(-1), target).flip(-1)

    assert Augmented(samples=0)(*asked).equal(minmax(torch.stack([GradCAM()(*asked), mirrored]).mean(0)))
    assert Augmented(samples=0, flips=False)(*asked).equal(GradCAM()(*asked))
    assert not Augmented(samples=1, flips=False)(*asked).equal(GradCAM()(*asked))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: fuse(GradCAM()), "two methods or more"),
        (lambda: fuse(GradCAM(), "grad-cam"), "two methods or more"),
        (lambda: fuse(GradCAM(), ScoreCAM(), rule="median"), "median"),
        (lambda: MetaCAM(PARTNERS, top=()), "percentages"),
        (lambda: MetaCAM(PARTNERS, top=(100,)), "percentages"),
        (lambda: Augmented(samples=-1), "from 0"),
        (lambda: MultiLayer(rule="median"), "median"),
    ],
)
def test_wrong_settings_are_told(wrong, told):
    """A setting that cannot be is refused when the method is made."""
    with pytest.raises(UnknownNameError, match=told):
        wrong()


def test_a_method_without_a_layer_cannot_be_asked_at_several(asked):
    """The error names methods that can."""
    with pytest.raises(UnknownNameError, match="grad-cam"):
        MultiLayer(method=Ones())(*asked)


@pytest.mark.parametrize(("name", "would_do"), [("cam", "grad-cam"), ("legrad", "recipro-cam")])
def test_a_method_that_cannot_serve_a_network_says_which_would(name, would_do, asked):
    """CAM without a linear head and LeGrad without attention are errors with a way out."""
    with pytest.raises(MethodError, match=would_do):
        fc.METHODS[name](*asked)

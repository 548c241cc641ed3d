"""CasCAM: its stages on networks whose evidence is known, its networks, and its settings."""

from __future__ import annotations

import copy
from math import exp

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel, Preprocessing, cached_passes
from fusioncam.errors import FlatHeatmapWarning, InputTypeError, SettingError, UnknownNameError
from fusioncam.functional.heatmaps import minmax
from fusioncam.inference.costs import count_passes
from fusioncam.methods.cas_cam import CasCAM
from fusioncam.methods.gradient import GradCAM, LayerCAM
from fusioncam.methods.registry import as_method, parse
from toys import Fixed, Pool, Toy, problem

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:the network has one output")]
STRONG, WEAK, WEAKEST = (1, 2), (6, 5), (3, 7)


def plain(channel=0, channels=1):
    """Return a model whose score is the mean of one channel, so that this channel is the Grad-CAM; black is 0."""
    weight = [[float(one == channel) for one in range(channels)]]
    toy = Toy(nn.Sequential(Fixed(weight), nn.ReLU()), Pool())
    preprocessing = Preprocessing((8, 8), 8, mean=(0.0,) * channels, std=(1.0,) * channels)
    return ExplainedModel(toy, "features", preprocessing=preprocessing)


def three_cues():
    """Return an image with cues of three strengths on a weaker background."""
    x = torch.full((1, 1, 8, 8), 0.1, dtype=torch.float64)
    x[0, 0][STRONG], x[0, 0][WEAK], x[0, 0][WEAKEST] = 3, 2, 1
    return x


def at(*places):
    """Return a heatmap that is 1 at the places."""
    heatmap = torch.zeros(8, 8, dtype=torch.float64)
    for place in places:
        heatmap[place] = 1
    return heatmap


def test_each_stage_finds_the_strongest_cue_that_is_left():
    """Earlier cues stay faded, and the result weights the stages by the decay."""
    method = CasCAM(stages=3, top=1, decay=0.3)

    stages = method.stage_heatmaps(plain(), three_cues(), 0)
    heatmap = method(plain(), three_cues(), 0)[0]

    assert stages[0].equal(torch.stack([at(STRONG), at(WEAK), at(WEAKEST)]))
    torch.testing.assert_close(heatmap, at(STRONG) + exp(-0.3) * at(WEAK) + exp(-0.6) * at(WEAKEST))


def test_faded_images():
    """The heat removes the contrast with the fill: all of it if strong, none where there is none."""
    x, heat = three_cues(), 0.5 * at(STRONG, WEAK)[None]
    expected = x * torch.exp(-2.0 * heat)[:, None]

    torch.testing.assert_close(CasCAM(theta=2).faded(plain(), x, heat), expected)
    grey = CasCAM(theta=2, fill="blur").faded(plain(), x, heat)
    blurred = plain().fill_pixels(x, "blur")
    torch.testing.assert_close(grey, blurred + (x - blurred) * torch.exp(-2.0 * heat)[:, None])
    assert CasCAM(theta=0).faded(plain(), x, heat).equal(x)
    assert CasCAM(theta=50).faded(plain(), x, 2 * heat)[0, 0][STRONG] < 1e-9


def test_black_is_black_before_the_normalisation():
    """A faded pixel approaches that of a black image, and the colours in between are proportional."""
    toy, x, _ = problem("small")
    model = ExplainedModel(toy, "features")
    black = model.fill_pixels(x, "black")

    faded = CasCAM(theta=1).faded(model, x, torch.ones_like(x[:, 0]))

    torch.testing.assert_close(faded - black, (x - black) * exp(-1))
    assert black[0, :, 0, 0].tolist() == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])


@pytest.mark.parametrize("top", [5, 50, 100, None])
def test_one_stage_is_the_method_with_its_highest_pixels(top):
    """The other pixels are 0, and the values of the kept ones are those of the method."""
    toy, x, target = problem("small")
    model = ExplainedModel(toy, "features")
    whole = LayerCAM()(model, x, target)

    heatmaps = CasCAM(LayerCAM(), stages=1, top=top)(model, x, target)

    kept = heatmaps > 0
    share = kept.double().mean((1, 2))
    assert heatmaps[kept].equal(whole[kept])
    if top in (100, None):
        assert heatmaps.equal(whole)
    elif top == 5:
        assert share.tolist() == [4 / 64, 4 / 64]  # 3.2 pixels, rounded up
    assert bool((share * 100 < (top or 100) + 2).all())


def test_without_fading_all_stages_are_equal():
    """And so is the result, whose weights sum to 1."""
    toy, x, target = problem("small")
    model = ExplainedModel(toy, "features")
    method = CasCAM(theta=0, stages=4)

    stages = method.stage_heatmaps(model, x, target)

    assert stages.shape == (2, 4, 8, 8)
    assert stages.equal(stages[:, :1].expand_as(stages))
    torch.testing.assert_close(method(model, x, target), CasCAM(stages=1)(model, x, target))


def test_weights():
    """They fall exponentially and sum to 1; without decay they are equal."""
    first, second, third = CasCAM(decay=0.5).weights

    assert (second / first, third / second) == pytest.approx((exp(-0.5), exp(-0.5)))
    assert first + second + third == pytest.approx(1)
    assert CasCAM(decay=0, stages=4).weights == (0.25,) * 4


def test_result_is_the_weighted_sum_of_the_stages():
    """Rescaled to [0, 1]."""
    toy, x, target = problem("pyramid")
    model, method = ExplainedModel(toy, "features"), CasCAM(LayerCAM(), top=40, decay=0.7)

    stages = method.stage_heatmaps(model, x, target)

    by_hand = sum(weight * stages[:, k] for k, weight in enumerate(method.weights))
    torch.testing.assert_close(method(model, x, target), minmax(by_hand))


# -- networks of later stages ------------------------------------------------------------------------------------


def test_each_network_explains_the_whole_image_in_its_stage():
    """Stage k is network k's heatmap of the image, which nothing fades."""
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    models = [plain(channel, 3) for channel in (1, 0, 2)]
    method = CasCAM(models=tuple(models[1:]), theta=100)

    stages = method.stage_heatmaps(models[0], x, 0)

    for k, channel in enumerate((1, 0, 2)):
        assert stages[:, k].equal(CasCAM(stages=1)(plain(channel, 3), x, 0))
    assert not stages[:, 0].equal(stages[:, 1])


class Weighted(nn.Module):
    """The channels of an image times the numbers that go along with it."""

    def __init__(self):
        super().__init__()
        self.layer = Fixed([[1, 0, 0], [0, 1, 0], [0, 0, 1]])

    def forward(self, x, table):
        """Return the mean, as the score of the only class."""
        return (self.layer(x).relu() * table[:, :, None, None]).mean((1, 2, 3))[:, None]


@pytest.mark.parametrize("rows", [1, 2])
def test_other_inputs_of_a_network_go_to_all_stages(rows):
    """The networks of later stages are called as the first one, also with a row for each image."""
    x, table = torch.rand(2, 3, 8, 8, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[:rows]
    first, later = (ExplainedModel(Weighted(), "layer", extra=(one,)) for one in (table, table.flip(1)))

    stages = CasCAM(stages=2, models=(later,)).stage_heatmaps(first, x, 0)

    assert stages[:, 0].equal(stages[:, 1])
    assert stages[:, 0].equal(CasCAM(stages=1)(first, x, 0))


@pytest.mark.parametrize("later", [0, 2])
def test_passes_are_those_of_the_cost(later):
    """A pass for each stage, whichever network runs it; later networks keep the layer that they found."""
    toy, x, target = problem("pyramid", images=1)
    model = ExplainedModel(toy)
    method = CasCAM(models=(model.with_network(copy.deepcopy(toy)),) * later)
    method(model, x, target)

    with count_passes() as meter:
        method(model, x, target)

    assert meter.passes == method.cost.full == 3
    assert str(CasCAM(stages=5).cost) == "5"


def test_first_stage_shares_its_pass():
    """Inside ``cached_passes``, with other methods and with a second call."""
    toy, x, target = problem("pyramid", images=1)
    model = ExplainedModel(toy, "features")
    GradCAM()(model, x, target)

    with cached_passes(), count_passes() as meter:
        GradCAM()(model, x, target)
        CasCAM()(model, x, target)
        CasCAM().stage_heatmaps(model, x, target)

    assert meter.passes == 3


def test_flat_result_is_reported():
    """If no stage has a positive value, the warnings are those of the first stage and of CasCAM."""
    with pytest.warns(FlatHeatmapWarning) as warned:
        heatmap = CasCAM()(plain(), -three_cues(), 0)

    assert not heatmap.any()
    flat = [str(one.message) for one in warned if one.category is FlatHeatmapWarning]
    assert [text.partition("information (")[2][:6] for text in flat] == ["GradCA", "CasCAM"]


def test_flat_later_stages_are_no_reason_to_warn():
    """Nothing is left after the only cue is faded, and the result is the first stage."""
    x = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    x[0, 0][STRONG] = 1

    assert CasCAM(theta=1000)(plain(), x, 0)[0].equal(at(STRONG))


# -- settings ----------------------------------------------------------------------------------------------------


def test_specs_and_names():
    """Every setting but the networks can be written; the name with networks is the same in every run."""
    method = CasCAM(LayerCAM(), 5, 3.0, None, 0.0, "mean")

    assert parse("cas-cam(method=layer-cam, stages=5, theta=3, top=none, decay=0, fill=mean)") == method
    with pytest.raises(SettingError, match="models cannot be written in a SPEC: set it in Python"):
        parse("cas-cam(models=[a, b])")
    name, _ = as_method(CasCAM(stages=2, models=(plain(),)))
    assert name.endswith("models=(ExplainedModel(Toy, layer='features'),))")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"stages": 0}, SettingError, "stages must be a positive integer, got 0"),
        ({"theta": -1}, SettingError, "theta must be a number of at least 0, got -1"),
        ({"theta": float("nan")}, SettingError, "theta must be a number of at least 0, got nan"),
        ({"theta": float("inf")}, SettingError, "theta must be a number of at least 0, got inf"),
        ({"theta": "5"}, SettingError, "theta must be a number of at least 0, got '5'"),
        ({"decay": -0.1}, SettingError, "decay must be a number of at least 0, got -0.1"),
        ({"decay": True}, SettingError, "decay must be a number of at least 0, got True"),
        ({"top": 101}, SettingError, "top must be a number above 0 and at most 100, got 101"),
        ({"top": 0}, SettingError, "top must be a number above 0 and at most 100, got 0"),
        ({"fill": "grey"}, UnknownNameError, "unknown fill 'grey'"),
        ({"models": (plain(),)}, SettingError, "3 stages need 2 models, one for each stage after the first; got 1"),
        ({"models": (plain(), nn.Identity())}, InputTypeError, "must be a tuple of ExplainedModels, got"),
        ({"models": [plain(), plain()]}, InputTypeError, "must be a tuple of ExplainedModels, got"),
    ],
)
def test_wrong_settings_are_reported(settings, error, message):
    """The constructor raises, not the call."""
    with pytest.raises(error, match=message):
        CasCAM(**settings)

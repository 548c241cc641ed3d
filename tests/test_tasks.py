"""The wrappers that give networks of other tasks a row of scores."""

from __future__ import annotations

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import detection as tv
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.ssd import SSD
from torchvision.ops import MultiScaleRoIAlign

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import FlatHeatmapWarning, NonFiniteError, ShapeError, TargetError, UnknownNameError
from fusioncam.tasks import Detection, Embedding, MultiLabel, Regression, Segmentation
from toys import Fixed, Pool, Toy, linear, problem

DETECTORS = ("faster r-cnn", "retinanet", "fcos", "ssd")


class Giving(nn.Module):
    """Gives what it was told to, as a parameter so that it has gradients, whatever it sees."""

    def __init__(self, output):
        super().__init__()
        self.output = nn.Parameter(torch.tensor(output))

    def forward(self, x):
        """Give it."""
        return self.output


class Keyed(nn.Module):
    """Gives its maps in a dict, as torchvision's segmenters do."""

    def __init__(self, network, key="out"):
        super().__init__()
        self.features, self.key = network, key

    def forward(self, x):
        """Give the maps under the key, and something beside them."""
        return OrderedDict({self.key: self.features(x), "aux": x})


class Finder(nn.Module):
    """Looks at five fixed places, and gives those whose mean of the first map is above 0, with its sigmoid."""

    # IoU with BOX: 1, 1/2, 1/4, 1, 0
    PLACES = ((0, 0, 4, 4), (0, 0, 4, 8), (0, 0, 2, 2), (0, 0, 4, 4), (4, 4, 8, 8))
    LABELS = (1, 1, 1, 2, 1)
    BOX = (0, 0, 4, 4)

    def __init__(self):
        super().__init__()
        self.features = Fixed([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [-1, 0, 0]])

    def forward(self, images):
        """Give what was found in each image."""
        maps = self.features(torch.stack(images))
        boxes, labels = torch.tensor(self.PLACES, dtype=maps.dtype), torch.tensor(self.LABELS)
        seen = [maps[:, place, y1:y2, x1:x2].mean((1, 2)) for place, (x1, y1, x2, y2) in enumerate(self.PLACES)]
        every = torch.stack(seen, 1)
        return [
            {"boxes": boxes[one > 0], "labels": labels[one > 0], "scores": one[one > 0].sigmoid()} for one in every
        ]


def detector(name):
    """Make one of torchvision's detectors, small, with random weights, of 3 classes for 96 pixels."""
    backbone = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.ReLU(), nn.Conv2d(8, 32, 3, 2, 1), nn.ReLU())
    backbone.out_channels = 32
    anchors = tv.anchor_utils.AnchorGenerator(((24,),), ((0.5, 1.0, 2.0),))
    squares = tv.anchor_utils.AnchorGenerator(((24,),), ((1.0,),))
    sizes = {"min_size": 96, "max_size": 96}
    few = {"score_thresh": 0.0, "detections_per_img": 20}
    if name == "faster r-cnn":
        parts = {
            "box_roi_pool": MultiScaleRoIAlign(["0"], 3, 2),
            "box_head": TwoMLPHead(32 * 9, 16),
            "box_predictor": FastRCNNPredictor(16, 3),
        }
        few = {"box_score_thresh": 0.0, "box_detections_per_img": 20, "rpn_post_nms_top_n_test": 30}
        return tv.FasterRCNN(backbone, rpn_anchor_generator=anchors, **parts, **sizes, **few)
    if name == "ssd":
        backbone.out_channels = [32]
        boxes = tv.anchor_utils.DefaultBoxGenerator([[2]], scales=[0.25, 0.3])
        return SSD(backbone, boxes, (96, 96), 3, **few)
    if name == "retinanet":
        network = tv.RetinaNet(backbone, 3, anchor_generator=anchors, **sizes, **few)
    else:
        network = tv.FCOS(backbone, 3, anchor_generator=squares, **sizes, **few)
        network.head.regression_head.bbox_reg.bias.data += 2  # untrained, its boxes have no extent
    network.head.classification_head.cls_logits.weight.data *= 30  # and the scores differ by nothing
    return network


def detection(name):
    """Wrap a detector at a box and label that it finds itself; give the images too."""
    torch.manual_seed(4)  # with others one of the untrained networks has a map without anything positive
    network = detector(name).eval()
    x = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        found = network(list(x))[0]
    return Detection(network, found["boxes"][0], found["labels"][0]), x, 1, "wrapped.backbone.2"


def segmenter(classes=3):
    """Make maps (N, classes, 8, 8) behind a layer of 6 channels."""
    return problem("small")[0].features[:3], nn.Sequential(
        nn.Conv2d(6, classes, 1, dtype=torch.float64), nn.Upsample(scale_factor=2)
    )


def case(name):
    """Give a wrapper, inputs, a target and a layer inside."""
    if name in DETECTORS:
        return detection(name)
    toy, x, _ = problem("small")
    region = torch.zeros(8, 8, dtype=torch.bool)
    region[2:5, 3:7] = True
    embedder = nn.Sequential(toy.features, Pool())
    return {
        "segmentation": lambda: (Segmentation(Keyed(Toy(*segmenter()))), x, 0, "wrapped.features.features.1"),
        "region": lambda: (Segmentation(Toy(*segmenter()), region), x, 2, "wrapped.features.1"),
        "one class": lambda: (Segmentation(Toy(*segmenter(1)), region), x, 0, "wrapped.features.1"),
        "embedding": lambda: (Embedding.of_images(embedder, x[1:]), x, 0, "wrapped.0.1"),
        "regression": lambda: (Regression(toy, 2, scale=0.1), x, 1, "wrapped.features.1"),
        "multilabel": lambda: (MultiLabel(toy, 1), x, 0, "wrapped.features.1"),
    }[name]()


CASES = ("segmentation", "region", "one class", "embedding", "regression", "multilabel", *DETECTORS)


# -- all of them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["grad-cam", "fusion-cam"])
@pytest.mark.parametrize("name", CASES)
def test_heatmaps_are_whole_and_of_each_image(name, method):
    """Every task is explained at a layer inside the network, a batch as each of its images."""
    wrapper, x, target, layer = case(name)
    model = ExplainedModel(wrapper, layer)

    heatmaps = METHODS[method](model, x, target)

    assert heatmaps.shape == (2, *x.shape[2:])
    assert heatmaps.isfinite().all()
    assert heatmaps.amin() >= 0
    torch.testing.assert_close(heatmaps.amax((1, 2)), torch.ones(2, dtype=heatmaps.dtype))
    singles = torch.cat([METHODS[method](model, x[n : n + 1], target) for n in range(2)])
    # rounding may put a pixel on either side of Fusion-CAM's percentile
    assert ((heatmaps - singles).abs() > 1e-3).float().mean() < 1e-3


@pytest.mark.parametrize("name", CASES)
def test_maps_gain_something(name):
    """What is seen changes the probability, so that Fusion-CAM has gains to weigh its maps by."""
    wrapper, x, target, layer = case(name)
    model = ExplainedModel(wrapper, layer)

    gains = METHODS["fusion-cam"].ingredients(model, x, target).gains

    assert all((gain.abs() > 1e-6).any() for gain in gains.values())


@pytest.mark.parametrize("name", CASES)
def test_no_trace_is_left(name):
    """The weights are the network's own, and explaining changes none of them nor any flag."""
    wrapper, x, target, layer = case(name)
    wrapper.wrapped.train()
    before = copy.deepcopy(wrapper.wrapped.state_dict())

    METHODS["grad-cam"](ExplainedModel(wrapper, layer), x, target)

    assert list(wrapper.state_dict()) == [f"wrapped.{name}" for name in before]
    assert all(now.equal(before[name]) for name, now in wrapper.wrapped.state_dict().items())
    assert all(one.training for one in wrapper.wrapped.modules())
    assert all(one.grad is None for one in wrapper.parameters())


@pytest.mark.parametrize("wrap", [Segmentation, MultiLabel, Regression])
def test_what_is_no_network_is_told(wrap):
    """A class in place of an instance is the usual slip."""
    with pytest.raises(ShapeError, match="expected a network"):
        wrap(nn.Conv2d)


# -- segmentation -----------------------------------------------------------------------------------------------

LOGITS = [[[[3.0, 0.0], [2.0, 1.0]], [[1.0, 4.0], [1.0, 0.5]], [[0.0, -1.0], [-2.0, 0.0]]]]
REGION = torch.tensor([[True, True], [False, False]])


@pytest.mark.parametrize(
    ("region", "expected"),
    [(REGION, [[1.5, 2.5, -0.5]]), (None, [[6 / 4, 4 / 4, 0.0]])],
)
def test_segmentation_by_hand(region, expected):
    """The mean over the region; without one the sum over the class's own pixels, over all pixels."""
    scores = Segmentation(Giving(LOGITS), region)(torch.rand(1, 3, 2, 2))

    assert scores.tolist() == expected


def test_segmentation_gives_the_paper_its_heatmap():
    """Sum or mean, Grad-CAM's map is that of Seg-Grad-CAM."""

    class Paper(nn.Module):
        def forward(self, maps):
            return maps[:, :, region].sum(2)

    wrapper, x, target, layer = case("region")
    region = wrapper.region

    ours = METHODS["grad-cam"](ExplainedModel(wrapper, layer), x, target)
    papers = METHODS["grad-cam"](ExplainedModel(Toy(wrapper.wrapped, Paper()), "features.features.1"), x, target)

    torch.testing.assert_close(ours, papers)


def test_segmentation_falls_when_a_mask_takes_pixels():
    """What is left of a class under a mask is as sure as before, but it is less of it."""
    x = torch.zeros(1, 2, 4, 4)
    x[0, 0], x[0, 1] = 2.0, 1.0  # all pixels are of class 0, and show 2
    masks = torch.zeros(2, 1, 4, 4)
    masks[0], masks[1, :, :2] = 1, 1

    scores = ExplainedModel(Segmentation(Fixed([[1, 0], [0, 1]]))).masked_scores(x, masks, 0, readout="logit")

    assert scores[:, 0].tolist() == [2, 1]


def test_a_class_without_pixels_has_a_gradient_of_zero():
    """It scores 0, and the map is flat and said to be."""
    network = Toy(Fixed([[1, 0, 0], [0, 1, 0]]), nn.Identity())
    x = torch.rand(1, 3, 4, 4)
    x[:, 1] += 1
    model = ExplainedModel(Segmentation(network), "wrapped.features")

    assert model.scores(x, 0, "logit").tolist() == [0]
    with pytest.warns(FlatHeatmapWarning):
        METHODS["grad-cam"](model, x, 0)


def test_segmenters_give_what_they_give():
    """A tensor, a dict under "out", or under another name."""
    x = torch.rand(1, 3, 2, 2)
    expected = Segmentation(Giving(LOGITS), REGION)(x)

    assert Segmentation(Keyed(Giving(LOGITS)), REGION)(x).equal(expected)
    assert Segmentation(Keyed(Giving(LOGITS), "logits"), REGION, "logits")(x).equal(expected)
    with pytest.raises(ShapeError, match="no 'out' but logits, aux"):
        Segmentation(Keyed(Giving(LOGITS), "logits"))(x)


def test_one_channel_is_yes_or_no():
    """A binary segmenter's probability is the sigmoid of its mean logit."""
    x = torch.rand(1, 3, 2, 2)
    logits = torch.tensor(LOGITS)[:, 1:2]

    inside = Segmentation(Giving(logits.tolist()), REGION)(x)
    own = Segmentation(Giving((logits - 2).tolist()))(x)

    torch.testing.assert_close(inside.softmax(1)[:, 1], torch.tensor([2.5]).sigmoid())
    assert own.tolist() == [[(1 + 1 + 1.5) / 2 / 4, 2 / 2 / 4]]


@pytest.mark.parametrize("region", [torch.ones(2, 2), torch.zeros(2, 2, dtype=torch.bool)])
def test_regions_that_are_none_are_told(region):
    """A region is boolean and not empty."""
    with pytest.raises(ShapeError, match="region is a boolean mask"):
        Segmentation(Giving(LOGITS), region)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (Fixed([[1, 0, 0], [0, 1, 0]]), r"gives \(4, 5\), the region is \(2, 2\)"),
        (Toy(Fixed([[1, 0, 0]]), Pool()), r"expected logits \(N, classes, H, W\) of the network, got \(1, 1\)"),
    ],
)
def test_maps_that_do_not_fit_are_told(network, told):
    """The region is of the network's output, and that is maps."""
    with pytest.raises(ShapeError, match=told):
        Segmentation(network, REGION)(torch.rand(1, 3, 4, 5))


def test_regions_may_be_arrays_and_move_with_the_network():
    """numpy's mask is a mask, and goes where the network goes."""
    wrapper = Segmentation(Giving(LOGITS), REGION.numpy())

    assert wrapper.region.equal(REGION)
    assert wrapper.to("meta").region.device.type == "meta"


# -- detection --------------------------------------------------------------------------------------------------


def found(values, box=Finder.BOX, label=1):
    """Give the probability of "found" for images whose channels have these values."""
    x = torch.tensor(values, dtype=torch.float64)[:, :, None, None].expand(-1, 3, 8, 8)
    return Detection(Finder(), box, label)(x).softmax(1)[:, 1]


def test_detection_by_hand():
    """The highest score * IoU of that label; 0 where there is none."""
    sure, half = torch.tensor([5.0, 2.0], dtype=torch.float64).sigmoid().tolist()

    values = found([[5, 0, 0], [2, 5, 0], [-1, 5, 5], [-1, -1, -1], [-1, 5, -1]])

    # the fourth finds only at the place behind the box; the fifth at the second
    expected = [sure, half, sure / 2, 0, sure / 2]
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64), atol=2e-6, rtol=0)


def test_the_nearest_detection_is_not_always_the_best():
    """Place 1 overlaps most, by 3/4, but place 0 is surer by more than its 2/3 are less."""
    expected = torch.tensor([5.0], dtype=torch.float64).sigmoid() * 2 / 3

    torch.testing.assert_close(found([[5, 0.1, 0]], box=(0, 0, 4, 6)), expected, atol=2e-6, rtol=0)


def test_detections_of_another_label_do_not_count():
    """Place 3, label 2, sees half of both first channels."""
    sure = torch.tensor([2.0], dtype=torch.float64).sigmoid()

    torch.testing.assert_close(found([[2, 2, 0]], label=2), sure, atol=2e-6, rtol=0)
    torch.testing.assert_close(found([[5, -5, 0]], label=2), sure * 0, atol=2e-6, rtol=0)


def test_a_sure_detection_keeps_its_gradient():
    """A score of 1 to within rounding is no reason for a flat map."""
    x = torch.full((1, 3, 8, 8), 14.0, requires_grad=True)

    Detection(Finder(), Finder.BOX, 1)(x)[0, 1].backward()

    assert x.grad[0, 0, 0, 0] > 0
    assert x.grad[0, :, 4:, 4:].abs().sum() == 0


def test_nothing_found_is_a_flat_map_not_an_error():
    """Alone, and beside an image that has something."""
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    x[1] *= -1
    model = ExplainedModel(Detection(Finder(), Finder.BOX, 1), "wrapped.features")

    with pytest.warns(FlatHeatmapWarning, match="image 1 of the batch"):
        heatmaps = METHODS["grad-cam"](model, x, 1)
    with pytest.warns(FlatHeatmapWarning, match="image 0 of the batch"):
        alone = METHODS["grad-cam"](model, x[1:], 1)

    assert heatmaps[0].amax() == 1
    assert heatmaps[1].equal(alone[0])
    assert heatmaps[1].amax() == 0


def test_the_overlap_only_weighs():
    """A box that moves with the image does not change the gradient, which is the score's."""

    class Moving(nn.Module):
        def __init__(self, moves):
            super().__init__()
            self.moves = moves

        def forward(self, images):
            (x,) = images
            box = torch.stack([x[0, 0, 0], x[0, 0, 0] * 0, x[0, 0, 0] + 4, x[0, 0, 0] * 0 + 4])
            box = box if self.moves else box.detach()
            return [{"boxes": box[None], "labels": torch.tensor([1]), "scores": x.mean().sigmoid()[None]}]

    gradients = []
    for moves in (False, True):
        x = torch.ones(1, 3, 8, 8, requires_grad=True)
        Detection(Moving(moves), (0, 0, 4, 4), 1)(x)[0, 1].backward()
        gradients.append(x.grad)

    assert gradients[0].equal(gradients[1])


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_that_find_nothing_under_masks(name):
    """With the thresholds of use an untrained detector finds nothing: the probability is 0, with or without masks."""
    wrapper, x, target, layer = detection(name)
    part = getattr(wrapper.wrapped, "roi_heads", wrapper.wrapped)
    part.score_thresh = 0.99
    model = ExplainedModel(wrapper, layer)

    scores = model.masked_scores(x, torch.rand(3, 2, 96, 96), target, readout="probability")

    torch.testing.assert_close(scores, torch.zeros(3, 2), atol=2e-6, rtol=0)
    assert model.record(x, target).gradients.abs().sum() == 0


@pytest.mark.parametrize(
    "box", [(0, 0, 4), (0, 4, 4, 0), (4, 0, 4, 4), ("a", 0, 4, 4), None, torch.rand(2, 4), (0, 0, float("nan"), 4)]
)
def test_boxes_that_are_none_are_told(box):
    """Four numbers, the second corner behind the first."""
    with pytest.raises(ShapeError, match="box is"):
        Detection(Finder(), box, 1)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (torch.rand(1, 7), "a list of detections of the network, got \\(1, 7\\)"),
        (
            [{"boxes": torch.rand(1, 4), "labels": torch.ones(1)}],
            "boxes, labels and scores of each image, got dict",
        ),
        ([torch.rand(3, 6)], "of each image, got \\(3, 6\\)"),
    ],
)
def test_detections_of_another_form_are_told(output, told):
    """Other families of detectors give other things."""

    class Other(nn.Module):
        def forward(self, images):
            return output

    with pytest.raises(ShapeError, match=told):
        Detection(Other(), Finder.BOX, 1)(torch.rand(1, 3, 8, 8))


# -- embedding --------------------------------------------------------------------------------------------------


def test_embedding_by_hand():
    """Cosines over the temperature, and the neutral one last."""
    references = torch.tensor([[2.0, 0.0], [1.0, 1.0]], requires_grad=True)
    wrapper = Embedding(Giving([[3.0, 0.0], [0.0, 5.0]]), references, temperature=0.5, neutral=0.25)

    scores = wrapper(torch.rand(2, 3, 4, 4))

    torch.testing.assert_close(scores, torch.tensor([[2, 2**0.5, 0.5], [0, 2**0.5, 0.5]]))
    assert not wrapper.references.requires_grad


def test_one_reference_has_a_probability_of_its_own():
    """A soft threshold at the neutral cosine, not 1 whatever is seen."""
    wrapper = Embedding(Giving([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0]]))

    probabilities = wrapper(torch.rand(2, 3, 4, 4)).softmax(1)[:, 0]

    torch.testing.assert_close(probabilities, torch.tensor([5.0, (0.5**0.5 - 0.5) * 10]).sigmoid())


def test_references_of_images_leave_no_trace():
    """They are the network's embeddings in evaluation, and it is as it was."""
    toy, x, _ = problem("small", images=3)
    expected = toy(x).detach()
    toy.train()
    before = copy.deepcopy(toy.state_dict())

    wrapper = Embedding.of_images(toy, x, temperature=0.2, neutral=0.1)

    torch.testing.assert_close(wrapper.references, expected)
    assert (wrapper.temperature, wrapper.neutral) == (0.2, 0.1)
    assert not wrapper.references.requires_grad
    assert all(module.training for module in toy.modules())
    assert all(now.equal(before[name]) for name, now in toy.state_dict().items())
    assert wrapper(x).shape == (3, 4)


@pytest.mark.parametrize(
    ("references", "error", "told"),
    [
        (torch.rand(3), ShapeError, r"got \(3,\): add references\[None\]"),
        (torch.rand(0, 3), ShapeError, "R > 0"),
        ([[1.0]], ShapeError, "got list"),
        (torch.zeros(1, 3), NonFiniteError, "need a direction"),
        (torch.full((1, 3), torch.nan), NonFiniteError, "need a direction"),
    ],
)
def test_references_that_are_none_are_told(references, error, told):
    """Rows that have a direction."""
    with pytest.raises(error, match=told):
        Embedding(linear(), references)


def test_embeddings_that_do_not_fit_are_told():
    """As many numbers as the references have."""
    with pytest.raises(ShapeError, match=r"\(N, 2\) as the references are, got \(1, 3\)"):
        Embedding(linear(), torch.rand(1, 2))(torch.rand(1, 3, 4, 4, dtype=torch.float64))


# -- regression and labels ----------------------------------------------------------------------------------------


def test_regression_by_hand():
    """Half the distance from the centre, in scales, against and for it."""
    network = Giving([[7.0, 30.0], [7.0, 60.0]])

    scores = Regression(network, 1, centre=40, scale=10)(torch.rand(2, 3, 4, 4))

    assert scores.tolist() == [[0.5, -0.5], [-1, 1]]
    torch.testing.assert_close(scores.softmax(1)[:, 1], torch.tensor([-1.0, 2.0]).sigmoid())


def test_multilabel_by_hand():
    """The probability is the sigmoid of the label's logit alone."""
    scores = MultiLabel(Giving([[7.0, 3.0], [9.0, -2.0]]), 1)(torch.rand(2, 3, 4, 4))

    assert scores.tolist() == [[-1.5, 1.5], [1, -1]]
    torch.testing.assert_close(scores.softmax(1)[:, 1], torch.tensor([3.0, -2.0]).sigmoid())


@pytest.mark.parametrize("wrap", [Regression, MultiLabel])
def test_one_output_may_come_without_its_side(wrap):
    """(N,) is (N, 1)."""
    x = torch.rand(2, 3, 4, 4)

    assert wrap(Giving([1.0, -3.0]))(x).equal(wrap(Giving([[1.0], [-3.0]]))(x))


def test_the_two_columns_ask_opposite_questions():
    """What speaks for it is what does not speak against it; and the centre does not change the map."""
    toy, x, _ = problem("small")

    for_it, against_it, elsewhere = (
        ExplainedModel(wrapper, "wrapped.features").record(x, target).gradients
        for wrapper, target in ((MultiLabel(toy, 1), 1), (MultiLabel(toy, 1), 0), (Regression(toy, 1, centre=9), 1))
    )

    torch.testing.assert_close(for_it, -against_it)
    torch.testing.assert_close(for_it, elsewhere)
    torch.testing.assert_close(for_it * 2, ExplainedModel(toy, "features").record(x, 1).gradients)


@pytest.mark.parametrize("wrap", [Regression, MultiLabel])
@pytest.mark.parametrize("output", [[[[1.0]]], [[1.0], [2.0]], 1.0])
def test_outputs_of_another_shape_are_told(wrap, output):
    """One row an image."""
    with pytest.raises(ShapeError, match=r"\(1, outputs\) or \(1,\)"):
        wrap(Giving(output))(torch.rand(1, 3, 4, 4))


@pytest.mark.parametrize("wrap", [Regression, MultiLabel])
def test_outputs_that_are_not_there_are_told(wrap):
    """The error counts them."""
    with pytest.raises(TargetError, match="output 3 of 3 outputs: give an index from 0 to 2"):
        wrap(linear(), 3)(torch.rand(1, 3, 4, 4, dtype=torch.float64))


@pytest.mark.parametrize("index", [-1, 1.0, "cat", True, None])
def test_what_is_no_index_is_told(index):
    """For labels, outputs and what a detector counts."""
    for wrap in (
        lambda: MultiLabel(linear(), index),
        lambda: Regression(linear(), index),
        lambda: Detection(Finder(), Finder.BOX, index),
    ):
        with pytest.raises(TargetError, match="is an index from 0 on, got"):
            wrap()


def test_indices_of_other_libraries_are_indices():
    """A detector's own label is a tensor."""
    assert MultiLabel(linear(), torch.tensor(2)).label == 2
    assert MultiLabel(linear(), np.int64(2)).label == 2


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), float("inf")])
def test_settings_out_of_range_are_told(wrong):
    """A scale turns no map upside down."""
    with pytest.raises(UnknownNameError, match="scale is a number above 0"):
        Regression(linear(), scale=wrong)
    with pytest.raises(UnknownNameError, match="temperature is a number above 0"):
        Embedding(linear(), torch.rand(1, 3), temperature=wrong)

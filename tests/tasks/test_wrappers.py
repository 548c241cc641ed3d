"""Wrappers that return a row of scores from networks for other tasks."""

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
from fusioncam.errors import FlatHeatmapWarning, InputTypeError, NonFiniteError, SettingError, ShapeError, TargetError
from fusioncam.tasks import Detection, Embedding, MultiLabel, Regression, Segmentation
from selection import slow_unless
from toys import Fixed, Pool, Toy, linear, problem

DETECTORS = ("faster r-cnn", "retinanet", "fcos", "ssd")


class Constant(nn.Module):
    """Return a constant output for every input; it is a parameter so that it has gradients."""

    def __init__(self, output):
        super().__init__()
        self.output = nn.Parameter(torch.tensor(output))

    def forward(self, x):
        """Return the constant."""
        return self.output


class Keyed(nn.Module):
    """Return the maps in a dict, as torchvision's segmentation networks do."""

    def __init__(self, network, key="out"):
        super().__init__()
        self.features, self.key = network, key

    def forward(self, x):
        """Return the maps under the key, and an auxiliary output."""
        return OrderedDict({self.key: self.features(x), "aux": x})


class Detector(nn.Module):
    """Detect those of five fixed boxes in which the mean of a map is positive; the score is its sigmoid."""

    # IoU with BOX: 1, 1/2, 1/4, 1, 0
    BOXES = ((0, 0, 4, 4), (0, 0, 4, 8), (0, 0, 2, 2), (0, 0, 4, 4), (4, 4, 8, 8))
    LABELS = (1, 1, 1, 2, 1)
    BOX = (0, 0, 4, 4)

    def __init__(self):
        super().__init__()
        self.features = Fixed([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [-1, 0, 0]])

    def forward(self, images):
        """Return the detections of each image."""
        maps = self.features(torch.stack(images))
        boxes, labels = torch.tensor(self.BOXES, dtype=maps.dtype), torch.tensor(self.LABELS)
        means = [maps[:, n, y1:y2, x1:x2].mean((1, 2)) for n, (x1, y1, x2, y2) in enumerate(self.BOXES)]
        return [
            {"boxes": boxes[mean > 0], "labels": labels[mean > 0], "scores": mean[mean > 0].sigmoid()}
            for mean in torch.stack(means, 1)
        ]


def detector(name):
    """Return one of torchvision's detectors, small, with random weights, 3 classes and inputs of 96 pixels."""
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
        network.head.regression_head.bbox_reg.bias.data += 2  # without training its boxes are empty
    network.head.classification_head.cls_logits.weight.data *= 30  # and the scores would hardly differ
    return network


def detection(name):
    """Wrap a detector with a box and label that it detects; return images, target and layer too."""
    torch.manual_seed(4)  # with other seeds, one of the untrained networks has a heatmap without positive values
    network = detector(name).eval()
    x = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        detected = network(list(x))[0]
    return Detection(network, detected["boxes"][0], detected["labels"][0]), x, 1, "wrapped.backbone.2"


def segmenter(classes=3):
    """Return the two parts of a network with a layer of 6 channels and logits (N, classes, 8, 8)."""
    return problem("small")[0].features[:3], nn.Sequential(
        nn.Conv2d(6, classes, 1, dtype=torch.float64), nn.Upsample(scale_factor=2)
    )


def case(name):
    """Return a wrapper, inputs, a target and a layer of the wrapped network."""
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


# -- all wrappers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["grad-cam", slow_unless(False, "fusion-cam")])
@pytest.mark.parametrize("name", CASES)
def test_heatmaps_are_in_range_and_independent_of_the_batch(name, method):
    """Every wrapper is explained at a layer of the wrapped network; a batch equals its single images."""
    wrapper, x, target, layer = case(name)
    model = ExplainedModel(wrapper, layer)

    heatmaps = METHODS[method](model, x, target)

    assert heatmaps.shape == (2, *x.shape[2:])
    assert heatmaps.isfinite().all()
    assert heatmaps.amin() >= 0
    torch.testing.assert_close(heatmaps.amax((1, 2)), torch.ones(2, dtype=heatmaps.dtype))
    singles = torch.cat([METHODS[method](model, x[n : n + 1], target) for n in range(2)])
    # rounding may move a pixel across Fusion-CAM's percentile
    assert ((heatmaps - singles).abs() > 1e-3).float().mean() < 1e-3


@pytest.mark.parametrize("name", CASES)
def test_gains_are_not_zero(name):
    """Masks change the probability, so that Fusion-CAM has gains."""
    wrapper, x, target, layer = case(name)
    model = ExplainedModel(wrapper, layer)

    gains = METHODS["fusion-cam"].ingredients(model, x, target).gains

    assert all((gain.abs() > 1e-6).any() for gain in gains.values())


@pytest.mark.parametrize("name", CASES)
def test_network_is_left_unchanged(name):
    """A wrapper adds no weights, and explaining changes no weight and no flag."""
    wrapper, x, target, layer = case(name)
    wrapper.wrapped.train()
    before = copy.deepcopy(wrapper.wrapped.state_dict())

    METHODS["grad-cam"](ExplainedModel(wrapper, layer), x, target)

    assert list(wrapper.state_dict()) == [f"wrapped.{name}" for name in before]
    assert all(now.equal(before[name]) for name, now in wrapper.wrapped.state_dict().items())
    assert all(one.training for one in wrapper.wrapped.modules())
    assert all(one.grad is None for one in wrapper.parameters())


@pytest.mark.parametrize("wrap", [Segmentation, MultiLabel, Regression])
def test_class_instead_of_network_is_reported(wrap):
    """A class instead of an instance is a common mistake."""
    with pytest.raises(InputTypeError, match="expected a network"):
        wrap(nn.Conv2d)


# -- segmentation -----------------------------------------------------------------------------------------------

LOGITS = [[[[3.0, 0.0], [2.0, 1.0]], [[1.0, 4.0], [1.0, 0.5]], [[0.0, -1.0], [-2.0, 0.0]]]]
REGION = torch.tensor([[True, True], [False, False]])


@pytest.mark.parametrize(
    ("region", "expected"),
    [(REGION, [[1.5, 2.5, -0.5]]), (None, [[6 / 4, 4 / 4, 0.0]])],
)
def test_segmentation_by_hand(region, expected):
    """The mean over the region; without one, the sum over the class's pixels divided by the number of all pixels."""
    scores = Segmentation(Constant(LOGITS), region)(torch.rand(1, 3, 2, 2))

    assert scores.tolist() == expected


def test_segmentation_equals_seg_grad_cam():
    """Grad-CAM's heatmap is the same for the sum of the paper and for the mean."""

    class Sum(nn.Module):
        def forward(self, maps):
            return maps[:, :, region].sum(2)

    wrapper, x, target, layer = case("region")
    region = wrapper.region

    ours = METHODS["grad-cam"](ExplainedModel(wrapper, layer), x, target)
    of_sum = METHODS["grad-cam"](ExplainedModel(Toy(wrapper.wrapped, Sum()), "features.features.1"), x, target)

    torch.testing.assert_close(ours, of_sum)


def test_segmentation_score_falls_when_a_mask_removes_pixels():
    """The remaining pixels keep their logits, but there are fewer of them."""
    x = torch.zeros(1, 2, 4, 4)
    x[0, 0], x[0, 1] = 2.0, 1.0  # all pixels belong to class 0, with logit 2
    masks = torch.zeros(2, 1, 4, 4)
    masks[0], masks[1, :, :2] = 1, 1

    scores = ExplainedModel(Segmentation(Fixed([[1, 0], [0, 1]]))).masked_scores(x, masks, 0, readout="logit")

    assert scores[:, 0].tolist() == [2, 1]


def test_a_class_without_pixels_has_a_gradient_of_zero():
    """Its score is 0, and its flat heatmap raises a warning."""
    network = Toy(Fixed([[1, 0, 0], [0, 1, 0]]), nn.Identity())
    x = torch.rand(1, 3, 4, 4)
    x[:, 1] += 1
    model = ExplainedModel(Segmentation(network), "wrapped.features")

    assert model.scores(x, 0, "logit").tolist() == [0]
    with pytest.warns(FlatHeatmapWarning):
        METHODS["grad-cam"](model, x, 0)


def test_output_may_be_a_tensor_or_a_dict():
    """The key of a dict is "out" or given."""
    x = torch.rand(1, 3, 2, 2)
    expected = Segmentation(Constant(LOGITS), REGION)(x)

    assert Segmentation(Keyed(Constant(LOGITS)), REGION)(x).equal(expected)
    assert Segmentation(Keyed(Constant(LOGITS), "logits"), REGION, "logits")(x).equal(expected)
    with pytest.raises(ShapeError, match="no key 'out'; set output to one of logits, aux"):
        Segmentation(Keyed(Constant(LOGITS), "logits"))(x)


def test_output_may_be_the_only_maps_of_a_tuple():
    """As where a classifier beside the decoder returns scores; others are selected by position or a function."""
    x, scores = torch.rand(1, 3, 2, 2), torch.rand(1, 5)
    expected = Segmentation(Constant(LOGITS), REGION)(x)

    class Several(Constant):
        def forward(self, x):
            maps = super().forward(x)
            return self.form(maps, scores)

    for form, output in (
        (lambda maps, scores: (maps, scores), "out"),
        (lambda maps, scores: {"logits": maps, "loss": None}, "out"),
        (lambda maps, scores: (maps * 2, maps), 1),
        (lambda maps, scores: [maps * 2, maps], lambda output: output[1]),
    ):
        network = Several(LOGITS)
        network.form = form
        assert Segmentation(network, REGION, output)(x).equal(expected)


@pytest.mark.parametrize("classes", [1, 3])
def test_the_default_layer_is_before_the_maps_of_classes(classes):
    """These are the answer, also before they are enlarged; coarse maps come before the fine ones of a decoder."""
    encoder = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.ReLU(), nn.Conv2d(4, 6, 2, stride=2), nn.ReLU())
    decoder = nn.Sequential(nn.ConvTranspose2d(6, 5, 8, stride=8), nn.ReLU(), nn.Conv2d(5, classes, 1))
    small = nn.Sequential(nn.Conv2d(6, classes, 1), nn.Upsample(scale_factor=8))
    for head in (decoder, small):
        model = ExplainedModel(Segmentation(Toy(encoder, head)))
        assert model.layer_for(torch.rand(1, 3, 64, 64)) == "wrapped.features"


def test_one_channel_is_two_classes():
    """The probability of a binary segmentation is the sigmoid of its mean logit."""
    x = torch.rand(1, 3, 2, 2)
    logits = torch.tensor(LOGITS)[:, 1:2]

    inside = Segmentation(Constant(logits.tolist()), REGION)(x)
    own = Segmentation(Constant((logits - 2).tolist()))(x)

    torch.testing.assert_close(inside.softmax(1)[:, 1], torch.tensor([2.5]).sigmoid())
    assert own.tolist() == [[(1 + 1 + 1.5) / 2 / 4, 2 / 2 / 4]]


@pytest.mark.parametrize("region", [torch.ones(2, 2), torch.zeros(2, 2, dtype=torch.bool)])
def test_invalid_region_is_reported(region):
    """A region must be boolean and not empty."""
    with pytest.raises(ShapeError, match="region must be a boolean mask"):
        Segmentation(Constant(LOGITS), region)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Fixed([[1, 0, 0], [0, 1, 0]]), r"output is \(4, 5\), but the region is \(2, 2\)"),
        (Toy(Fixed([[1, 0, 0]]), Pool()), r"expected logits \(N, classes, H, W\) from the network, got \(1, 1\)"),
    ],
)
def test_output_of_another_shape_is_reported(network, message):
    """The output must be maps of the shape of the region."""
    with pytest.raises(ShapeError, match=message):
        Segmentation(network, REGION)(torch.rand(1, 3, 4, 5))


def test_region_may_be_an_array_and_moves_with_the_network():
    """A numpy mask becomes a buffer."""
    wrapper = Segmentation(Constant(LOGITS), REGION.numpy())

    assert wrapper.region.equal(REGION)
    assert wrapper.to("meta").region.device.type == "meta"


# -- detection --------------------------------------------------------------------------------------------------


def probability_of(values, box=Detector.BOX, label=1):
    """Return the probability of "found" for images whose channels have these values."""
    x = torch.tensor(values, dtype=torch.float64)[:, :, None, None].expand(-1, 3, 8, 8)
    return Detection(Detector(), box, label)(x).softmax(1)[:, 1]


def test_detection_by_hand():
    """The highest product of score and IoU of that label; 0 without detections."""
    high, low = torch.tensor([5.0, 2.0], dtype=torch.float64).sigmoid().tolist()

    values = probability_of([[5, 0, 0], [2, 5, 0], [-1, 5, 5], [-1, -1, -1], [-1, 5, -1]])

    # in the fourth image only the last box is detected, which does not overlap; in the fifth only the second box
    expected = [high, low, high / 2, 0, high / 2]
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64), atol=2e-6, rtol=0)


def test_largest_overlap_is_not_always_the_best():
    """Box 1 has the largest IoU, 3/4, but box 0 with 2/3 has the larger product of score and IoU."""
    expected = torch.tensor([5.0], dtype=torch.float64).sigmoid() * 2 / 3

    torch.testing.assert_close(probability_of([[5, 0.1, 0]], box=(0, 0, 4, 6)), expected, atol=2e-6, rtol=0)


def test_detections_of_another_label_do_not_count():
    """Box 3, label 2, detects the mean of the first two channels."""
    score = torch.tensor([2.0], dtype=torch.float64).sigmoid()

    torch.testing.assert_close(probability_of([[2, 2, 0]], label=2), score, atol=2e-6, rtol=0)
    torch.testing.assert_close(probability_of([[5, -5, 0]], label=2), score * 0, atol=2e-6, rtol=0)


def test_score_of_one_has_a_gradient():
    """The heatmap is not flat if the score is 1 to within rounding."""
    x = torch.full((1, 3, 8, 8), 14.0, requires_grad=True)

    Detection(Detector(), Detector.BOX, 1)(x)[0, 1].backward()

    assert x.grad[0, 0, 0, 0] > 0
    assert x.grad[0, :, 4:, 4:].abs().sum() == 0


def test_image_without_detections_has_a_flat_heatmap():
    """Alone, and in a batch with an image that has detections."""
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    x[1] *= -1
    model = ExplainedModel(Detection(Detector(), Detector.BOX, 1), "wrapped.features")

    with pytest.warns(FlatHeatmapWarning, match="image 1 of the batch"):
        heatmaps = METHODS["grad-cam"](model, x, 1)
    with pytest.warns(FlatHeatmapWarning, match="image 0 of the batch"):
        alone = METHODS["grad-cam"](model, x[1:], 1)

    assert heatmaps[0].amax() == 1
    assert heatmaps[1].equal(alone[0])
    assert heatmaps[1].amax() == 0


def test_iou_is_a_constant_factor():
    """A box that depends on the input does not change the gradient, which is that of the score."""

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
def test_detector_without_detections_has_probability_zero(name):
    """With a high threshold an untrained detector has no detections, with or without masks."""
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
def test_invalid_box_is_reported(box):
    """A box is four numbers with x1 < x2 and y1 < y2."""
    with pytest.raises(ShapeError, match="box must be"):
        Detection(Detector(), box, 1)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.rand(1, 7), r"expected predictions as .* return them \(.*\), got \(1, 7\)"),
        ([{"boxes": torch.rand(1, 4), "labels": torch.ones(1)}], "got the keys boxes, labels"),
        ([torch.rand(3, 6)], r", got \(3, 6\)"),
    ],
)
def test_output_of_another_form_is_reported(output, message):
    """Other families of detectors return other outputs."""

    class Other(nn.Module):
        def forward(self, images):
            return output

    with pytest.raises(ShapeError, match=message):
        Detection(Other(), Detector.BOX, 1)(torch.rand(1, 3, 8, 8))


# -- embedding --------------------------------------------------------------------------------------------------


def test_embedding_by_hand():
    """Cosines divided by the temperature; the neutral one is last."""
    references = torch.tensor([[2.0, 0.0], [1.0, 1.0]], requires_grad=True)
    wrapper = Embedding(Constant([[3.0, 0.0], [0.0, 5.0]]), references, temperature=0.5, neutral=0.25)

    scores = wrapper(torch.rand(2, 3, 4, 4))

    torch.testing.assert_close(scores, torch.tensor([[2, 2**0.5, 0.5], [0, 2**0.5, 0.5]]))
    assert not wrapper.references.requires_grad


def test_one_reference_has_a_probability_of_its_own():
    """It is a soft threshold at the neutral cosine, not always 1."""
    wrapper = Embedding(Constant([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0]]))

    probabilities = wrapper(torch.rand(2, 3, 4, 4)).softmax(1)[:, 0]

    torch.testing.assert_close(probabilities, torch.tensor([5.0, (0.5**0.5 - 0.5) * 10]).sigmoid())


def test_references_of_images_leave_the_network_unchanged():
    """They are the network's embeddings in evaluation mode."""
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
    ("references", "error", "message"),
    [
        (torch.rand(3), ShapeError, r"got \(3,\); use references\[None\]"),
        (torch.rand(0, 3), ShapeError, "R > 0"),
        ([[1.0]], ShapeError, "got list"),
        (torch.zeros(1, 3), NonFiniteError, "positive norms"),
        (torch.full((1, 3), torch.nan), NonFiniteError, "positive norms"),
    ],
)
def test_invalid_references_are_reported(references, error, message):
    """References must be rows with a direction."""
    with pytest.raises(error, match=message):
        Embedding(linear(), references)


def test_embeddings_of_another_size_are_reported():
    """They need the size of the references."""
    with pytest.raises(ShapeError, match=r"\(N, 2\) like the references, got \(1, 3\)"):
        Embedding(linear(), torch.rand(1, 2))(torch.rand(1, 3, 4, 4, dtype=torch.float64))


# -- regression and labels ----------------------------------------------------------------------------------------


def test_regression_by_hand():
    """The columns are minus and plus half the distance from the centre in units of the scale."""
    network = Constant([[7.0, 30.0], [7.0, 60.0]])

    scores = Regression(network, 1, centre=40, scale=10)(torch.rand(2, 3, 4, 4))

    assert scores.tolist() == [[0.5, -0.5], [-1, 1]]
    torch.testing.assert_close(scores.softmax(1)[:, 1], torch.tensor([-1.0, 2.0]).sigmoid())


def test_multilabel_by_hand():
    """The probability is the sigmoid of the label's logit alone."""
    scores = MultiLabel(Constant([[7.0, 3.0], [9.0, -2.0]]), 1)(torch.rand(2, 3, 4, 4))

    assert scores.tolist() == [[-1.5, 1.5], [1, -1]]
    torch.testing.assert_close(scores.softmax(1)[:, 1], torch.tensor([3.0, -2.0]).sigmoid())


@pytest.mark.parametrize("wrap", [Regression, MultiLabel])
def test_single_output_may_be_one_dimensional(wrap):
    """(N,) is treated as (N, 1)."""
    x = torch.rand(2, 3, 4, 4)

    assert wrap(Constant([1.0, -3.0]))(x).equal(wrap(Constant([[1.0], [-3.0]]))(x))


def test_gradients_of_the_two_columns_are_opposite():
    """And the centre does not change the gradient."""
    toy, x, _ = problem("small")

    positive, negative, shifted = (
        ExplainedModel(wrapper, "wrapped.features").record(x, target).gradients
        for wrapper, target in ((MultiLabel(toy, 1), 1), (MultiLabel(toy, 1), 0), (Regression(toy, 1, centre=9), 1))
    )

    torch.testing.assert_close(positive, -negative)
    torch.testing.assert_close(positive, shifted)
    torch.testing.assert_close(positive * 2, ExplainedModel(toy, "features").record(x, 1).gradients)


@pytest.mark.parametrize("wrap", [Regression, MultiLabel])
@pytest.mark.parametrize("output", [[[[1.0]]], [[1.0], [2.0]], 1.0])
def test_outputs_of_another_shape_are_reported(wrap, output):
    """The output must have one row per image."""
    with pytest.raises(ShapeError, match=r"\(1, outputs\) or \(1,\)"):
        wrap(Constant(output))(torch.rand(1, 3, 4, 4))


@pytest.mark.parametrize("wrap", [Regression, MultiLabel])
def test_missing_output_is_reported(wrap):
    """The error names the valid indices."""
    with pytest.raises(TargetError, match=r"index must be from 0 to 2, .* got 3"):
        wrap(linear(), 3)(torch.rand(1, 3, 4, 4, dtype=torch.float64))


@pytest.mark.parametrize("index", [-1, 1.0, "cat", True, None])
def test_invalid_index_is_reported(index):
    """For labels, outputs and the labels of detectors."""
    for wrap in (
        lambda: MultiLabel(linear(), index),
        lambda: Regression(linear(), index),
        lambda: Detection(Detector(), Detector.BOX, index),
    ):
        with pytest.raises(TargetError, match="must be an index of at least 0, got"):
            wrap()


def test_integers_of_numpy_and_torch_are_indices():
    """The labels of a detector are tensors."""
    assert MultiLabel(linear(), torch.tensor(2)).label == 2
    assert MultiLabel(linear(), np.int64(2)).label == 2


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_setting_out_of_range_is_reported(value):
    """A negative scale would invert the heatmap."""
    with pytest.raises(SettingError, match="scale must be a positive number"):
        Regression(linear(), scale=value)
    with pytest.raises(SettingError, match="temperature must be a positive number"):
        Embedding(linear(), torch.rand(1, 3), temperature=value)

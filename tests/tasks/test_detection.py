"""Detectors of all forms of output, explained at a box, against plain autograd and loops."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.detection import KeypointRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from detectors import CLASSES, NETWORKS, STRIDE, Head, Queries, Yolo, probabilities, toy
from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import InputTypeError, SettingError, ShapeError, TargetError
from fusioncam.methods.d_rise import DRISE
from fusioncam.tasks import Detection, Detector, FoundBox, find_boxes
from twins import region

BOX, LABEL = (9, 5, 26, 19), 1
FLOOR = 1e-6


def found(name, network, x, box=BOX, label=LABEL):
    """Return the highest product of score and IoU of each image, by loops."""
    best = []
    for boxes, scores in zip(*probabilities(name, network, x), strict=True):
        overlaps = [region.iou(torch.tensor(box), one.detach()) for one in boxes]
        best.append(max(score * overlap for score, overlap in zip(scores[:, label], overlaps, strict=True)))
    return torch.stack(best)


def grad_cam(network, layer, x, score):
    """Return Grad-CAM of a score of one image at a module, by plain autograd."""
    kept = []
    handle = layer.register_forward_hook(lambda module, args, output: kept.append(output))
    value = score(x)
    handle.remove()
    maps = kept[0]
    (gradients,) = torch.autograd.grad(value, maps)
    cam = (gradients.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
    cam = F.interpolate(cam.detach(), x.shape[2:], mode="bilinear")[0, 0]
    return (cam - cam.min()) / (cam.max() - cam.min())


@pytest.mark.parametrize("name", NETWORKS)
def test_score_is_that_of_the_loops(name):
    """The log-odds of the highest product of score and IoU, halved with either sign."""
    network, x = toy(name)

    row = Detection(network, BOX, LABEL)(x)

    expected = torch.logit(FLOOR + (1 - 2 * FLOOR) * found(name, network, x)) / 2
    torch.testing.assert_close(row, torch.stack([-expected, expected], 1))


@pytest.mark.parametrize("name", NETWORKS)
def test_grad_cam_is_that_of_plain_autograd(name):
    """At the default layer, the last one before the head; also where the network detaches the head's input."""
    network, x = toy(name, LABEL)
    model = ExplainedModel(Detection(network, BOX, LABEL))
    last = network.backbone[3] if isinstance(network, Queries) else network.model[3]

    heatmaps = METHODS["grad-cam"](model, x, 1)

    assert model.layer_for(x) in ("wrapped.backbone", "wrapped.model.3")
    by_hand = [grad_cam(network, last, one, lambda x: found(name, network, x).logit()) for one in x.split(1)]
    torch.testing.assert_close(heatmaps, torch.stack(by_hand), atol=1e-6, rtol=0)
    assert heatmaps.std() > 0.05


@pytest.mark.parametrize("name", ["softmax", "yolo"])
def test_heatmap_moves_with_the_object(name):
    """If the object and the box move by some cells, the heatmap moves by as many."""
    network, _ = toy(name, LABEL)
    x = torch.zeros(1, 3, 96, 96, dtype=torch.float64)
    torch.manual_seed(5)
    x[..., 16:32, 16:32] = torch.rand(3, 16, 16)
    moved = x.roll((2 * STRIDE, 3 * STRIDE), (2, 3))

    first = METHODS["grad-cam"](ExplainedModel(Detection(network, (16, 16, 32, 32), LABEL)), x, 1)[0]
    second = METHODS["grad-cam"](ExplainedModel(Detection(network, (40, 32, 56, 48), LABEL)), moved, 1)[0]

    assert first[12:36, 12:36].std() > 0.05
    torch.testing.assert_close(second[28:52, 36:60], first[12:36, 12:36], atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", ["softmax", "yolo without suppression"])
def test_masks_change_the_score(name):
    """Score-CAM needs no more than the scores; the box of a masked image counts as far as it overlaps."""
    network, x = toy(name)

    heatmaps = METHODS["score-cam"](ExplainedModel(Detection(network, BOX, LABEL)), x, 1)

    assert (heatmaps.flatten(1).std(1) > 0.01).all()


def test_network_that_ran_in_inference_mode_is_explained():
    """The anchors that ultralytics' predictor leaves behind are computed again."""
    network, x = toy("yolo", LABEL)
    expected = METHODS["grad-cam"](ExplainedModel(Detection(network, BOX, LABEL)), x, 1)
    network.model[-1].shape = None
    with torch.inference_mode():
        network(x)

    assert network.model[-1].anchors.is_inference()
    assert METHODS["grad-cam"](ExplainedModel(Detection(network, BOX, LABEL)), x, 1).equal(expected)


def test_layer_inside_the_head_can_be_named():
    """Only the default layer is none of the head."""
    network, x = toy("softmax", LABEL)

    heatmaps = METHODS["grad-cam"](ExplainedModel(Detection(network, BOX, LABEL), "wrapped.head"), x, 1)

    assert heatmaps.shape == (2, 32, 48)


@pytest.mark.parametrize("name", ["softmax", "yolo", "yolo without suppression"])
def test_boxes_are_those_of_the_loops(name):
    """The most confident predictions without those that overlap a better one of the same label."""
    network, x = toy(name)
    boxes, scores = (one[0].detach() for one in probabilities(name, network, x))
    best, labels = scores.max(1)
    kept = []
    for index in best.argsort(descending=True).tolist():
        rivals = [other for other in kept if labels[other] == labels[index]]
        if best[index] >= 0.3 and all(region.iou(boxes[index], boxes[other]) <= 0.3 for other in rivals):
            kept.append(index)

    (first, _) = find_boxes(network, x, threshold=0.3, overlap=0.3, limit=4)

    assert len(first) >= 2
    for one, index in zip(first, kept[:4], strict=True):
        assert one.label == labels[index]
        assert one.score == pytest.approx(best[index].item())
        assert one.box == pytest.approx(boxes[index].tolist())


def test_found_box_is_what_is_explained():
    """The probability at a box that was found is its score, and the names of the columns are the label's."""
    network, x = toy("softmax")
    ((box, *_), _) = find_boxes(network, x, threshold=0)

    model = ExplainedModel(Detection(network, box.box, box.label))

    assert isinstance(box, FoundBox)
    assert model.scores(x, 1, "probability")[0].item() == pytest.approx(box.score, abs=1e-5)
    assert model.labels == (f"no {network.config.id2label[box.label]}", network.config.id2label[box.label])


@pytest.mark.parametrize("name", NETWORKS)
def test_row_of_a_detector_has_the_best_score_of_each_class(name):
    """The log-odds of the highest score anywhere."""
    network, x = toy(name)
    _, scores = probabilities(name, network, x)
    detector = Detector(network, classes=CLASSES)

    torch.testing.assert_close(detector(x), torch.logit(FLOOR + (1 - 2 * FLOOR) * scores.amax(1)))
    assert ExplainedModel(detector).labels == ("cat", "dog", "bicycle")


def test_detector_of_labels_needs_the_number_of_classes():
    """The output does not show it."""
    with pytest.raises(SettingError, match=r"Detector\(network, classes=...\)"):
        Detector(toy("yolo without suppression")[0])(torch.rand(1, 3, 32, 48, dtype=torch.float64))


@pytest.mark.parametrize("name", ["softmax", "sigmoid", "yolo"])
def test_d_rise_equals_its_twin(name):
    """With the class probabilities of each image's own prediction."""
    network, x = toy(name)
    model = ExplainedModel(Detection(network, BOX, LABEL))

    heatmaps = DRISE(masks=12, cells=3)(model, x, 1)

    def detect(image):
        boxes, scores = probabilities(name, network, image[None])
        return boxes[0].detach(), scores[0].detach()

    box = torch.tensor(BOX, dtype=x.dtype)
    slow = torch.stack([region.d_rise(detect, image, box, LABEL, masks=12, cells=3) for image in x])
    torch.testing.assert_close(heatmaps, slow, atol=2e-5, rtol=0)  # the floor of the log-odds


def test_d_rise_of_labels_compares_labels():
    """Where the detector returns labels only, the score is that of the label."""
    network, x = toy("yolo without suppression")
    detection = Detection(network, BOX, LABEL)

    assert detection.matching(x[:1]) is detection


def test_network_may_take_a_list_of_images():
    """As torchvision's interface demands; a tensor is refused."""

    class Listed(nn.Module):
        def forward(self, images):
            x = torch.stack(images)
            return [
                {"boxes": one[None, 0, 0, :4], "labels": torch.tensor([1]), "scores": one.mean()[None]} for one in x
            ]

    x = torch.arange(1.0, 49).reshape(1, 3, 4, 4) / 48
    row = Detection(Listed(), x[0, 0, 0, :4], 1)(x)

    torch.testing.assert_close(row.softmax(1)[0, 1], x.mean(), atol=2e-6, rtol=0)


def test_error_of_the_network_itself_is_raised():
    """It is that of the tensor, not that of the list that is tried then."""

    class Broken(nn.Module):
        def forward(self, x):
            raise AttributeError("no such part" if isinstance(x, torch.Tensor) else "no shape")

    with pytest.raises(AttributeError, match="no such part"):
        Detection(Broken(), BOX, 1)(torch.rand(1, 3, 8, 8))


def test_label_that_the_network_lacks_is_reported():
    """The scores show how many classes there are."""
    network, x = toy("softmax")

    with pytest.raises(TargetError, match="label must be from 0 to 2, the network's classes, got 3"):
        Detection(network, BOX, 3)(x)


def test_rotated_boxes_are_refused():
    """Their IoU is another one."""

    class OBB(Head):
        pass

    network = Yolo(others=1)
    network.model[-1] = OBB(1)
    with pytest.raises(ShapeError, match=r"rotated boxes \(OBB\)"):
        Detection(network, BOX, 1)(torch.rand(1, 3, 32, 48))


def test_what_is_no_network_is_reported():
    """Also by the function that finds boxes."""
    with pytest.raises(InputTypeError, match="expected a network"):
        find_boxes("yolov8n.pt", torch.rand(1, 3, 8, 8))


@pytest.mark.slow
def test_keypoint_rcnn_of_torchvision():
    """Its boxes are those of Faster R-CNN; the default layer is in the backbone and changes the score."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.ReLU(), nn.Conv2d(8, 32, 3, 2, 1), nn.ReLU())
    backbone.out_channels = 32
    pools = {f"{part}_roi_pool": MultiScaleRoIAlign(["0"], size, 2) for part, size in (("box", 7), ("keypoint", 14))}
    network = KeypointRCNN(
        backbone,
        num_classes=2,
        num_keypoints=3,
        min_size=96,
        max_size=96,
        rpn_anchor_generator=AnchorGenerator(((16, 32, 64),), ((0.5, 1.0, 2.0),)),
        rpn_post_nms_top_n_test=10,
        box_score_thresh=0,
        box_detections_per_img=2,  # the head of key points is large
        **pools,
    ).eval()
    x = torch.rand(1, 3, 96, 96)
    ((box, *_),) = find_boxes(network, x, threshold=0)
    model = ExplainedModel(Detection(network, box.box, box.label))

    heatmap = METHODS["grad-cam"](model, x, 1)

    assert model.layer_for(x) == "wrapped.backbone"
    assert model.scores(x, 1, "probability").item() == pytest.approx(box.score, abs=1e-5)
    assert heatmap.std() > 0.01

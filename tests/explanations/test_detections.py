"""Every box that a detector finds is explained, and all are shown in one overlay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fusioncam as fc
from detectors import Yolo, confident
from fusioncam.errors import FusionCamWarning, TargetError
from fusioncam.explanations.detections import overlay_boxes
from fusioncam.tasks import Detection, find_boxes


def explained(**settings):
    """Return the explanations of all chosen boxes by LayerCAM, with the model and the image."""
    model, image = confident()
    return list(fc.explain_each([image], model=model, methods=["layer-cam"], **settings)), model, image


def test_every_confident_box_is_explained():
    """Each heatmap is that of its box, with the name and the score of its class."""
    explanations, model, image = explained()
    x = model.preprocessing(image)[None]
    (found,) = find_boxes(model.network, x, limit=10)

    assert 2 <= len(explanations) == len(found)
    for one, box in zip(explanations, found, strict=True):
        expected = fc.METHODS["layer-cam"](
            fc.ExplainedModel(Detection(model.network.wrapped, box.box, box.label)), x, 1
        )
        torch.testing.assert_close(one.heatmap, expected[0], atol=1e-5, rtol=0)
        assert (one.box, one.target, one.label) == (box.box, box.label, model.labels[box.label])
        assert one.probability == pytest.approx(box.score, abs=1e-5)
        assert one.facts()["box"] == pytest.approx(box.box, abs=0.01)


def test_targets_choose_boxes():
    """The most confident ones, or those of a class, whatever their score; explain returns the first."""
    everything, model, image = explained(target="top4")
    (label, *_) = [one.label for one in everything if one.label != everything[0].label] or [everything[0].label]
    of_class, *_ = explained(target=label)

    assert len(everything) == 4
    assert [one.probability for one in everything] == sorted((one.probability for one in everything), reverse=True)
    assert {one.label for one in of_class} == {label}
    assert fc.explain(image, model=model, method="layer-cam").box == everything[0].box


def test_class_without_a_confident_box_is_explained_with_a_warning():
    """At the box where its score is highest."""
    model, image = confident()
    model.network.wrapped.head.bias.data[2] -= 20

    with pytest.warns(
        FusionCamWarning, match="no box has a score of at least 0.25: the one with the highest score, 0.0"
    ):
        explanations = list(fc.explain_each([image], model=model, methods=["layer-cam"], target="bicycle"))

    assert [one.label for one in explanations] == ["bicycle"]


def test_unknown_class_is_reported():
    """By the names of the network."""
    model, image = confident()

    with pytest.raises(TargetError, match="unicycle"):
        fc.explain(image, model=model, target="unicycle")


def test_box_is_explained_by_another_method_and_checked():
    """The network and the target of the explanation are those of the box."""
    (first, *_), model, image = explained()

    other = first.by("grad-cam")

    box = Detection(model.network.wrapped, first.box, first.target)
    expected = fc.METHODS["grad-cam"](fc.ExplainedModel(box), model.preprocessing(image)[None], 1)
    torch.testing.assert_close(other.heatmap, expected[0], atol=1e-5, rtol=0)
    assert (other.box, other.label) == (first.box, first.label)


def test_overlay_shows_the_boxes():
    """A white outline at the image's own resolution; all boxes are in one overlay of the highest values."""
    explanations, *_ = explained()
    first = explanations[0]
    x1, y1, x2, y2 = (
        min(max(round(2 * side), 0), limit) for side, limit in zip(first.box, (95, 63) * 2, strict=True)
    )

    pixels = np.asarray(first.overlay())
    both = np.asarray(overlay_boxes(explanations))

    assert pixels.shape == both.shape == (64, 96, 3)
    assert (pixels[(y1 + y2) // 2, x2] == 255).all() or (pixels[y2, (x1 + x2) // 2] == 255).all()
    assert ((both == 255).all(2).sum()) > ((pixels == 255).all(2).sum())


def test_bare_detector_is_recognised():
    """A network like those of ultralytics needs no wrapper; layers are named without it."""
    model, image = confident()
    torch.manual_seed(0)
    model = fc.ExplainedModel(Yolo().eval(), "model.1", preprocessing=model.preprocessing)

    explanations = list(fc.explain_each([image], model=model, methods=["layer-cam"], target="top2"))

    assert [one.layer for one in explanations] == ["wrapped.model.1"] * 2

"""What the page computes: heatmaps by the models, layers, classes and methods that it offers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import pytest
import torch

from fusioncam import explain
from fusioncam.app import session as session_module
from fusioncam.app.cached_explanation import CachedExplanation, CachedMethod
from fusioncam.app.session import DEFAULT_METHODS, Session
from fusioncam.errors import MethodError, NonFiniteError, SettingError, TargetError, UnknownNameError
from fusioncam.methods.fusion import FusionCAM
from fusioncam.methods.registry import METHODS
from samples import LABELS, photo

MODEL = "samples:small"


@pytest.fixture(scope="module")
def session() -> Session:
    """Open a session of the small network."""
    return Session.open([MODEL], device="cpu")


@pytest.fixture(scope="module")
def explained(session: Session) -> CachedExplanation:
    """Explain the cat by the page's default method."""
    return session.explain(photo(), "cat.png", model=MODEL)


def same_heatmap(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two heatmaps are equal within rounding."""
    return torch.allclose(one, other, atol=1e-5)


@dataclass(frozen=True, eq=False)
class CountedMethod:
    """A method that counts its calls."""

    method: object
    calls: list[int] = field(default_factory=list)

    def __call__(self, model, x, target):
        """Count the call and return the method's heatmaps."""
        self.calls.append(1)
        return self.method(model, x, target)


def test_the_page_explains_as_the_library_does(session, explained):
    """Heatmap and facts equal those of the same SPEC."""
    own = explain(photo(), model=session.models[MODEL], method="fusion-cam(budget=64)")

    assert same_heatmap(explained.explanation.heatmap, own.heatmap)
    assert explained.explanation.source == "cat.png"
    drop = {"image", "seconds"}
    ours, theirs = ({k: v for k, v in one.facts().items() if k not in drop} for one in (explained.explanation, own))
    for facts in (ours, theirs):
        facts["full_cost"].pop("seconds")
        facts |= {"gains": {name: round(gain, 5) for name, gain in facts["gains"].items()}}
    assert ours == theirs


@pytest.mark.parametrize("theta", [0, 10, 55.5, 100])
def test_another_theta_needs_four_passes(session, explained, theta):
    """The cached maps are fused again, and only the gains are computed; the result equals a new explanation."""
    again = explained.at_theta(theta)
    expected = explain(photo(), model=session.models[MODEL], method=again.explanation.method)

    assert again.explanation.method == f"fusion-cam(budget=64, theta={theta:g})"
    assert same_heatmap(again.explanation.heatmap, expected.heatmap)
    assert again.explanation.gains == pytest.approx(expected.gains, abs=1e-6)
    assert again.explanation.passes == 4
    assert again.theta == theta


def test_partners_run_once(session):
    """Another theta computes neither map again."""
    methods = CountedMethod(METHODS["grad-cam"]), CountedMethod(METHODS["score-cam"])
    with patch.object(
        session_module, "as_method", lambda spec: (spec, FusionCAM(gradient=methods[0], region=methods[1]))
    ):
        one = session.explain(photo(), "cat.png", model=MODEL)
    one.at_theta(30).at_theta(60)

    assert [len(method.calls) for method in methods] == [1, 1]


def test_explain_accepts_theta(session):
    """Another class or layer is explained with the visitor's theta."""
    one = session.explain(photo(), "cat.png", model=MODEL, theta=40)

    assert one.theta == 40
    assert one.explanation.method == "fusion-cam(budget=64, theta=40)"
    assert same_heatmap(
        one.explanation.heatmap, session.explain(photo(), "", model=MODEL).at_theta(40).explanation.heatmap
    )


def test_layers_of_both_signs_get_a_larger_budget(session):
    """The channels of a convolution have both signs, those of a ReLU one."""
    assert session.explain(photo(), "", model=MODEL, layer="conv").explanation.method == "fusion-cam(budget=128)"
    assert session.explain(photo(), "", model=MODEL, layer="act").explanation.method == "fusion-cam(budget=64)"


@pytest.mark.parametrize("method", DEFAULT_METHODS)
def test_every_default_method_works(session, method):
    """Each returns a heatmap of the input's size; only fusion-cam has a theta."""
    one = session.explain(photo(), "cat.png", model=MODEL, method=method, target="birch")

    assert one.explanation.heatmap.shape == (32, 32)
    assert one.explanation.class_name == "birch"
    assert (one.theta is not None) == (method == "fusion-cam")


def test_only_fusion_cam_has_a_theta(session):
    """The error names fusion-cam."""
    with pytest.raises(MethodError, match="grad-cam has no theta: choose fusion-cam"):
        session.explain(photo(), "cat.png", model=MODEL, method="grad-cam").at_theta(20)


def test_predicted_classes_are_the_most_probable(session):
    """At most five, sorted by probability, by the first of their names."""
    predictions = session.predict_classes(photo(), MODEL)
    probabilities = [one.probability for one in predictions]

    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    assert {one.name for one in predictions} == {label.split(",")[0] for label in LABELS}
    assert explain(photo(), model=session.models[MODEL]).target == predictions[0].index


def test_layers_start_with_the_default(session):
    """Others follow from the last to the first."""
    assert session.layers(MODEL) == ["act", "conv"]


INVALID = [
    (
        {"model": "timm:resnet50"},
        UnknownNameError,
        "this page does not offer the model 'timm:resnet50'; choose from samples:small",
    ),
    ({"model": "os:getcwd"}, UnknownNameError, "does not offer the model 'os:getcwd'"),
    ({"model": {"path": "/etc/passwd"}}, UnknownNameError, "does not offer the model {'path': "),
    ({"layer": "fc"}, UnknownNameError, "this page does not offer the layer 'fc'; choose from act, conv"),
    ({"layer": ["act"]}, UnknownNameError, "does not offer the layer ['act']"),
    ({"method": "rise"}, UnknownNameError, "this page does not offer the method 'rise'"),
    ({"method": "fusion-cam(budget=9999)"}, UnknownNameError, "does not offer the method 'fusion-cam(budget=9999)'"),
    ({"method": None}, UnknownNameError, "does not offer the method None"),
    ({"target": "unicorn"}, TargetError, "the network has no class 'unicorn'"),
    ({"target": 5}, TargetError, "class 5 does not exist"),
    ({"target": "top3"}, MethodError, "choose one class"),
    ({"theta": 101}, SettingError, "theta must be a percentile between 0 and 100"),
    ({"theta": "10"}, SettingError, "theta must be a percentile between 0 and 100"),
    ({"theta": float("nan")}, SettingError, "theta must be a percentile between 0 and 100"),
]


@pytest.mark.parametrize(("choices", "kind", "message"), INVALID, ids=[str(case[0]) for case in INVALID])
def test_invalid_choices_are_reported(session, choices, kind, message):
    """Names are looked up before anything is loaded or run."""
    with pytest.raises(kind, match=re.escape(message)):
        session.explain(photo(), "cat.png", **{"model": MODEL} | choices)


def test_invalid_offers_are_reported_at_the_start():
    """Errors are raised before the first visitor comes."""
    with pytest.raises(UnknownNameError, match="gradcam"):
        Session.open([MODEL], ["gradcam"])
    with pytest.raises(UnknownNameError, match="unknown model"):
        Session.open(["resnet50"])


def test_nan_scores_are_reported():
    """A network with NaN scores has no most probable class."""
    with pytest.raises(NonFiniteError, match="scores contain NaN or infinity"):
        Session.open(["samples:nan"]).predict_classes(photo(), "samples:nan")


@pytest.mark.parametrize("theta", [10, 60])
def test_a_card_equals_that_of_the_same_method(session, theta):
    """Cached maps serve one image and model only: the check computes maps of its noisy images anew."""
    explained = session.explain(photo(), "cat.png", model=MODEL).at_theta(theta)
    own = explain(photo(), model=session.models[MODEL], method=explained.explanation.method)
    ours, theirs = explained.explanation.check(), own.check()

    assert [one.level for one in ours.questions] == [one.level for one in theirs.questions]
    for one, other in zip(ours.questions, theirs.questions, strict=True):
        assert one.figures == pytest.approx(other.figures, abs=1e-4)
    assert explained.at_theta(20).explanation.passes == 4


def test_a_cached_method_keeps_its_first_result(session):
    """The same arguments return it; other arguments call the method."""
    method = CountedMethod(METHODS["grad-cam"])
    kept, model = CachedMethod(method), session.models[MODEL]
    x = model.preprocessing(photo())[None]
    first = kept(model, x, 1)

    assert kept(model, x.clone(), torch.tensor([1])) is first
    assert not same_heatmap(kept(model, x, 2), first)
    assert not same_heatmap(kept(model, x.flip(3), 1), first)
    assert not same_heatmap(kept(model.with_layer("conv"), x, 1), first)
    assert kept(model, x, 1) is first
    assert (len(method.calls), len(kept.first)) == (4, 1)
    assert replace(kept, method=METHODS["grad-cam"]).first == []

"""Choose the class to explain: by index, by name, by probability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import samples
from fusioncam import Explanation, explain, explain_each
from fusioncam.errors import TargetError
from samples import CAT

FAST = "grad-cam"


def explain_small(target: int | str | None = None, method: str = FAST) -> Explanation:
    """Explain the cat with the small network of the samples."""
    return explain(CAT, model=samples.small(), method=method, target=target)


@pytest.mark.parametrize(
    ("target", "index"),
    [(1, 1), ("1", 1), (" 1 ", 1), ("birch", 1), ("White BIRCH", 1), ("birch, white birch", 1), (0, 0), (4, 4)],
)
def test_targets_are_indices_or_names(target, index):
    """A target is an index, an index as text, or a name in any case."""
    assert explain_small(target).target == index


def test_the_default_target_is_the_prediction(lite0):
    """Without a target the predicted class is explained; another class has another heatmap."""
    best, other = (explain(CAT, model=lite0, method=FAST, target=target) for target in (None, "tusker"))
    assert (best.target, other.target) == (282, 101)
    assert best.probability > 100 * other.probability
    assert (best.heatmap - other.heatmap).abs().mean() > 0.05


@pytest.mark.parametrize(
    "target", [np.int64(2), np.argmax([0, 1, 5, 2]), torch.tensor(2), torch.tensor([0, 0, 9]).argmax()]
)
def test_targets_of_numpy_and_torch_are_indices(target):
    """The result of argmax is a valid target."""
    assert explain_small(target).target == 2


def explain_each_of_one(image: Path, method: str, **settings: object) -> list[Explanation]:
    """Explain one image by ``explain_each``."""
    return list(explain_each([image], methods=[method], **settings))


@pytest.mark.parametrize("call", [explain, explain_each_of_one])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (5, "class 5 does not exist: choose an index from 0 to 4"),
        (-1, "class -1 does not exist"),
        ("-1", "class -1 does not exist"),
        ("brich", "did you mean 'birch'"),
        ("", "the network has no class"),
        ("top 3 classes", "the network has no class"),
        (1.5, "1.5"),
        (True, "bool|True"),
        ([1, 2], "2 targets for 1 images"),
        ([], "0 targets for more images"),
        ([[1]], r"\[1\]"),
        (b"elm", "elm"),
        (torch.tensor([1, 2]), "2 targets for 1 images"),
        ([0.5, 0.5], "the network has 5 classes, got weights"),
        ([0.0] * 5, "must be finite and not all 0"),
        ({"brich": 1}, "did you mean 'birch'"),
        ({"elm": "much"}, "the weight of class 'elm' must be a number, got 'much'"),
        ({}, "must be finite and not all 0"),
        (lambda scores: scores, r"must return one number for each row .* got \(1, 5\)"),
    ],
)
def test_invalid_targets_are_reported(call, target, message):
    """Classes that do not exist, and values that are not classes, are reported with the value."""
    with pytest.raises(TargetError, match=message):
        call(CAT, model=samples.small(), method=FAST, target=target)


def test_a_name_needs_class_names():
    """A network without class names is explained by index, and the error says how to give names."""
    nameless = samples.explained(samples.Small(), labels=None)
    with pytest.raises(TargetError, match=r"no class names; use an index"):
        explain(CAT, model=nameless, method=FAST, target="elm")
    explanation = explain(CAT, model=nameless, method=FAST, target=3)
    assert (explanation.label, explanation.class_name) == (None, "3")


def test_class_name_is_the_first_synonym():
    """The label keeps all synonyms."""
    explanation = explain_small("white birch")
    assert (explanation.class_name, explanation.label) == ("birch", "birch, white birch")


def test_wrong_number_of_class_names_is_reported():
    """Three names for five classes would name the wrong classes."""
    with pytest.raises(TargetError, match="3 class names for a network of 5 classes"):
        explain(CAT, model=samples.explained(samples.Small(), ("a", "b", "c")), method=FAST)


@pytest.mark.parametrize("target", ["top3", "top-3", "TOP3", " top3 "])
def test_top_classes_come_in_order(target):
    """top3 yields three heatmaps of an image, of the most probable class first."""
    three = list(explain_each([CAT], model=samples.small(), methods=[FAST], target=target))
    probabilities = [one.probability for one in three]
    assert len({one.target for one in three}) == 3
    assert probabilities == sorted(probabilities, reverse=True)
    assert three[0].target == explain_small().target


def test_explain_rejects_several_classes():
    """explain returns one heatmap: the error names explain_each, which returns several."""
    with pytest.raises(TargetError, match=r"explain_each\(\.\.\., target='top3'\)"):
        explain_small("top3")
    assert explain_small("top1").target == explain_small().target


@pytest.mark.parametrize("target", ["top0", "top6", "top99999999999999999999"])
def test_top_of_more_classes_than_exist_is_reported(target):
    """The error states how many classes exist."""
    with pytest.raises(TargetError, match="choose from top1 to top5"):
        list(explain_each([CAT], model=samples.small(), methods=[FAST], target=target))


def test_class_names_may_start_with_top():
    """Classes called 'topaz' or 'top hat' are found by their names."""
    model = samples.explained(samples.Small(), ("topaz", "top hat", "a", "b", "c"))
    assert explain(CAT, model=model, method=FAST, target="topaz").target == 0
    assert explain(CAT, model=model, method=FAST, target="top hat").target == 1

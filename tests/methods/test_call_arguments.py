"""What methods and metrics take beside a model and class indices: networks, weights, functions and arrays."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fusioncam import METHODS, METRICS, ExplainedModel, cached_passes
from fusioncam.errors import InputTypeError, MethodError, SettingError, TargetError, UnknownNameError
from fusioncam.inference.costs import count_passes
from fusioncam.methods import FusionCAM, GradCAM
from fusioncam.metrics import Insertion
from fusioncam.model.scores import coefficients
from fusioncam.trust import check
from toys import CLASSES, problem

CONTRAST = torch.tensor([[0.0, 1.0, -1.0]])


def contrast(scores: Tensor) -> Tensor:
    """Return the difference of two classes."""
    return scores[:, 1] - scores[:, 2]


FORMS = [CONTRAST, CONTRAST[0], [0.0, 1.0, -1.0], {1: 1, 2: -1.0}, contrast]


@pytest.fixture(scope="module")
def case():
    """Return a network, two images, and their maps at the layer as a function of the images."""
    toy, x, _ = problem("small")
    return toy.eval(), x


@pytest.mark.parametrize("target", FORMS, ids=["rows", "row", "list", "dict", "function"])
def test_every_form_of_a_contrast_equals_plain_autograd(case, target):
    """Grad-CAM of the difference of two logits."""
    toy, x = case
    maps = toy.features(x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(contrast(toy.head(maps.clone())).sum(), maps)
    record = ExplainedModel(toy, "features").record(x, target)

    torch.testing.assert_close(record.gradients, gradient, rtol=0, atol=1e-9)
    assert METHODS["grad-cam"](ExplainedModel(toy, "features"), x, target).shape == (len(x), *x.shape[2:])


@pytest.mark.parametrize("name", sorted({"score-cam", "fusion-cam(budget=3)", "recipro-cam", "cam", "shapley-cam"}))
def test_methods_agree_on_the_forms(case, name):
    """Functions apply to masked images too, which are batches of any size in any order."""
    toy, x = problem("linear")[:2] if name == "cam" else case
    maps = [METHODS[name](ExplainedModel(toy, "features"), x, target) for target in FORMS]
    for other in maps[1:]:
        torch.testing.assert_close(other, maps[0], rtol=0, atol=1e-6)


def test_a_function_may_be_curved(case):
    """Its derivative at the logits weights the classes."""
    toy, x = case
    logits = ExplainedModel(toy).logits(x)
    found = coefficients(lambda scores: scores[:, 0] ** 2 - scores[:, 1], logits)
    expected = torch.stack([2 * logits[:, 0], -torch.ones(len(x)), torch.zeros(len(x))], 1)

    torch.testing.assert_close(found, expected, check_dtype=False)
    torch.testing.assert_close(coefficients([2] * len(x), logits), torch.eye(3)[[2] * len(x)].to(logits))


def test_finer_cam_of_a_contrast_subtracts_other_classes(case):
    """The reference is the only class that is not in the contrast."""
    toy, x = case
    model = ExplainedModel(toy, "features")
    finer = METHODS["finer-cam(gamma=0.5)"](model, x, CONTRAST)
    expected = METHODS["grad-cam"](model, x, torch.tensor([[-0.5, 1.0, -1.0]]))

    torch.testing.assert_close(finer, expected)
    with pytest.raises(MethodError, match="there are none; use grad-cam"):
        METHODS["finer-cam"](model, x, [1.0, 1.0, -1.0])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([1.0, 2.0], "weights of 2 classes for 2 images, and the scores are"),
        (torch.ones(3, 3), r"floating-point weights of the classes, one row for each of 2 images"),
        ({5: 1.0}, r"must have indices from 0 to 2, got \{5: 1.0\}"),
        ({"cat": 1.0}, "maps class indices to weights|targets must be"),
        (lambda scores: scores.sum(), r"must return one number for each row of the scores \(2, 3\)"),
        (lambda scores: 1.0, "got float"),
    ],
)
def test_wrong_targets_are_reported(case, target, message):
    """The message says what the target must be."""
    toy, x = case
    with pytest.raises(TargetError, match=message):
        METHODS["grad-cam"](ExplainedModel(toy, "features"), x, target)


def test_without_a_target_the_predicted_class_is_explained(case):
    """For each image its own."""
    toy, x = case
    model = ExplainedModel(toy, "features")
    predicted = toy(x).argmax(1)
    assert len(set((toy(x) * torch.tensor([1.0, 1.0, 1.0])).argmax(1).tolist())) >= 1

    torch.testing.assert_close(METHODS["score-cam"](model, x, None), METHODS["score-cam"](model, x, predicted))
    drop = METRICS["average-drop"]
    heatmaps = torch.rand(len(x), *x.shape[2:], dtype=x.dtype)
    torch.testing.assert_close(drop(model, x, None, heatmaps), drop(model, x, predicted, heatmaps))


def test_networks_and_arrays_are_taken(case):
    """A bare network stands for its model, and an array of pytorch-grad-cam's for heatmaps."""
    toy, x = case
    model = ExplainedModel(toy)
    heatmaps = METHODS["fusion-cam(budget=3)"](toy, x, 1)
    torch.testing.assert_close(heatmaps, METHODS["fusion-cam(budget=3)"](model, x, 1))
    for name in ("insertion(steps=3)", "complexity", "average-drop"):
        values = METRICS[name](toy, x, 1, heatmaps.numpy())
        torch.testing.assert_close(values, METRICS[name](model, x, 1, heatmaps))
    curve = METRICS["insertion(steps=3)"].curve(toy, x, 1, heatmaps.numpy()[:, ::-1])
    torch.testing.assert_close(curve, METRICS["insertion(steps=3)"].curve(model, x, 1, heatmaps.flip(1)))
    assert METHODS["center"](toy, x, 1).shape == heatmaps.shape


def test_a_check_takes_a_network_and_an_array(case):
    """And the predicted class; weights and functions have no trust card."""
    toy, x = case
    heatmap = METHODS["grad-cam"](toy, x[:1])[0]
    card, same = (check(one, x[:1], target, heatmap.numpy(), "grad-cam")
                  for one, target in ((toy, None), (ExplainedModel(toy), int(toy(x[:1]).argmax()))))  # fmt: skip
    assert [one.level for one in card.questions] == [one.level for one in same.questions]
    for target in (CONTRAST, contrast):
        with pytest.raises(TargetError, match="a check needs the index of one class"):
            check(toy, x[:1], target, heatmap, "grad-cam")


@pytest.mark.parametrize("heatmaps", [[[0.0]], "map", np.array([["a"]])])
def test_other_heatmaps_are_reported(case, heatmaps):
    """The message names what is taken."""
    with pytest.raises(InputTypeError, match="heatmaps must be a tensor or an array"):
        METRICS["complexity"](case[0], case[1], 1, heatmaps)


@pytest.mark.parametrize("model", ["resnet18", None, 3])
def test_other_models_are_reported(case, model):
    """A name is for fc.explain."""
    with pytest.raises(InputTypeError, match="expected an ExplainedModel or a network"):
        METHODS["grad-cam"](model, case[1], 1)


class Tracked(Tensor):
    """A subclass that fails in every operation, as one of another library may in some."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function.__name__ not in ("as_subclass", "__get__", "dim", "__len__"):
            raise RuntimeError(f"{function.__name__} was called on a tensor that is tracked")
        return super().__torch_function__(function, types, args, kwargs or {})


@pytest.mark.parametrize("name", ["grad-cam", "score-cam", "edges", "integrated-gradients(steps=2)"])
def test_subclasses_of_tensors_become_plain(case, name):
    """Their own operations never run."""
    toy, x = case
    heatmaps = METHODS[name](toy, x.as_subclass(Tracked), 1)
    assert type(heatmaps) is Tensor
    torch.testing.assert_close(heatmaps, METHODS[name](toy, x, 1))


def test_arguments_are_turned_once_within_cached_passes(case):
    """A network, a subclass and None do not prevent that methods share their passes."""
    toy, x = case
    tracked = x.as_subclass(Tracked)
    with count_passes() as alone:
        METHODS["grad-cam"](toy, tracked, None)
    with cached_passes(), count_passes() as together:
        for name in ("grad-cam", "layer-cam", "grad-cam"):
            METHODS[name](toy, tracked, None)
    assert together.passes == alone.passes


def test_names_with_settings_are_keys():
    """They are parsed; the registries list their plain names only."""
    assert METHODS["fusion-cam(budget=24)"] == FusionCAM(budget=24)
    assert METRICS["insertion(steps=8)"] == Insertion(steps=8)
    assert METHODS["grad-cam"] == GradCAM()
    assert "fusion-cam(budget=24)" not in METHODS
    assert METHODS.get("no-cam") is None
    assert pickle.loads(pickle.dumps(METHODS))["score-cam(budget=3)"] == METHODS["score-cam(budget=3)"]
    with pytest.raises(UnknownNameError, match="did you mean 'grad-cam'"):
        METHODS["gradcam"]
    with pytest.raises(SettingError, match="names 2 methods: use one, or explain_each"):
        METHODS["grad-cam|layer-cam"]
    with pytest.raises(InputTypeError, match="expected the name of a metric, got 3"):
        METRICS[3]


def test_a_layer_may_be_a_function_of_the_network(case):
    """It returns a module or a name."""
    toy, _ = case
    assert ExplainedModel(toy, lambda network: network.features[2]).layer == "features.2"
    assert ExplainedModel(nn.Sequential(toy), lambda network: "0.features[-1]").layer == "0.features.4"
    assert CLASSES == 3

"""Methods and metrics return tensors without a graph, and work inside ``torch.inference_mode()``."""

from __future__ import annotations

import gc
import warnings

import pytest
import torch

from fusioncam import METHODS, ExplainedModel
from fusioncam.metrics.registry import METRICS
from fusioncam.trust.assess import check
from metric_cases import METHOD, case
from problems import LAYER, TESTED
from samples import Small
from selection import OF_TRANSFORMERS
from toys import problem
from twins import attention

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:.*constant heatmap")]

MODES = (torch.enable_grad, torch.inference_mode)


def model_for(name):
    """Return a model that the method supports, with images that require a gradient, and targets."""
    toy, x, target = (
        attention.problem() if name in OF_TRANSFORMERS else problem("linear" if name == "cam" else "small")
    )
    return ExplainedModel(toy, None if name in OF_TRANSFORMERS else LAYER), x.requires_grad_(), target


def graphs():
    """Return how many tensors are part of a graph."""
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about attributes of other objects
        return sum(isinstance(one, torch.Tensor) and one.grad_fn is not None for one in gc.get_objects())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", METHODS)
def test_heatmaps_hold_no_graph(name, mode):
    """Whatever requires a gradient, and in each of torch's modes; in inference mode, x and target are made there."""
    model, x, target = model_for(name)
    expected = TESTED[name](model, x.detach(), target)
    with mode():
        if mode is torch.inference_mode:
            x, target = x.clone(), torch.as_tensor(target).clone()
        heatmaps = TESTED[name](model, x, target)
    assert not heatmaps.requires_grad
    torch.testing.assert_close(heatmaps, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", METRICS)
def test_values_hold_no_graph(name, mode):
    """The same for metrics, with heatmaps that require a gradient too."""
    mosaic = name.startswith("grid-")
    model, x, target, heatmaps, truth, _ = case(images=4 if mosaic else 3)
    metric = METRICS[name]
    if mosaic:
        metric, target = type(metric)(side=2), torch.arange(4)
        model = ExplainedModel(Small(4).to(x), "act")
    measured = {"truth": truth, "method": METHOD}
    x, heatmaps = x.requires_grad_(), heatmaps.requires_grad_()
    expected = metric(model, x.detach(), target, heatmaps.detach(), **measured)
    with mode():
        if mode is torch.inference_mode:
            x, heatmaps, target = x.clone(), heatmaps.clone(), target.clone()
        values = metric(model, x, target, heatmaps, **measured)
    assert not values.requires_grad
    if name not in ("seconds", "peak-memory"):
        torch.testing.assert_close(values, expected, equal_nan=True)


@pytest.mark.slow
def test_no_graph_stays_in_memory():
    """After calls of several kinds, as many tensors are part of a graph as before."""
    names = ("fullgrad", "integrated-gradients", "edges", "grad-cam", "fusion-cam", "shapley-cam", "layer-cam")
    cases = [(name, *model_for(name)) for name in names]
    before = graphs()
    results = [TESTED[name](model, x, target) for name, model, x, target in cases]
    assert graphs() == before
    assert len(results) == len(names)


@pytest.mark.parametrize("mode", MODES)
def test_trust_cards_hold_no_graph(mode):
    """A check of one heatmap works in inference mode too."""
    model, x, target = model_for("grad-cam")
    with mode():
        x, target = x[:1].clone(), torch.as_tensor(target)[:1].clone()
        card = check(model, x, target, METHODS["grad-cam"](model, x, target)[0], "grad-cam")
    assert card.level in ("high", "medium", "low", "unknown") or card.words

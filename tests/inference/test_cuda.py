"""On a GPU everything gives what it gives on a CPU. Skipped where there is none."""

from __future__ import annotations

import pytest
import torch

from fusioncam import ExplainedModel, Speed, explain, load_model
from fusioncam.errors import FusionCamWarning
from fusioncam.inference.costs import count_passes
from fusioncam.metrics.registry import METRICS, measure
from metric_cases import ALONE, RANKING, case
from problems import PROBLEMS, attention, heatmaps_of
from toys import problem

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)
LAYER = "blocks.6"  # 320 channels


@pytest.fixture(scope="module")
def on_gpu():
    """The default model."""
    return load_model(layer=LAYER, device="cuda")


def alike(one, other):
    """Correlate two heatmaps."""
    return torch.corrcoef(torch.stack([one.cpu().flatten(), other.cpu().flatten()]))[0, 1]


@pytest.mark.parametrize("place", ["cpu", "cuda"])
@pytest.mark.parametrize(("name", "toy_name"), [*PROBLEMS, ("legrad", None)])
def test_a_method_gives_the_same_maps(name, toy_name, place):
    """Wherever the images come from."""
    toy, x, target = problem(toy_name) if toy_name else attention.problem()
    layer = "features" if toy_name else None
    here = heatmaps_of(name, toy, x, target, layer)

    there = heatmaps_of(name, toy.cuda(), x.to(place), target.to(place), layer)

    torch.testing.assert_close(there.cpu(), here, atol=1e-8, rtol=0)


@pytest.mark.parametrize("places", [("cpu", "cpu"), ("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")], ids="-".join)
@pytest.mark.parametrize("name", ALONE)
def test_a_metric_gives_the_same_values(name, places):
    """Of heatmaps of the GPU, and of those that were read from a file."""
    model, x, target, heatmaps, truth, method = case()
    here = measure(METRICS[name], model, x, target, heatmaps, truth, method)

    model = ExplainedModel(model.network.cuda(), model.layer)
    there = measure(METRICS[name], model, x.to(places[0]), target, heatmaps.to(places[1]), truth, method)

    torch.testing.assert_close(there.cpu(), here, atol=1e-3 if name in RANKING else 1e-6, rtol=0)


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "ablation-cam", "score-cam", "fusion-cam"])
def test_maps_of_a_trained_network_are_the_same(method, lite0, on_gpu, cat):
    """But for the rounding of a GPU's convolutions. With a budget other masks may be chosen by it."""
    here = explain(cat, model=lite0.with_layer(LAYER), method=method).heatmap

    assert alike(here, explain(cat, model=on_gpu, method=method).heatmap) > 0.999


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_gives_nearly_the_same_map(precision, on_gpu, cat):
    """As on a CPU."""
    half = ExplainedModel(on_gpu.network, LAYER, preprocessing=on_gpu.preprocessing, speed=Speed(precision=precision))

    assert alike(explain(cat, model=half).heatmap, explain(cat, model=on_gpu).heatmap) > 0.99


def test_a_compiled_network_gives_the_same_map(on_gpu, cat):
    """For one size of chunks."""
    fast = ExplainedModel(
        on_gpu.network, LAYER, preprocessing=on_gpu.preprocessing, speed=Speed(compile=True, chunk=64)
    )

    assert alike(explain(cat, model=fast).heatmap, explain(cat, model=on_gpu).heatmap) > 0.999


def test_passes_start_at_the_layer_in_spite_of_rounding(on_gpu, cat):
    """A GPU rounds by the size of its batches, which is no reason to make whole passes."""
    with count_passes() as meter:
        explain(cat, model=load_model(layer=LAYER, device="cuda"), method="ablation-cam")

    assert meter.partial >= 300


def test_less_goes_at_once_where_the_memory_of_the_gpu_ends(on_gpu, cat):
    """The map is the same, and a warning says so."""
    whole = explain(cat, model=on_gpu, method="score-cam").heatmap
    torch.cuda.empty_cache()
    share = 2**29 / torch.cuda.get_device_properties(0).total_memory
    greedy = ExplainedModel(on_gpu.network, LAYER, preprocessing=on_gpu.preprocessing, speed=Speed(chunk=256))
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        with pytest.warns(FusionCamWarning, match="out of memory: going on with"):
            less = explain(cat, model=greedy, method="score-cam").heatmap
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert alike(less, whole) > 0.999

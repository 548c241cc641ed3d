"""Test that a GPU computes what a CPU computes. Skipped without a GPU."""

from __future__ import annotations

import pytest
import torch

from fusioncam import ExplainedModel, Speed, explain, load_model
from fusioncam.errors import FusionCamWarning
from fusioncam.inference.costs import count_passes
from fusioncam.metrics.registry import METRICS, measure
from metric_cases import ALONE, RANKING, case
from problems import PROBLEMS, attention, heatmaps_of
from selection import OF_TRANSFORMERS
from toys import problem

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)
LAYER = "blocks.6"  # 320 channels


@pytest.fixture(scope="module")
def on_gpu():
    """Return the default model on the GPU."""
    return load_model(layer=LAYER, device="cuda")


def correlation(first, second):
    """Return the correlation of two heatmaps."""
    return torch.corrcoef(torch.stack([first.cpu().flatten(), second.cpu().flatten()]))[0, 1]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(("name", "toy_name"), [*PROBLEMS, *((name, None) for name in OF_TRANSFORMERS)])
def test_methods_agree_with_the_cpu(name, toy_name, device):
    """Images on the CPU and on the GPU give the CPU's heatmap."""
    toy, x, target = problem(toy_name) if toy_name else attention.problem()
    layer = "features" if toy_name else None
    on_cpu = heatmaps_of(name, toy, x, target, layer)

    heatmaps = heatmaps_of(name, toy.cuda(), x.to(device), target.to(device), layer)

    torch.testing.assert_close(heatmaps.cpu(), on_cpu, atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    "devices", [("cpu", "cpu"), ("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")], ids="-".join
)
@pytest.mark.parametrize("name", ALONE)
def test_metrics_agree_with_the_cpu(name, devices):
    """Heatmaps may be on the GPU, or on the CPU, as when they are read from a file."""
    model, x, target, heatmaps, truth, method = case()
    on_cpu = measure(METRICS[name], model, x, target, heatmaps, truth, method)

    model = ExplainedModel(model.network.cuda(), model.layer)
    values = measure(METRICS[name], model, x.to(devices[0]), target, heatmaps.to(devices[1]), truth, method)

    torch.testing.assert_close(values.cpu(), on_cpu, atol=1e-3 if name in RANKING else 1e-6, rtol=0)


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "ablation-cam", "score-cam", "fusion-cam"])
def test_heatmaps_of_a_trained_network_agree_with_the_cpu(method, lite0, on_gpu, cat):
    """Only the rounding of convolutions differs. With a budget it may lead to other masks, so none is used here."""
    on_cpu = explain(cat, model=lite0.with_layer(LAYER), method=method).heatmap

    assert correlation(on_cpu, explain(cat, model=on_gpu, method=method).heatmap) > 0.999


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_close(precision, on_gpu, cat):
    """The heatmap is nearly the same as in full precision."""
    half = ExplainedModel(on_gpu.network, LAYER, preprocessing=on_gpu.preprocessing, speed=Speed(precision=precision))

    assert correlation(explain(cat, model=half).heatmap, explain(cat, model=on_gpu).heatmap) > 0.99


def test_compiled_network_agrees(on_gpu, cat):
    """A network compiled for one batch size returns the same heatmap."""
    fast = ExplainedModel(
        on_gpu.network, LAYER, preprocessing=on_gpu.preprocessing, speed=Speed(compile=True, chunk=64)
    )

    assert correlation(explain(cat, model=fast).heatmap, explain(cat, model=on_gpu).heatmap) > 0.999


def test_passes_start_at_the_layer_despite_rounding(on_gpu, cat):
    """Rounding that depends on the batch size does not lead to whole passes."""
    with count_passes() as counter:
        explain(cat, model=load_model(layer=LAYER, device="cuda"), method="ablation-cam")

    assert counter.partial >= 300


def test_out_of_gpu_memory_reduces_the_batch_size(on_gpu, cat):
    """The heatmap is the same, and there is a warning."""
    whole = explain(cat, model=on_gpu, method="score-cam").heatmap
    torch.cuda.empty_cache()
    share = 2**29 / torch.cuda.get_device_properties(0).total_memory
    greedy = ExplainedModel(on_gpu.network, LAYER, preprocessing=on_gpu.preprocessing, speed=Speed(chunk=256))
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        with pytest.warns(FusionCamWarning, match="out of memory: continuing with"):
            reduced = explain(cat, model=greedy, method="score-cam").heatmap
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert correlation(reduced, whole) > 0.999

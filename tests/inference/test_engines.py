"""Test masked passes in OpenVINO: PyTorch's scores, a fallback with a reason, and copies that follow the network."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fusioncam import METHODS, METRICS, ExplainedModel, Speed
from fusioncam.errors import EngineError, MissingExtraError, UnknownNameError
from fusioncam.functional.imputation import Imputation
from fusioncam.functional.masks import FILLS, ChannelMasks, RiseMasks, TransformedMasks
from fusioncam.inference.context import following_images
from fusioncam.inference.engines import fixed_graph, openvino_import, selection
from fusioncam.inference.engines.openvino_network import OpenVinoNetwork, properties
from fusioncam.methods.black_box import RISE
from fusioncam.metrics.masking import RankMasks, pixel_order
from fusioncam.tasks import MultiLabel

X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
MASKS = torch.rand(11, 2, 8, 8, generator=torch.Generator().manual_seed(1))
TARGET = torch.tensor([0, 2])


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSIONCAM_CACHE_DIR", str(tmp_path))


class Small(nn.Module):
    """A convolution with a BatchNorm, an activation and a head; ``between`` is applied to the features."""

    def __init__(self, between=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Linear(6, 3)
        self.norm.running_mean.normal_()
        self.act, self.dropout = nn.ReLU(), nn.Dropout(0.5)
        self.between = between or (lambda x: x)
        self.scale = 2.0
        self.eval()

    def forward(self, x):
        """Return scores ``(N, 3)``."""
        x = self.between(self.act(self.norm(self.conv(x))))
        return self.head(self.dropout(x.mean((2, 3)))) * self.scale


def model_of(network, engine="openvino", **speed):
    """Return the model with an engine."""
    return ExplainedModel(network, "act", speed=Speed(engine=engine, **speed))


def scores(network, engine="openvino", masks=MASKS, fill="mean", **speed):
    """Return the masked scores by an engine."""
    return model_of(network, engine, **speed).masked_scores(X, masks, TARGET, readout="logit", fill=fill)


def difference(first, second):
    """Return the largest difference."""
    return (first - second).abs().max().item()


# -- the same scores -------------------------------------------------------------------------------------------


def test_every_source_of_masks_and_every_fill_has_the_scores_of_pytorch():
    """Channels, noise, random grids, ranks of pixels and tensors, with names, pixels and callables as fill."""
    network, like = Small(), torch.rand(2, 9, 4, 4)
    channels = ChannelMasks(like, (8, 8))
    sources = {
        "channels": channels,
        "before": ChannelMasks(like, (8, 8), "before"),
        "transformed": TransformedMasks(channels, lambda mask: mask + 0.5),
        "rise": RiseMasks(9, X, cells=3, keep=0.5, seed=0),
        "ranks": RankMasks(pixel_order(MASKS[0]), [0, 7, 64], hide=True),
        "tensor": MASKS,
    }
    fills = [*FILLS, torch.rand(2, 3, 8, 8), Imputation()]

    cases = [(source, "mean") for source in sources] + [("ranks", fill) for fill in fills]
    for source, fill in cases:
        expected = scores(network, "torch", sources[source], fill)
        assert difference(scores(network, "openvino", sources[source], fill), expected) <= 1e-5, (source, fill)


def test_methods_and_metrics_return_the_values_of_pytorch():
    """Heatmaps and curves agree, and the passes really run in OpenVINO."""
    network = Small()
    reference, model = model_of(network, "torch"), model_of(network)

    for method in (METHODS["score-cam"], METHODS["fusion-cam"], RISE(masks=50)):
        heatmaps = method(reference, X, TARGET)
        assert difference(method(model, X, TARGET), heatmaps) <= 1e-5, method
    for name in ("insertion", "deletion", "morf", "road", "average-drop", "increase"):
        expected = METRICS[name](reference, X, TARGET, heatmaps)
        assert difference(METRICS[name](model, X, TARGET, heatmaps), expected) <= 1e-5, name
    assert model.runner.engines.name == "openvino"


@pytest.mark.parametrize("workers", [1, 3])
def test_scores_do_not_depend_on_the_batch(workers):
    """A mask has exactly the same score alone, in a full batch, and in a batch that is filled up."""
    network = Small()
    together = scores(network, workers=workers)

    alone = torch.cat([scores(network, workers=workers, masks=MASKS[index : index + 1]) for index in range(11)])
    assert together.equal(alone)


@pytest.mark.parametrize(("jobs", "each"), [(1, 1), (3, 2), (16, 4)])
def test_few_masks_are_divided_among_the_workers(jobs, each):
    """One worker does not run all of them while the other has none."""
    runner = model_of(Small(), workers=2).runner
    with runner.exclusive_replicas(X, jobs) as (calls, size):
        assert (len(calls), size) == (2, each)


def test_scores_are_computed_in_float32():
    """OpenVINO's own default is bfloat16 where the processor has it."""
    hints = [properties(1, 1, dtype)["INFERENCE_PRECISION_HINT"] for dtype in (torch.float32, torch.bfloat16)]
    assert hints == ["f32", "bf16"]


def test_the_result_of_a_call_stays():
    """The next call of the same request leaves it as it is."""
    network = Small()
    scores(network)
    (call, *_) = next(iter(selection._copies[network].compiled.values())).calls
    first = call(X)
    kept = first.clone()
    call(X / 2)
    assert first.equal(kept)


def test_bfloat16_is_requested_only_where_the_processor_computes_it(monkeypatch):
    """Emulated, it would be slower than float32."""
    hints = []

    def compiled(model, requests, threads, dtype=torch.float32):
        hints.append(dtype)
        return OpenVinoNetwork(model, requests, threads)

    monkeypatch.setattr(selection, "OpenVinoNetwork", compiled)
    monkeypatch.setattr("fusioncam.inference.settings.computes_bfloat16", lambda device: True)
    for possible in (False, True):
        monkeypatch.setattr(selection, "computes_bfloat16", lambda device, possible=possible: possible)
        if not possible:
            with pytest.raises(EngineError, match="does not compute in bfloat16 on this processor"):
                scores(Small(), precision="bfloat16")
            continue
        scores(Small(), precision="auto")
    # float32 first, to compare it with PyTorch
    assert hints == [torch.float32, torch.bfloat16]


class Named(nn.Module):
    """Return an object with the scores, as networks of Hugging Face do."""

    def __init__(self, network):
        super().__init__()
        self.inner = network
        self.eval()

    def forward(self, x):
        """Return an object with ``logits``."""
        return type("Output", (), {"logits": self.inner(x)})()


@pytest.mark.parametrize(
    ("network", "reading"),
    [
        (Named(Small()), "logits"),
        (nn.Sequential(Small(), nn.Softmax(1)).eval(), "probabilities that sum to 1"),
        (nn.Sequential(Small(), nn.Sigmoid()).eval(), "sigmoids"),
        (MultiLabel(nn.Sequential(Small(), nn.Sigmoid()), 1).eval(), "logits"),
    ],
    ids=["object", "softmax", "sigmoids", "wrapper"],
)
@pytest.mark.filterwarnings("ignore:the outputs of the network are")
def test_outputs_are_read_as_in_pytorch(network, reading):
    """How they are read is decided by a pass in PyTorch, also if no pass came before."""
    values = []
    for engine in ("torch", "openvino"):
        model = ExplainedModel(network, speed=Speed(engine=engine))
        values.append(model.masked_scores(X, MASKS, 1, readout="logit"))
        assert model.runner.reader.reading == reading
    assert difference(*values) <= 1e-5


# -- copies follow the network ---------------------------------------------------------------------------------


def test_changes_of_the_network_change_the_scores():
    """Weights written through ``.data``, a replaced module and a changed setting."""
    network = Small()

    def change_weight():
        network.head.weight.data[0] += 0.1

    def replace_module():
        network.head = nn.Linear(6, 3)

    def change_setting():
        network.scale = 3.0

    for change in (change_weight, replace_module, change_setting):
        before = scores(network)
        change()
        expected = scores(network, "torch")
        assert difference(before, expected) > 1e-5
        assert difference(scores(network), expected) <= 1e-5


def test_copies_end_with_the_network():
    """Nothing keeps a network in memory, and there are few copies of one."""
    network = Small()
    for workers in (1, 2, 3):
        scores(network, workers=workers)
    assert len(selection._copies[network].compiled) == 2
    reference = weakref.ref(network)
    del network
    gc.collect()
    assert reference() is None


def test_models_of_one_network_share_its_copy(monkeypatch):
    """Another layer or another model does not convert again."""
    network = Small()
    scores(network)
    monkeypatch.setattr(selection, "convert", None)

    model = model_of(network).with_layer("conv")
    model.masked_scores(X, MASKS, TARGET, readout="logit")
    assert model.runner.engines.name == "openvino"


def test_a_call_leaves_everything_as_it_was():
    """Flags, gradients, hooks, random numbers, grad mode, threads and OpenVINO's statistics."""
    network = Small().train()
    network.head.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random, threads = torch.get_rng_state(), torch.get_num_threads()

    scores(network, workers=2)

    assert all(module.training for module in network.modules())
    assert [name for name, one in network.named_parameters() if not one.requires_grad] == ["head.weight"]
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert all(one.grad is None for one in network.parameters())
    assert torch.get_rng_state().equal(random)
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, True)
    assert sys.modules["openvino.tools.ovc.telemetry_utils"].tm.__name__ == "openvino.tools.ovc.telemetry_stub"
    assert "openvino_telemetry" not in sys.modules


# -- networks that stay in PyTorch -----------------------------------------------------------------------------


def branch(x):
    """Double features with a positive mean."""
    return x * 2 if x.mean() > 0.4 else x


def without_counterpart(x):
    """Apply a Bessel function, which OpenVINO does not have."""
    return torch.special.bessel_j1(x)


def in_numpy(x):
    """Double features outside PyTorch."""
    return torch.from_numpy(x.numpy() * 2)


class Counting(Small):
    """Count passes in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x):
        """Return the scores, which depend on the number of earlier passes."""
        self.passes += 1
        return super().forward(x)


REFUSED = {
    "decides": (lambda: Small(branch), "depends on the values of a tensor in Python (aten::_local_scalar_dense)"),
    "selects": (
        lambda: Small(lambda x: x * x[x > 0.5].sum()),
        "the shape of a tensor depends on values (aten::index)",
    ),
    "draws": (lambda: Small(lambda x: F.dropout(x, 0.5, training=True)), "it draws random numbers (aten::"),
    "changes": (Counting, "a pass changes its parameters or buffers"),
    "operator": (lambda: Small(without_counterpart), "no counterpart of the operator aten::special_bessel_j1"),
    "numpy": (lambda: Small(in_numpy), "OpenVINO returns other scores than PyTorch for Small"),
    "float64": (lambda: Small().double(), "needs a float32 network, and this one has float64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_networks_that_cannot_be_converted(case, monkeypatch):
    """By name the error says why; "auto" records it and runs PyTorch."""
    make, message = REFUSED[case]
    with pytest.raises(EngineError) as caught:
        scores(make())
    assert message in str(caught.value)

    monkeypatch.setattr(selection, "_MIN_JOBS", 1)
    monkeypatch.setattr(selection, "_WORTH_LOADING", 0)
    monkeypatch.setattr(selection, "_WORTH_CONVERTING", 0)
    model = model_of(make(), "auto")
    for _ in range(2):
        model.masked_scores(X, MASKS, TARGET, readout="logit")
        assert (model.runner.engines.name, message in model.runner.engines.reason) == ("torch", True)


def test_attention_without_dropout_draws_nothing():
    """Its operator is one that may draw random numbers."""
    query = torch.rand(1, 2, 4, 8)
    for dropout, expected in ((0.0, None), (0.5, "it draws random numbers")):
        attend = lambda dropout=dropout: F.scaled_dot_product_attention(query, query, query, dropout_p=dropout)  # noqa: E731
        _, reason = fixed_graph.watched_pass(nn.Identity(), attend)
        assert (reason or "").startswith(expected or "")
        assert (reason is None) == (expected is None)


def test_indices_have_a_fixed_shape():
    """Swin transformers index by tensors of integers."""
    network = Small(lambda x: x[:, torch.tensor([1, 0, 2, 3, 4, 5])])
    assert difference(scores(network), scores(network, "torch")) <= 1e-5


def test_hooks_run():
    """A network with hooks stays in PyTorch until they are removed."""
    network, runs = Small(), []
    scores(network)
    handle = network.conv.register_forward_hook(lambda *args: runs.append(1))

    with pytest.raises(EngineError, match="does not run the hooks of this network"):
        scores(network)
    assert not runs
    scores(network, "auto")
    assert runs
    handle.remove()
    assert difference(scores(network), scores(network, "torch")) <= 1e-5


def test_a_copy_with_other_scores_is_not_used(monkeypatch):
    """It is compared with PyTorch before it is used."""
    wrong = Small()
    wrong.head.bias.data += 1e-2
    convert = selection.convert
    monkeypatch.setattr(selection, "convert", lambda network, *args: convert(wrong, *args))

    with pytest.raises(EngineError, match="OpenVINO returns other scores than PyTorch for Small"):
        scores(Small())


@pytest.fixture
def without_openvino(monkeypatch):
    """Hide the package."""
    functions = (openvino_import.installed, openvino_import.openvino, openvino_import.core)
    for function in functions:
        function.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    yield
    for function in functions:
        function.cache_clear()


def test_openvino_is_optional(without_openvino):
    """By name the error says how to install it; "auto" runs PyTorch."""
    with pytest.raises(MissingExtraError, match=r'need openvino: pip install "fusioncam\[openvino\]"'):
        scores(Small())
    model = model_of(Small(), "auto")
    model.masked_scores(X, MASKS, TARGET, readout="logit")
    assert model.runner.engines.reason.startswith("OpenVINO is not installed")


def test_unknown_engines_are_refused():
    """The error suggests the nearest name."""
    with pytest.raises(UnknownNameError, match="unknown engine 'openvno'; did you mean 'openvino'"):
        Speed(engine="openvno")


# -- the automatic choice --------------------------------------------------------------------------------------


def test_auto_converts_once_the_passes_take_longer(monkeypatch):
    """Passes of earlier calls count, but not those of the network with other weights."""
    monkeypatch.setattr(selection, "_MIN_JOBS", 20)
    monkeypatch.setattr(selection, "_WORTH_LOADING", 30)
    monkeypatch.setattr(selection, "_WORTH_CONVERTING", 50)
    monkeypatch.setattr(selection.EngineSelection, "_seconds_per_pass", lambda self, x: 1.0)
    network = Small()
    model = model_of(network, "auto")

    def engine(masks=MASKS):
        model.masked_scores(X, masks, TARGET, readout="logit")
        return model.runner.engines.name

    assert [engine(MASKS[:9]) for _ in range(9)] == ["torch"] * 9  # too few per call
    assert [engine() for _ in range(4)] == ["torch", "torch", "torch", "openvino"]
    network.head.bias.data += 1
    assert [engine() for _ in range(3)] == ["torch", "torch", "openvino"]


@pytest.mark.parametrize(("speed", "reason"), [({"engine": "torch"}, "PyTorch was chosen"), ({"compile": True}, "")])
def test_other_settings_keep_pytorch(speed, reason, monkeypatch):
    """The engine is not converted where PyTorch was chosen or is to compile."""
    monkeypatch.setattr(selection, "convert", None)
    monkeypatch.setattr("fusioncam.inference.forward.CompiledNetwork", lambda *args: type("", (), {"ready": False}))
    model = ExplainedModel(Small(), speed=Speed(**speed))
    model.masked_scores(X, MASKS, TARGET, readout="logit")
    assert model.runner.engines.name == "torch"
    assert reason in model.runner.engines.reason


def test_the_frames_of_a_clip_repay_a_conversion_together(monkeypatch):
    """Each makes few passes; single images with as few are not converted."""
    monkeypatch.setattr(selection, "_WORTH_LOADING", 0)
    monkeypatch.setattr(selection, "_WORTH_CONVERTING", 0)
    model = model_of(Small(), "auto")
    model.masked_scores(X[:1], MASKS[:, :1], 0, readout="logit")
    assert model.runner.engines.name == "torch"
    with following_images({}):
        model.masked_scores(X[:1], MASKS[:, :1], 0, readout="logit")
        assert model.runner.engines.name == "openvino"


@pytest.mark.parametrize("name", ["fusion-cam", "union-cam"])
def test_a_method_reads_the_network_once(name, monkeypatch):
    """Scores of channels and of heatmaps are those of one call, in which the network does not change."""
    read = []
    monkeypatch.setattr(selection, "fingerprint", lambda network: str(read.append(network)))
    METHODS[name](model_of(Small()), X, TARGET)
    assert len(read) == 1

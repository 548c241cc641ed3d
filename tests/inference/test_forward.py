"""Test masked passes on replicas, compiled or in reduced precision: the same scores, and an unchanged network."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel, Speed
from fusioncam.errors import FusionCamWarning, SettingError, UnknownNameError
from fusioncam.inference.allocator import keep_freed
from fusioncam.inference.forward import NetworkRunner
from fusioncam.inference.replicas import replicate
from fusioncam.inference.settings import computes_bfloat16
from fusioncam.utils.quiet import ignoring
from toys import CLASSES, linear, problem


def scores(network, x, target, masks, **speed):
    """Return the masked scores with these speed settings."""
    model = ExplainedModel(network, "features", speed=Speed(**speed))
    return model.masked_scores(x, masks, target, readout="logit")


def case_of(network, images=2, count=60):
    """Return images, classes and many masks for a toy network."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(images, 3, 8, 8, generator=generator, dtype=torch.float64)
    masks = torch.rand(count, images, 8, 8, generator=generator, dtype=torch.float64)
    return x, torch.arange(images) % CLASSES, masks


class Stateful(nn.Module):
    """Store features in the module, wait for another thread, and compute the scores from the stored features."""

    def __init__(self, barrier=None):
        super().__init__()
        self.features, self.head, self.barrier = nn.Conv2d(3, 4, 3), nn.Linear(4, CLASSES), barrier

    def __deepcopy__(self, memo):
        new = copy.copy(self)
        new.__dict__ = {
            key: value if key == "barrier" else copy.deepcopy(value, memo) for key, value in self.__dict__.items()
        }
        return new

    def forward(self, x):
        """Return the scores of the stored features."""
        self.stored = self.features(x).relu().mean((2, 3))
        if self.barrier:
            self.barrier.wait()
        return self.head(self.stored)


def test_threads_do_not_share_state_of_a_forward_pass():
    """Two passes run at the same time, and each uses its own features."""
    network = Stateful().double().eval()
    x, target, masks = case_of(network)
    expected = scores(network, x, target, masks, workers=1)
    network.barrier = threading.Barrier(2, timeout=20)

    assert torch.allclose(scores(network, x, target, masks, workers=2, chunk=2), expected, rtol=1e-12)


def test_replicas_share_parameters_and_buffers():
    """A replica needs no memory for weights, and uses weights that change later."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    first, second = replicate(network, 2)

    assert first is network
    assert second is not network
    assert [id(tensor) for tensor in second.parameters()] == [id(tensor) for tensor in network.parameters()]
    assert [id(tensor) for tensor in second.buffers()] == [id(tensor) for tensor in network.buffers()]


def test_network_that_cannot_be_copied_has_one_worker():
    """A lock cannot be copied."""
    network = linear()
    network.lock = threading.Lock()
    x, target, masks = case_of(network)

    assert len(replicate(network, 4)) == 1
    expected = scores(linear(), x, target, masks, workers=1)
    assert torch.allclose(scores(network, x, target, masks, workers=4), expected)


def test_torchscript_has_one_worker():
    """Its replicate would have weights of their own."""
    with ignoring(FutureWarning):  # TorchScript is deprecated, but not yet in PyTorch 2.5
        network = torch.jit.trace(linear(), torch.rand(1, 3, 8, 8, dtype=torch.float64))
    assert len(replicate(network, 2)) == 1


def test_there_are_no_more_workers_than_batches():
    """No thread and no replica is created without a batch for it."""
    toy, x, _ = problem("small")
    runner = NetworkRunner(toy, Speed(chunk=4, workers=3))

    assert [len(runner.replica_calls(x, jobs)[0]) for jobs in (0, 1, 4, 5, 9, 100)] == [1, 1, 1, 2, 3, 3]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_returns_the_same_scores(workers):
    """One, two and three workers return the same scores."""
    toy, x, target = problem("small")
    masks = torch.rand(40, len(x), 8, 8, dtype=torch.float64)
    expected = scores(toy, x, target, masks, workers=1, chunk=100)

    assert torch.allclose(scores(toy, x, target, masks, workers=workers, chunk=3), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("device", "jobs", "sizes", "channels_last"),
    [("cpu", 100, [1, 3, 5, 12], True), ("meta", 12, [12, 12, 12, 12], True), ("meta", 11, [1, 3, 5, 12], False)],
)
def test_gpu_batches_are_padded_to_one_size_with_channels_last(device, jobs, sizes, channels_last):
    """With channels last a GPU is set up again for every size: batches are padded, and few inputs left unchanged."""
    network, seen, orders = linear().to(device), [], set()

    def hook(module, args):
        seen.append(len(args[0]))
        orders.add(args[0].is_contiguous(memory_format=torch.channels_last))

    network.register_forward_pre_hook(hook)
    x = torch.zeros(12, 3, 8, 8, dtype=torch.float64, device=device)
    (call,), _ = NetworkRunner(network, Speed(chunk=12, workers=1)).replica_calls(x, jobs)

    for size in (1, 3, 5, 12):
        assert call(x[:size]).shape == (size, CLASSES)
    assert (seen, orders) == (sizes, {channels_last})


def test_batches_are_padded_to_the_next_size():
    """With several sizes the next larger one is used."""
    network, seen = linear().to("meta"), []
    network.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    x = torch.zeros(256, 3, 8, 8, dtype=torch.float64, device="meta")
    (call,), tuner = NetworkRunner(network, Speed()).replica_calls(x, 64)

    assert tuple(tuner.sizes) == (64, 128, 256)
    for size in (1, 64, 65, 200, 256):
        call(x[:size])
    assert seen == [64, 64, 128, 256, 256]


# -- precision ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_reduced_precision_is_used_for_masked_passes(workers):
    """Convolutions run in bfloat16, so scores are close but not equal; records stay exact."""
    network = Stateful().eval()
    x, target, masks = (tensor.float() if tensor.is_floating_point() else tensor for tensor in case_of(network))
    model = ExplainedModel(network, "features", speed=Speed(precision="bfloat16", workers=workers))
    expected = scores(network, x, target, masks)
    computed = model.masked_scores(x, masks, target, readout="logit")

    assert computed.dtype == torch.float32
    assert torch.allclose(computed, expected, atol=0.02)
    assert not torch.allclose(computed, expected, atol=1e-5)
    exact = ExplainedModel(network, "features").record(x, target)
    assert model.record(x, target).activations.equal(exact.activations)
    torch.testing.assert_close(model.logits(x), exact.logits)  # in another order of pixels


def test_auto_precision_uses_bfloat16_where_supported():
    """Elsewhere it is exact."""
    expected = torch.bfloat16 if computes_bfloat16(torch.device("cpu")) else None

    assert Speed(precision="auto").dtype(torch.device("cpu")) == expected
    assert Speed(precision="auto").dtype(torch.device("meta")) is None
    assert Speed().dtype(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"precision": "half"}, UnknownNameError),
        ({"chunk": 0}, SettingError),
        ({"workers": 1.5}, SettingError),
        ({"compile": "yes"}, SettingError),
        ({"fold": "no"}, SettingError),
    ],
    ids=str,
)
def test_wrong_settings_are_reported(settings, error):
    """The message states the setting and its value."""
    ((name, value),) = settings.items()
    with pytest.raises(error, match=rf"{name}.*{value}"):
        Speed(**settings)


def test_speed_by_device():
    """A CPU runs small batches in parallel, a GPU large ones one after the other."""
    cpu, gpu = torch.device("cpu"), torch.device("cuda")

    assert max(Speed().batch_sizes(cpu)) < min(Speed().batch_sizes(gpu))
    assert (Speed().worker_count(gpu), Speed(workers=3).worker_count(gpu)) == (1, 3)
    assert Speed().worker_count(cpu) == min(16, torch.get_num_threads())
    assert Speed(chunk=5).batch_sizes(cpu) == (5,)
    assert [Speed().should_fold(cpu, 16), Speed().should_fold(cpu, 15), Speed(fold=False).should_fold(cpu, 16)] == [
        True,
        False,
        False,
    ]
    assert not Speed().should_fold(gpu, 1000)


# -- compiling ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_compiled_scores_are_the_same(workers):
    """Also for a last batch that is not full, for changed weights, and for a replaced module."""
    network = Stateful().double().eval()
    x, target, masks = case_of(network, count=33)
    model = ExplainedModel(network, "features", speed=Speed(compile=True, workers=workers, chunk=4))

    changes = (
        lambda: None,
        lambda: network.head.bias.data.add_(1),
        lambda: setattr(network, "head", nn.Linear(4, CLASSES).double()),
    )
    for change in changes:
        change()
        computed = model.masked_scores(x, masks, target, readout="logit")
        assert torch.allclose(computed, scores(network, x, target, masks), rtol=1e-9)


def test_network_that_cannot_be_compiled_runs_uncompiled(monkeypatch):
    """There is one warning."""
    network = linear()
    x, target, masks = case_of(network)
    model = ExplainedModel(network, "features", speed=Speed(compile=True))

    def compile(*args, **kwargs):
        def fails(x):
            raise OSError("no compiler")

        return fails

    monkeypatch.setattr(torch, "compile", compile)
    with pytest.warns(FusionCamWarning, match="without compiling the network: no compiler") as warned:
        computed = [model.masked_scores(x, masks, target, readout="logit") for _ in range(2)]

    assert len(warned) == 1
    assert computed[0].equal(computed[1])
    assert torch.allclose(computed[0], scores(linear(), x, target, masks))


def test_auto_compiles_when_it_saves_time():
    """On a GPU the seconds of the passes decide; on a CPU, or with ``compile=False``, it never compiles."""
    cpu, gpu = torch.device("cpu"), torch.device("cuda")

    assert [Speed().should_compile(gpu, seconds) for seconds in (0, 100, 1000)] == [False, False, True]
    assert not Speed().should_compile(cpu, 1e9)
    assert Speed(compile=True).should_compile(cpu, 0)
    assert not Speed(compile=False).should_compile(gpu, 1e9)


def test_expected_seconds_decide_on_compiling(monkeypatch):
    """The time of earlier passes is extrapolated."""
    network = linear()
    x, *_ = case_of(network)
    runner, seconds = NetworkRunner(network, Speed()), []
    monkeypatch.setattr(Speed, "should_compile", lambda speed, device, expected: seconds.append(expected))
    _, tuner = runner.replica_calls(x, 10)
    tuner.seconds = dict.fromkeys(tuner.sizes, 0.5)
    runner.replica_calls(x, 100)

    assert seconds == [0, 50.0]


# -- memory ---------------------------------------------------------------------------------------------------


def test_freed_memory_is_reused():
    """With glibc, large buffers are reused without page faults."""
    resource = pytest.importorskip("resource")
    if not keep_freed():
        pytest.skip("not glibc")

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            torch.ones(4_000_000)  # 16 MB: 4,000 pages each time
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()
    assert faults() < 4000

"""Masked passes on copies, compiled or in reduced precision: the same scores, and no trace."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel, Speed
from fusioncam.errors import FusionCamWarning, UnknownNameError
from fusioncam.inference.allocator import keep_freed
from fusioncam.inference.forward import NetworkRunner
from fusioncam.inference.replicas import copies
from fusioncam.inference.settings import computes_bfloat16
from toys import CLASSES, linear, problem


def scores(network, x, target, masks, **speed):
    """Give the masked scores at some speed."""
    model = ExplainedModel(network, "features", speed=Speed(**speed))
    return model.masked_scores(x, masks, target, readout="logit")


def asked(network, images=2, count=60):
    """Give a toy's images, classes and many masks."""
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(images, 3, 8, 8, generator=draw, dtype=torch.float64)
    masks = torch.rand(count, images, 8, 8, generator=draw, dtype=torch.float64)
    return x, torch.arange(images) % CLASSES, masks


class Keeping(nn.Module):
    """Keeps what it saw in a module of its own, waits for another thread, and goes on with what is kept."""

    def __init__(self, both=None):
        super().__init__()
        self.features, self.head, self.both = nn.Conv2d(3, 4, 3), nn.Linear(4, CLASSES), both

    def __deepcopy__(self, memo):
        new = copy.copy(self)
        new.__dict__ = {key: one if key == "both" else copy.deepcopy(one, memo) for key, one in self.__dict__.items()}
        return new

    def forward(self, x):
        """Give scores of what was kept."""
        self.kept = self.features(x).relu().mean((2, 3))
        if self.both:
            self.both.wait()
        return self.head(self.kept)


def test_threads_do_not_share_what_a_forward_pass_keeps():
    """Two passes at the same time, and each goes on with its own."""
    network = Keeping().double().eval()
    x, target, masks = asked(network)
    expected = scores(network, x, target, masks, workers=1)
    network.both = threading.Barrier(2, timeout=20)

    assert torch.allclose(scores(network, x, target, masks, workers=2, chunk=2), expected, rtol=1e-12)


def test_copies_share_parameters_and_buffers():
    """A copy costs no memory for weights, and sees weights that change."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    first, second = copies(network, 2)

    assert first is network
    assert second is not network
    assert [id(one) for one in second.parameters()] == [id(one) for one in network.parameters()]
    assert [id(one) for one in second.buffers()] == [id(one) for one in network.buffers()]


def test_what_cannot_be_copied_works_alone():
    """A network with a lock in it has one worker."""
    network = linear()
    network.lock = threading.Lock()
    x, target, masks = asked(network)

    assert len(copies(network, 4)) == 1
    expected = scores(linear(), x, target, masks, workers=1)
    assert torch.allclose(scores(network, x, target, masks, workers=4), expected)


def test_torchscript_works_alone():
    """Its copies would have weights of their own."""
    with pytest.warns(FutureWarning):  # torch says that TorchScript is old
        network = torch.jit.trace(linear(), torch.rand(1, 3, 8, 8, dtype=torch.float64))
    assert len(copies(network, 2)) == 1


def test_workers_are_no_more_than_chunks():
    """A thread without work is not made, nor a copy for it."""
    toy, x, _ = problem("small")
    caller = NetworkRunner(toy, Speed(chunk=4, workers=3))

    assert [len(caller.replica_calls(x, jobs)[0]) for jobs in (0, 1, 4, 5, 9, 100)] == [1, 1, 1, 2, 3, 3]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_gives_the_same_scores(workers):
    """Side by side or not."""
    toy, x, target = problem("small")
    masks = torch.rand(40, len(x), 8, 8, dtype=torch.float64)
    expected = scores(toy, x, target, masks, workers=1, chunk=100)

    assert torch.allclose(scores(toy, x, target, masks, workers=workers, chunk=3), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("device", "jobs", "went", "last"),
    [("cpu", 100, [1, 3, 5, 12], True), ("meta", 12, [12, 12, 12, 12], True), ("meta", 11, [1, 3, 5, 12], False)],
)
def test_a_gpu_sees_one_size_with_its_channels_last(device, jobs, went, last):
    """It is set up anew for every size in that order: chunks are filled up, and a few inputs go as they are."""
    network, seen, orders = linear().to(device), [], set()

    def look(module, given):
        seen.append(len(given[0]))
        orders.add(given[0].is_contiguous(memory_format=torch.channels_last))

    network.register_forward_pre_hook(look)
    x = torch.zeros(12, 3, 8, 8, dtype=torch.float64, device=device)
    (call,), _ = NetworkRunner(network, Speed(chunk=12, workers=1)).replica_calls(x, jobs)

    for some in (1, 3, 5, 12):
        assert call(x[:some]).shape == (some, CLASSES)
    assert (seen, orders) == (went, {last})


def test_chunks_are_filled_up_to_the_next_size_that_is_tried():
    """Where several are."""
    network, seen = linear().to("meta"), []
    network.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    x = torch.zeros(256, 3, 8, 8, dtype=torch.float64, device="meta")
    (call,), pace = NetworkRunner(network, Speed()).replica_calls(x, 64)

    assert tuple(pace.sizes) == (64, 128, 256)
    for some in (1, 64, 65, 200, 256):
        call(x[:some])
    assert seen == [64, 64, 128, 256, 256]


# -- precision ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_reduced_precision_computes_in_it(workers):
    """Convolutions run in bfloat16, so scores are near and not equal; records stay exact."""
    network = Keeping().eval()
    x, target, masks = (one.float() if one.is_floating_point() else one for one in asked(network))
    model = ExplainedModel(network, "features", speed=Speed(precision="bfloat16", workers=workers))
    expected = scores(network, x, target, masks)
    given = model.masked_scores(x, masks, target, readout="logit")

    assert given.dtype == torch.float32
    assert torch.allclose(given, expected, atol=0.02)
    assert not torch.allclose(given, expected, atol=1e-5)
    exact = ExplainedModel(network, "features").record(x, target)
    assert model.record(x, target).activations.equal(exact.activations)
    assert model.logits(x).equal(exact.logits)


def test_auto_takes_bfloat16_where_the_processor_has_it():
    """And is exact elsewhere."""
    expected = torch.bfloat16 if computes_bfloat16(torch.device("cpu")) else None

    assert Speed(precision="auto").dtype(torch.device("cpu")) == expected
    assert Speed(precision="auto").dtype(torch.device("meta")) is None
    assert Speed().dtype(torch.device("cpu")) is None


@pytest.mark.parametrize(
    "wrong", [{"precision": "half"}, {"chunk": 0}, {"workers": 1.5}, {"compile": "yes"}], ids=str
)
def test_wrong_settings_are_told(wrong):
    """By name, with what was got."""
    with pytest.raises(UnknownNameError, match=str(next(iter(wrong.values())))):
        Speed(**wrong)


def test_speed_by_device():
    """Small chunks side by side on a CPU, large ones alone on a GPU."""
    cpu, gpu = torch.device("cpu"), torch.device("cuda")

    assert max(Speed().sizes(cpu)) < min(Speed().sizes(gpu))
    assert (Speed().side_by_side(gpu), Speed(workers=3).side_by_side(gpu)) == (1, 3)
    assert Speed().side_by_side(cpu) == min(16, torch.get_num_threads())
    assert Speed(chunk=5).sizes(cpu) == (5,)
    assert [Speed().folds(cpu, 16), Speed().folds(cpu, 15), Speed(fold=False).folds(cpu, 16)] == [True, False, False]
    assert not Speed().folds(gpu, 1000)


# -- compiling ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_compiled_scores_are_the_same(workers):
    """Also of a last chunk that is not full, of weights changed meanwhile, and of a module put in another's place."""
    network = Keeping().double().eval()
    x, target, masks = asked(network, count=33)
    model = ExplainedModel(network, "features", speed=Speed(compile=True, workers=workers, chunk=4))

    changes = (
        lambda: None,
        lambda: network.head.bias.data.add_(1),
        lambda: setattr(network, "head", nn.Linear(4, CLASSES).double()),
    )
    for change in changes:
        change()
        given = model.masked_scores(x, masks, target, readout="logit")
        assert torch.allclose(given, scores(network, x, target, masks), rtol=1e-9)


def test_what_cannot_be_compiled_goes_on_without(monkeypatch):
    """With a warning, once."""
    network = linear()
    x, target, masks = asked(network)
    model = ExplainedModel(network, "features", speed=Speed(compile=True))

    def compile(*args, **kwargs):
        def fails(x):
            raise OSError("no compiler")

        return fails

    monkeypatch.setattr(torch, "compile", compile)
    with pytest.warns(FusionCamWarning, match="without compiling the network: no compiler") as warned:
        given = [model.masked_scores(x, masks, target, readout="logit") for _ in range(2)]

    assert len(warned) == 1
    assert given[0].equal(given[1])
    assert torch.allclose(given[0], scores(linear(), x, target, masks))


def test_compiling_when_it_repays():
    """On a GPU by the seconds that passes would take, on a CPU and against the user's word never."""
    cpu, gpu = torch.device("cpu"), torch.device("cuda")

    assert [Speed().compiles(gpu, seconds) for seconds in (0, 100, 1000)] == [False, False, True]
    assert not Speed().compiles(cpu, 1e9)
    assert Speed(compile=True).compiles(cpu, 0)
    assert not Speed(compile=False).compiles(gpu, 1e9)


def test_the_time_that_passes_would_take_decides(monkeypatch):
    """It is told by what passes took before."""
    network = linear()
    x, *_ = asked(network)
    caller, told = NetworkRunner(network, Speed()), []
    monkeypatch.setattr(Speed, "compiles", lambda speed, device, seconds: told.append(seconds))
    _, pace = caller.replica_calls(x, 10)
    pace.seconds = dict.fromkeys(pace.sizes, 0.5)
    caller.replica_calls(x, 100)

    assert told == [0, 50.0]


# -- memory ---------------------------------------------------------------------------------------------------


def test_freed_memory_is_kept():
    """With glibc large buffers come back without page faults; elsewhere nothing is touched."""
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

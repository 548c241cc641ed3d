"""Test the facts about a machine, and the throughput measured with a fake clock."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version

import pytest
import torch
from rich.console import Console
from torch import nn

import samples
from fusioncam.benchmark import throughput
from fusioncam.benchmark.engine_rates import EngineRate, engine_rates
from fusioncam.benchmark.machine import machine_facts
from fusioncam.benchmark.throughput import (
    PlainRate,
    examine,
    masked_rates,
    measure_in_turn,
    plain_rate,
    plain_rates,
    random_masks,
    score_difference,
)
from fusioncam.cli import doctor_tables
from fusioncam.errors import EngineError, NonFiniteError
from fusioncam.inference.costs import count_passes
from fusioncam.inference.settings import computes_bfloat16
from samples import Small

THREADS = torch.get_num_threads()


class Recorded(Small):
    """Records for each pass the number of images, the thread, the number of threads and whether gradients are on.

    Each pass waits at the barrier, because otherwise one thread may finish before another starts.
    """

    def __init__(self, barrier, calls=None):
        super().__init__()
        self.barrier = barrier
        self.calls = [] if calls is None else calls

    def __deepcopy__(self, memo):
        return Recorded(self.barrier, self.calls)

    def forward(self, x):
        """Return scores ``(N, classes)``."""
        self.barrier.wait(60)
        self.calls.append((len(x), threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()))
        return super().forward(x)


class Limited(Small):
    """Has memory for ``most`` images."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, x):
        """Return scores ``(N, classes)``."""
        if len(x) > self.most:
            raise torch.OutOfMemoryError("simulated")
        return super().forward(x)


class Narrow(Small):
    """Fails in half precision, in one of two ways."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        """Return scores ``(N, classes)``."""
        if not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        if self.error:
            raise self.error
        return super().forward(x) + torch.inf


def model_and_input(network=None):
    """Return a model and an example input."""
    model = throughput.with_speed(samples.explained(network or Small()), engine="torch")
    return model, throughput.example_input(model)


@pytest.fixture
def clock(monkeypatch):
    """Replace measured times by those of the returned list, in order; the timed calls still run."""
    seconds: list[float] = []

    def timed(call):
        call()
        return seconds.pop(0)

    monkeypatch.setattr(throughput, "_timed", timed)
    return seconds


# -- the report ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report():
    """Return the report of a short measurement of a small network."""
    return examine(samples.small(), seconds=0.1)


def test_a_report_is_json_and_complete(report):
    """It has every setting that was measured, one best setting, and exact scores without difference."""
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    settings = {(rate["workers"], rate["chunk"]) for rate in report["plain"]}
    assert {1, min(16, THREADS)} == {workers for workers, _ in settings}
    assert (1, 1) in settings
    best = [rate for rate in report["plain"] if rate["best"]]
    assert [rate["rate"] for rate in best] == [max(rate["rate"] for rate in report["plain"])]
    exact, reduced = report["masked"]
    assert (exact["precision"], exact["chosen"], exact["difference"]) == ("exact", True, 0)
    assert exact["correlation"] == pytest.approx(1)
    assert (reduced["precision"], reduced["chosen"], reduced["share"]) == ("bfloat16", False, None)
    assert 0 < reduced["difference"] < 0.1
    assert reduced["correlation"] > 0.99
    assert exact["share"] > 0


def test_each_step_is_reported():
    """The callback receives the name of each step."""
    steps = []
    examine(samples.small(), 0.1, steps.append)
    assert steps == ["looking at the machine", "plain passes", "masked passes"]


def test_tables_show_all_figures(report):
    """There is a row per chunk, a column per number of workers, and a row per precision, failed or not."""
    changed = report | {"failed": {"float16": "[no] kernel"}, "plain": [*report["plain"][:-1]]}
    changed["plain"].append(report["plain"][-1] | {"rate": 0.0})
    changed["engines"] = [asdict(EngineRate("torch", 50.0, 0.9, 0.0)), asdict(EngineRate("openvino", reason="[no]"))]
    facts, plain, masked, engines = doctor_tables.tables(changed)
    assert plain.row_count == len({rate["chunk"] for rate in report["plain"]})
    assert list(plain.columns[-1].cells)[-1] == "out of memory"
    assert [str(cell) for cell in masked.columns[0].cells] == ["exact (chosen)", "bfloat16", "float16"]
    console = Console(width=200)
    with console.capture() as printed:
        console.print(masked, engines)
    for text in ("[no] kernel", "50.0, 20.00 ms", "90%", "[no] "):
        assert text in printed.get()
    rows = dict(zip(facts.columns[0].cells, facts.columns[1].cells, strict=True))
    assert rows["gpu"] == "none"
    assert f"timm {version('timm')}" in rows["versions"]


def test_rates_are_shown_in_two_units():
    """A rate is shown as images per second and milliseconds per image."""
    assert doctor_tables._rate(80.0, best=True) == "80.0, 12.50 ms (best)"
    assert doctor_tables._rate(2000.0) == "2,000.0, 0.50 ms"


# -- the machine -----------------------------------------------------------------------------------------------


def test_facts_are_those_of_this_process(monkeypatch, tmp_path):
    """The facts are versions, threads, the device and the compiler that torch would use."""
    compiler = tmp_path / "my-c++"
    compiler.touch(mode=0o755)
    monkeypatch.setenv("CXX", str(compiler))
    facts = machine_facts(samples.small())
    assert facts["versions"]["torch"] == version("torch")
    assert (facts["model"], facts["device"], facts["gpu"]) == ("sample", "cpu", None)
    assert facts["threads"] == THREADS
    assert facts["computes_bfloat16"] == computes_bfloat16(torch.device("cpu"))
    assert facts["compiler"] == str(compiler)
    assert facts["processor"]
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert machine_facts(samples.small())["compiler"] is None


# -- plain passes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "channels"), [(torch.float32, 3), (torch.float64, 1)])
def test_the_example_input_fits_the_network(dtype, channels):
    """It has the right shape and type, and is always the same."""
    model = samples.explained(Small(channels=channels).to(dtype))
    model.preprocessing = samples.Preprocessing((32, 24), 32, mean=(0.5,) * channels, std=(0.5,) * channels)
    x = throughput.example_input(model)
    assert (x.shape, x.dtype) == ((1, channels, 32, 24), dtype)
    assert x.equal(throughput.example_input(model))


@pytest.mark.parametrize(("workers", "chunk"), [(1, 3), (2, 4)])
def test_a_plain_rate_is_images_per_second(workers, chunk, clock):
    """The first pass determines how many fit into the time; every worker runs these in its own thread."""
    network = Recorded(threading.Barrier(workers))
    model, x = model_and_input(network)
    clock += [1.0, 2.0]
    with count_passes() as counter:
        assert plain_rate(model, x, workers, chunk, 5) == workers * chunk * 5 / 2
    images, idents, threads, grads = zip(*network.calls, strict=True)
    assert images == (chunk,) * workers * 6
    for first in range(0, len(idents), workers):
        assert len(set(idents[first : first + workers])) == workers
    assert set(threads) == {max(1, THREADS // workers)}
    assert set(grads) == {False}
    with ThreadPoolExecutor(1) as pool:  # the number set in a thread also becomes that of new threads
        assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == THREADS
    assert counter.passes == 0


def test_the_best_setting_has_the_highest_median(monkeypatch):
    """It is not the setting with the highest single rate."""
    monkeypatch.setattr(throughput, "measure_in_turn", lambda *_: {(1, 1): [5.0, 1.0, 2.0], (1, 2): [3.0, 3.0, 4.0]})
    assert plain_rates(*model_and_input(), [], 1) == [PlainRate(1, 1, 2.0), PlainRate(1, 2, 3.0, best=True)]


def test_a_setting_without_enough_memory_has_rate_0():
    """The other settings are still measured."""
    rates = plain_rates(*model_and_input(Limited(2)), [(1, 1), (1, 2), (1, 4)], 0)
    assert [rate.rate > 0 for rate in rates] == [True, True, False]


@pytest.mark.parametrize(("seconds", "most"), [(1e9, 16), (0.0, 1)])
def test_a_slow_network_tries_few_settings(seconds, most):
    """With enough time all chunks are measured, with none only the first."""
    settings = throughput.candidate_settings(*model_and_input(), seconds)
    assert {chunk for _, chunk in settings} == {size for size in (1, 2, 4, 8, 16) if size <= most}
    assert {workers for workers, _ in settings} == {1, min(16, THREADS)}


def test_a_network_that_cannot_be_copied_has_one_worker():
    """No other number of workers is possible."""
    network = Small()
    network.lock = threading.Lock()
    assert {workers for workers, _ in throughput.candidate_settings(*model_and_input(network), 1e9)} == {1}


# -- masked passes ---------------------------------------------------------------------------------------------


def test_a_masked_rate_is_masks_per_second(clock):
    """Every mask is one pass."""
    model, x = model_and_input()
    clock.append(4.0)
    with count_passes() as counter:
        assert throughput.masked_rate(model, x, torch.tensor([1]), random_masks(10, x)) == 2.5
    assert counter.passes == 10


def test_the_share_compares_rates_of_the_same_round(monkeypatch):
    """It is the median of the rounds' quotients, because other load affects both rates of a round."""
    rates = {"exact": [1.0, 4.0, 3.0], "bfloat16": [8.0, 9.0, 7.0], "plain": [4.0, 4.0, 1.0]}
    monkeypatch.setattr(throughput, "measure_in_turn", lambda *_: rates)
    (exact, reduced), failed = masked_rates(*model_and_input(), PlainRate(1, 1, 100.0), 1)
    assert (exact.rate, exact.share) == (3.0, 1.0)
    assert (reduced.rate, reduced.share) == (8.0, None)
    assert failed == {}


@pytest.mark.parametrize(
    ("error", "message"), [(None, "the network returned"), (RuntimeError("no kernel\nat all"), "no kernel")]
)
def test_a_precision_that_fails_is_reported(error, message):
    """The exact precision is still measured."""
    masked, failed = masked_rates(*model_and_input(Narrow(error)), PlainRate(1, 1, 100.0), 0.1)
    assert [rate.precision for rate in masked] == ["exact"]
    assert list(failed) == ["bfloat16"]
    assert failed["bfloat16"].startswith(message)
    assert "\n" not in failed["bfloat16"]


def test_a_failure_of_the_chosen_precision_is_an_error():
    """There would be nothing to report."""
    model, x = model_and_input(Narrow(None))
    with pytest.raises(NonFiniteError):
        masked_rates(throughput.with_speed(model, precision="bfloat16"), x, PlainRate(1, 1, 100.0), 0.1)


def test_masks_are_rounded_down_to_full_passes():
    """Every worker has at least one pass."""
    assert [throughput.full_passes(count, 2, 4) for count in (0, 7, 8, 30)] == [8, 8, 8, 24]


def test_random_masks_are_active_and_reproducible():
    """Each mask is in [0, 1] and needs a pass."""
    _, x = model_and_input()
    masks = random_masks(5, x)
    where = (torch.arange(5), torch.zeros(5, dtype=torch.long))
    assert masks.active.all()
    assert masks[where].aminmax() == (0, 1)
    assert masks[where].equal(random_masks(5, x)[where])


@pytest.mark.parametrize(
    ("scores", "exact", "expected"),
    [([1, 2, 3], [1, 2, 3], (0, 1)), ([1, 2, 0], [1, 2, 3], (3, -0.5)), ([1, 2, 3], [2, 2, 2], (1, None))],
)
def test_score_difference(scores, exact, expected):
    """It is the largest difference, and the correlation unless one of the two is constant."""
    assert score_difference(torch.tensor(scores) / 1, torch.tensor(exact) / 1) == pytest.approx(expected)


# -- engines ---------------------------------------------------------------------------------------------------


def test_engines_are_measured_in_turn(tmp_path, monkeypatch):
    """Each has a rate, its share of its own plain rate, and its difference from PyTorch."""
    monkeypatch.setenv("FUSIONCAM_CACHE_DIR", str(tmp_path))
    one, other = engine_rates(samples.small(), 100.0, 0.1)
    assert [one.engine, other.engine, one.reason, other.reason] == ["torch", "openvino", None, None]
    assert (one.difference, other.difference < 1e-5) == (0, True)
    assert min(one.rate, other.rate, one.share, other.share) > 0


def test_an_engine_that_cannot_run_the_network_has_a_reason():
    """It is an error only if it was requested by name."""
    model = samples.explained(Small().double())
    torch_rate, other = engine_rates(model, 100.0, 0.1)
    assert torch_rate.rate > 0
    assert (other.rate, "needs a float32 network" in other.reason) == (None, True)
    assert engine_rates(throughput.with_speed(model, engine="torch"), 100.0, 0.1)[1].reason == "not requested"
    with pytest.raises(EngineError, match="needs a float32 network"):
        engine_rates(throughput.with_speed(model, engine="openvino"), 100.0, 0.1)


# -- timing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 1), (1e9, 7)])
def test_measurements_take_turns(seconds, rounds):
    """There is one round without time, and seven with enough."""
    turns = []
    measurements = {name: lambda name=name: turns.append(name) or len(turns) for name in "ab"}
    results = measure_in_turn(measurements, seconds)
    assert turns == list("ab") * rounds
    assert results["b"] == list(range(2, 2 * rounds + 1, 2))


def test_a_round_starts_only_if_it_fits_into_the_time(monkeypatch):
    """Three rounds of 3 seconds fit into 10 seconds."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def measure():
        now[0] += 3
        return 1.0

    assert measure_in_turn({"a": measure}, 10) == {"a": [1.0] * 3}


# -- worker replicas -------------------------------------------------------------------------------------------


def test_replica_calls_run_in_evaluation_mode():
    """The network returns to training mode afterwards."""
    network = nn.Sequential(Small(), nn.Dropout(0.5)).train()
    model, x = model_and_input(network)
    with throughput.with_speed(model, workers=2, chunk=4).runner.exclusive_replicas(x, 100) as (calls, chunk):
        assert (len(calls), chunk) == (2, 4)
        assert calls[1](x).equal(calls[0](x))
        assert not network.training
    assert network.training

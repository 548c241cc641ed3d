"""What the doctor says of a machine: facts that can be checked, and figures of a clock that is made up."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import pytest
import torch
from rich.console import Console
from torch import nn

import samples
from fusioncam.benchmark import throughput
from fusioncam.benchmark.throughput import (
    Plain,
    examine,
    in_turns,
    machine,
    precisions,
    raw_rate,
    raw_rates,
    score_difference,
    spots,
)
from fusioncam.cli import doctor_tables
from fusioncam.errors import NonFiniteError
from fusioncam.inference.costs import count_passes
from fusioncam.inference.settings import computes_bfloat16
from samples import Small

THREADS = torch.get_num_threads()


class Watched(Small):
    """Notes how many images each pass had, in which thread, with how many threads and gradients or not.

    A pass waits for so many to be made at once: else a thread may be through with its own before another starts.
    """

    def __init__(self, meeting, seen=None):
        super().__init__()
        self.meeting = meeting
        self.seen = [] if seen is None else seen

    def __deepcopy__(self, memo):
        return Watched(self.meeting, self.seen)

    def forward(self, x):
        """Give scores ``(N, classes)``."""
        self.meeting.wait(60)
        self.seen.append((len(x), threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()))
        return super().forward(x)


class Limited(Small):
    """Has memory for so many images."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, x):
        """Give scores ``(N, classes)``."""
        if len(x) > self.most:
            raise torch.OutOfMemoryError("made up")
        return super().forward(x)


class Narrow(Small):
    """Fails in half precision, in one of two ways."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        """Give scores ``(N, classes)``."""
        if not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        if self.error:
            raise self.error
        return super().forward(x) + torch.inf


def asked(network=None):
    """Give a model and its example."""
    model = samples.explained(network or Small())
    return model, throughput.example(model)


@pytest.fixture
def clock(monkeypatch):
    """Have everything that is timed take the seconds of a list, one after the other, and be done all the same."""
    seconds: list[float] = []

    def timed(do):
        do()
        return seconds.pop(0)

    monkeypatch.setattr(throughput, "_timed", timed)
    return seconds


# -- the whole -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report():
    """A short examination of a small network."""
    return examine(samples.small(), seconds=0.1)


def test_a_report_is_json_and_complete(report):
    """Every setting that was tried is there, one is the best; exact scores are their own measure."""
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    tried = {(one["workers"], one["chunk"]) for one in report["plain"]}
    assert {1, min(16, THREADS)} == {workers for workers, _ in tried}
    assert (1, 1) in tried
    best = [one for one in report["plain"] if one["best"]]
    assert [one["rate"] for one in best] == [max(one["rate"] for one in report["plain"])]
    exact, reduced = report["masked"]
    assert (exact["precision"], exact["chosen"], exact["difference"]) == ("exact", True, 0)
    assert exact["correlation"] == pytest.approx(1)
    assert (reduced["precision"], reduced["chosen"], reduced["share"]) == ("bfloat16", False, None)
    assert 0 < reduced["difference"] < 0.1
    assert reduced["correlation"] > 0.99
    assert exact["share"] > 0


def test_it_tells_what_it_does():
    """Whoever waits hears of each step."""
    heard = []
    examine(samples.small(), 0.1, heard.append)
    assert heard == ["looking at the machine", "plain passes", "masked passes"]


def test_tables_show_all_figures(report):
    """A row for each chunk with a column for each number of workers, and one for each precision, failed or not."""
    shown = report | {"failed": {"float16": "[no] kernel"}, "plain": [*report["plain"][:-1]]}
    shown["plain"].append(report["plain"][-1] | {"rate": 0.0})
    facts, plain, masked = doctor_tables.tables(shown)
    assert plain.row_count == len({one["chunk"] for one in report["plain"]})
    assert list(plain.columns[-1].cells)[-1] == "out of memory"
    assert [str(one) for one in masked.columns[0].cells] == ["exact (chosen)", "bfloat16", "float16"]
    console = Console(width=200)
    with console.capture() as printed:
        console.print(masked)
    assert "[no] kernel" in printed.get()
    rows = dict(zip(facts.columns[0].cells, facts.columns[1].cells, strict=True))
    assert rows["gpu"] == "none"
    assert f"timm {version('timm')}" in rows["versions"]


def test_rates_are_shown_both_ways():
    """Images a second, and milliseconds an image."""
    assert doctor_tables._rate(80.0, best=True) == "80.0, 12.50 ms (best)"
    assert doctor_tables._rate(2000.0) == "2,000.0, 0.50 ms"


# -- the machine -----------------------------------------------------------------------------------------------


def test_facts_are_those_of_this_process(monkeypatch, tmp_path):
    """Versions, threads, device; and the compiler that torch would take."""
    compiler = tmp_path / "my-c++"
    compiler.touch(mode=0o755)
    monkeypatch.setenv("CXX", str(compiler))
    facts = machine(samples.small())
    assert facts["versions"]["torch"] == version("torch")
    assert (facts["model"], facts["device"], facts["gpu"]) == ("sample", "cpu", None)
    assert facts["threads"] == THREADS
    assert facts["computes_bfloat16"] == computes_bfloat16(torch.device("cpu"))
    assert facts["compiler"] == str(compiler)
    assert facts["processor"]
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert machine(samples.small())["compiler"] is None


# -- plain passes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "channels"), [(torch.float32, 3), (torch.float64, 1)])
def test_the_example_fits_the_network(dtype, channels):
    """In shape and precision, and is the same each time."""
    model = samples.explained(Small(channels=channels).to(dtype))
    wants = samples.Preprocessing((32, 24), 32, mean=(0.5,) * channels, std=(0.5,) * channels)
    model.preprocessing = wants
    x = throughput.example(model)
    assert (x.shape, x.dtype) == ((1, channels, 32, 24), dtype)
    assert x.equal(throughput.example(model))


@pytest.mark.parametrize(("workers", "chunk"), [(1, 3), (2, 4)])
def test_a_rate_is_images_by_seconds(workers, chunk, clock):
    """A pass warms up and tells how many fit into the time; every worker makes those, in a thread of its own."""
    network = Watched(threading.Barrier(workers))
    model, x = asked(network)
    clock += [1.0, 2.0]
    with count_passes() as meter:
        assert raw_rate(model, x, workers, chunk, 5) == workers * chunk * 5 / 2
    images, idents, threads, grads = zip(*network.seen, strict=True)
    assert images == (chunk,) * workers * 6
    for first in range(0, len(idents), workers):
        assert len(set(idents[first : first + workers])) == workers
    assert set(threads) == {max(1, THREADS // workers)}
    assert set(grads) == {False}
    with ThreadPoolExecutor(1) as pool:  # a thread's own number is also kept as that of threads to come
        assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == THREADS
    assert meter.passes == 0


def test_the_best_setting_is_that_of_the_highest_median(monkeypatch):
    """Not of the highest turn."""
    monkeypatch.setattr(throughput, "in_turns", lambda *_: {(1, 1): [5.0, 1.0, 2.0], (1, 2): [3.0, 3.0, 4.0]})
    assert raw_rates(*asked(), [], 1) == [Plain(1, 1, 2.0), Plain(1, 2, 3.0, best=True)]


def test_where_memory_ends_the_others_go_on():
    """Its rate is 0."""
    rates = raw_rates(*asked(Limited(2)), [(1, 1), (1, 2), (1, 4)], 0)
    assert [one.rate > 0 for one in rates] == [True, True, False]


@pytest.mark.parametrize(("seconds", "most"), [(1e9, 16), (0.0, 1)])
def test_a_slow_network_tries_few_settings(seconds, most):
    """With time enough all chunks are tried, with none the first alone."""
    tried = throughput.settings(*asked(), seconds)
    assert {chunk for _, chunk in tried} == {size for size in (1, 2, 4, 8, 16) if size <= most}
    assert {workers for workers, _ in tried} == {1, min(16, THREADS)}


def test_a_network_that_cannot_be_copied_has_one_worker():
    """There is nothing to compare with."""
    network = Small()
    network.lock = threading.Lock()
    assert {workers for workers, _ in throughput.settings(*asked(network), 1e9)} == {1}


# -- masked passes ---------------------------------------------------------------------------------------------


def test_a_sweep_s_rate_is_masks_by_seconds(clock):
    """Every mask is a pass."""
    model, x = asked()
    clock.append(4.0)
    with count_passes() as meter:
        assert throughput.sweep_rate(model, x, torch.tensor([1]), spots(10, x)) == 2.5
    assert meter.passes == 10


def test_the_share_is_that_of_the_same_round(monkeypatch):
    """The median of the rounds' quotients: a slow spell hits both."""
    rates = {"exact": [1.0, 4.0, 3.0], "bfloat16": [8.0, 9.0, 7.0], "plain": [4.0, 4.0, 1.0]}
    monkeypatch.setattr(throughput, "in_turns", lambda *_: rates)
    (exact, reduced), failed = precisions(*asked(), Plain(1, 1, 100.0), 1)
    assert (exact.rate, exact.share) == (3.0, 1.0)
    assert (reduced.rate, reduced.share) == (8.0, None)
    assert failed == {}


@pytest.mark.parametrize(
    ("error", "told"), [(None, "the network returned"), (RuntimeError("no kernel\nat all"), "no kernel")]
)
def test_a_precision_that_fails_is_told(error, told):
    """And the exact one measured."""
    masked, failed = precisions(*asked(Narrow(error)), Plain(1, 1, 100.0), 0.1)
    assert [one.precision for one in masked] == ["exact"]
    assert list(failed) == ["bfloat16"]
    assert failed["bfloat16"].startswith(told)
    assert "\n" not in failed["bfloat16"]


def test_a_precision_that_was_asked_for_must_not_fail():
    """There would be nothing to tell."""
    model, x = asked(Narrow(None))
    with pytest.raises(NonFiniteError):
        precisions(throughput._with(model, precision="bfloat16"), x, Plain(1, 1, 100.0), 0.1)


def test_sweeps_are_of_full_passes():
    """Of every worker, at least one."""
    assert [throughput._full(count, 2, 4) for count in (0, 7, 8, 30)] == [8, 8, 8, 24]


def test_masks_are_alive_and_the_same_each_time():
    """Each is worth a pass and in [0, 1]."""
    _, x = asked()
    masks = spots(5, x)
    where = (torch.arange(5), torch.zeros(5, dtype=torch.long))
    assert masks.active.all()
    assert masks[where].aminmax() == (0, 1)
    assert masks[where].equal(spots(5, x)[where])


@pytest.mark.parametrize(
    ("scores", "exact", "expected"),
    [([1, 2, 3], [1, 2, 3], (0, 1)), ([1, 2, 0], [1, 2, 3], (3, -0.5)), ([1, 2, 3], [2, 2, 2], (1, None))],
)
def test_scores_are_compared(scores, exact, expected):
    """By the largest difference and the correlation, where there is one."""
    assert score_difference(torch.tensor(scores) / 1, torch.tensor(exact) / 1) == pytest.approx(expected)


# -- measuring -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 1), (1e9, 7)])
def test_contestants_take_turns(seconds, rounds):
    """One round where there is no time, seven where there is enough."""
    turns = []
    contestants = {name: lambda name=name: turns.append(name) or len(turns) for name in "ab"}
    figures = in_turns(contestants, seconds)
    assert turns == list("ab") * rounds
    assert figures["b"] == list(range(2, 2 * rounds + 1, 2))


def test_rounds_end_before_the_time_does(monkeypatch):
    """Another round is begun only if it is likely to fit: rounds of 3 seconds, 10 seconds, three rounds."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def turn():
        now[0] += 3
        return 1.0

    assert in_turns({"a": turn}, 10) == {"a": [1.0] * 3}


# -- the door to the network -----------------------------------------------------------------------------------


def test_workers_are_lent_as_sweeps_have_them():
    """In evaluation while they are lent, no longer afterwards."""
    network = nn.Sequential(Small(), nn.Dropout(0.5)).train()
    model, x = asked(network)
    with throughput._with(model, workers=2, chunk=4).runner.exclusive_replicas(x, 100) as (calls, chunk):
        assert (len(calls), chunk) == (2, 4)
        assert calls[1](x).equal(calls[0](x))
        assert not network.training
    assert network.training

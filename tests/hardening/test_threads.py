"""Explanations in several threads, in forked processes, and over many calls."""

from __future__ import annotations

import copy
import gc
import os
import resource
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import fusioncam as fc
from fusioncam import METHODS, ExplainedModel
from fusioncam.data.images import open_image
from fusioncam.inference.eval_mode import exclusive_eval
from fusioncam.metrics.registry import METRICS
from fusioncam.utils.quiet import ignoring
from fusioncam.utils.recent import Recent
from samples import CAT, Small, photo

SECONDS = 20  # after which a process counts as hanging


def model():
    """Return a small model at its only layer with feature maps."""
    return ExplainedModel(Small(), "act")


def in_threads(work, count=4):
    """Call a function in several threads at once, and raise what one of them raises."""
    errors, together = [], threading.Barrier(count)

    def run():
        try:
            together.wait()
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


# -- warnings --------------------------------------------------------------------------------------------------


def test_threads_leave_no_filter_of_warnings(tmp_path):
    """Images are opened, metrics run methods again, and warnings of other libraries are ignored."""
    photo(CAT, (60, 40)).save(tmp_path / "cat.png")
    explained, x = model(), torch.rand(1, 3, 40, 60)
    before = list(warnings.filters)

    def work():
        for _ in range(5):
            open_image(tmp_path / "cat.png")
            METRICS["max-sensitivity"](explained, x, 1, torch.rand(1, 40, 60), method=METHODS["grad-cam"])
            with ignoring(UserWarning):
                time.sleep(0.002)

    in_threads(work)
    assert warnings.filters == before


def test_ignored_warnings_are_those_of_the_block():
    """A category and the beginning of the text choose them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ignoring(UserWarning, "not"):
            warnings.warn("nothing", UserWarning, stacklevel=1)
            warnings.warn("but this", UserWarning, stacklevel=1)
    assert [str(one.message) for one in caught] == ["but this"]


# -- forks -----------------------------------------------------------------------------------------------------


def ended(process):
    """Return the exit code of a forked process, or None if it hangs."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of forks in programs with threads
def test_forked_process_can_explain_while_another_thread_does():
    """It has locks of its own, and the network's flags as they were before."""
    network, held, done = Small().train(), threading.Event(), threading.Event()

    def hold():
        with exclusive_eval(network, grad=True, frozen=True):
            held.set()
            done.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(SECONDS)
    try:
        process = os.fork()
        if not process:
            trains = all(module.training for module in network.modules())
            trains &= all(parameter.requires_grad for parameter in network.parameters())
            with exclusive_eval(network, grad=False), ignoring():
                evaluates = not network.training
            os._exit(0 if trains and evaluates and network.training else 3)
        assert ended(process) == 0
        assert not network.training  # here, the other thread still has it
        assert not any(parameter.requires_grad for parameter in network.parameters())
    finally:
        done.set()
        thread.join()
    assert network.training


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forks_during_explanations_do_not_hang(one_thread):
    """Twenty processes, each at another moment of an explanation in a thread."""
    explained, x, stop = model(), torch.rand(1, 3, 96, 96), threading.Event()

    def work():
        while not stop.is_set():
            METHODS["grad-cam"](explained, x, 1)

    thread = threading.Thread(target=work)
    thread.start()
    codes = []
    try:
        for n in range(20):
            time.sleep(0.003 * n)
            process = os.fork()
            if not process:
                METHODS["grad-cam"](explained, x, 1)
                os._exit(0)
            codes.append(ended(process))
    finally:
        stop.set()
        thread.join()
    assert codes == [0] * 20


# -- copies ----------------------------------------------------------------------------------------------------


def test_copy_is_explained_while_the_network_trains():
    """The flags of the network are untouched while its copy is explained."""
    network = Small().train()
    seen = []
    copied = copy.deepcopy(network)
    copied.act.register_forward_hook(lambda *_: seen.append(network.training))
    METHODS["grad-cam"](ExplainedModel(copied, "act"), torch.rand(1, 3, 32, 32), 1)
    assert seen
    assert all(seen)


# -- memory ----------------------------------------------------------------------------------------------------


def test_recent_keeps_the_last_values():
    """Values that are used stay; one that is no longer valid is made again."""
    made, recent = [], Recent(2)

    def value(key, valid=lambda value: True):
        return recent.get(key, lambda: made.append(key) or len(made), valid)

    assert [value(key) for key in "abaca"] == [1, 2, 1, 3, 1]
    assert list(recent) == ["c", "a"]
    assert value("a", lambda value: value > 3) == 4
    assert len(recent) == 2


def test_shapes_of_inputs_do_not_accumulate():
    """A model keeps what it found for the last shapes only."""
    explained = ExplainedModel(Small())
    for side in range(20, 80):
        METHODS["score-cam"](explained, torch.rand(1, 3, side, 32), 1)
        METHODS["ablation-cam"](explained, torch.rand(1, 3, side, 32), 1)
    kept = [explained.layers._traces, explained.layers._defaults, explained.runner._tuners]
    assert [len(one) for one in kept] == [32, 32, 60]


def megabytes():
    """Return the memory of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.filterwarnings("ignore:.*constant heatmap")
@pytest.mark.filterwarnings("ignore:.*the rest is cropped away")
def test_memory_is_flat_over_many_calls(one_thread, capsys):
    """2,000 heatmaps of images of eight sizes by several methods; torch itself keeps something for every size."""
    explained, rng = ExplainedModel(Small(), labels=None), np.random.default_rng(0)
    methods = ("grad-cam", "score-cam", "fusion-cam", "integrated-gradients", "fullgrad")
    sizes, used = rng.integers(24, 96, (8, 2)), []
    for n in range(2000):
        image = rng.integers(0, 255, (*sizes[n % 8], 3), np.uint8)
        METHODS[methods[n % 5]](explained, torch.from_numpy(image).permute(2, 0, 1)[None] / 255, 1)
        if n % 50 == 0:
            fc.explain(image, model=explained, method="grad-cam", target=1)
        if n % 100 == 99:
            used.append(megabytes())
    with capsys.disabled():
        print(f"\nmemory after every 100 calls, MiB: {', '.join(f'{one:.0f}' for one in used)}")
    assert used[-1] - used[1] < 5

"""What this machine gives a model: its facts, the network's own rate, and what masked passes reach of it.

Everything that is compared takes turns, so that a slow spell of a busy machine hits all alike, and is told as the
median of its turns.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import torch
from torch import Tensor

from fusioncam.errors import NonFiniteError
from fusioncam.functional.heatmaps import upsample
from fusioncam.functional.masks import ChannelMasks
from fusioncam.inference.allocator import keep_freed
from fusioncam.inference.settings import Speed, computes_bfloat16
from fusioncam.model.explained_model import ExplainedModel

SCHEMA_VERSION = 1
_CPU_CHUNKS, _GPU_CHUNKS = (1, 2, 4, 8, 16), (1, 16, 32, 64, 128, 256)
# of the time for all: one turn of plain passes, all of them, a sweep that finds its settings, all turns of sweeps
_TURN, _PLAIN, _SWEEP, _MASKED = 0.0075, 0.45, 0.15, 0.35
_ROUNDS, _FEWEST, _MOST = 7, 8, 4096  # masks: the most is what a sweep on a GPU needs to find its settings
_CELLS = 7  # a side: the size of a last layer's maps
_NAMES = {None: "exact", torch.bfloat16: "bfloat16", torch.float16: "float16"}
Key = TypeVar("Key")


@dataclass(frozen=True)
class Plain:
    """Passes without masks at one setting: images a second, 0 where memory did not suffice."""

    workers: int
    chunk: int
    rate: float
    best: bool = False


@dataclass(frozen=True)
class Masked:
    """Masked passes in one precision: at what setting and rate, and how far their scores are from the exact ones.

    ``share`` is that of the best plain rate, for the precision that was asked for (``chosen``). ``difference`` is the
    largest of the target's logit; ``correlation`` is None where all masks score the same.
    """

    precision: str
    chosen: bool
    workers: int
    chunk: int
    rate: float
    share: float | None
    difference: float
    correlation: float | None


def examine(model: ExplainedModel, seconds: float = 20.0, tell: Callable[[str], object] = str) -> dict[str, Any]:
    """Give all facts and measurements, ready for JSON, in about ``seconds``; a slow network takes up to three times.

    ``tell`` hears what is being done.
    """
    began = time.perf_counter()
    tell("looking at the machine")
    facts, x = machine(model), example(model)
    tell("plain passes")
    plain = raw_rates(model, x, settings(model, x, seconds), seconds)
    tell("masked passes")
    masked, failed = precisions(model, x, next(one for one in plain if one.best), seconds)
    return {
        "schema_version": SCHEMA_VERSION,
        "machine": facts,
        "plain": [asdict(one) for one in plain],
        "masked": [asdict(one) for one in masked],
        "failed": failed,
        "seconds": round(time.perf_counter() - began, 1),
    }


# -- the machine -----------------------------------------------------------------------------------------------


def machine(model: ExplainedModel) -> dict[str, Any]:
    """Give what the machine has for the model, ready for JSON."""
    packages = ("fusioncam", "torch", "torchvision", "timm")
    return {
        "model": model.name,
        "device": str(model.device),
        "gpu": _gpu(model.device),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "computes_bfloat16": computes_bfloat16(model.device),
        "keeps_freed_memory": keep_freed(),
        "compiler": _compiler(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu(device: torch.device) -> dict[str, Any] | None:
    if device.type != "cuda":
        return None
    found = torch.cuda.get_device_properties(device)
    return {"name": found.name, "memory_gib": round(found.total_memory / 2**30, 1)}


def _compiler() -> str | None:
    """Find the C++ compiler that torch.compile would call."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", usual))


# -- plain passes ----------------------------------------------------------------------------------------------


def example(model: ExplainedModel) -> Tensor:
    """Give an input ``(1, C, H, W)`` of the model's size: random soft colours with grain, the same at every call."""
    wants = model.preprocessing
    draw = torch.Generator().manual_seed(0)
    colours = upsample(torch.randn(len(wants.mean), _CELLS, _CELLS, generator=draw), wants.size)
    x = (colours + torch.randn(colours.shape, generator=draw) / 2)[None]
    return x.to(next(model.network.parameters(), x))


def settings(model: ExplainedModel, x: Tensor, seconds: float) -> list[tuple[int, int]]:
    """List the ``(workers, chunk)`` worth a try: large chunks only where the first passes say that there is time."""
    many = _possible(model, x, Speed().side_by_side(x.device))
    raw_rate(model, x, 1, 1, 0)  # the very first pass sets things up
    image = 1 / raw_rate(model, x, 1, 1, 0)
    tried: list[tuple[int, int]] = []
    for chunk in _CPU_CHUNKS if x.device.type == "cpu" else _GPU_CHUNKS:
        more = [(workers, chunk) for workers in sorted({1, many})]
        # each is done twice in a round, once to warm up
        if tried and 2 * image * sum(workers * size for workers, size in tried + more) > 3 * _PLAIN * seconds:
            break
        tried += more
    return tried


def _possible(model: ExplainedModel, x: Tensor, workers: int) -> int:
    """Count the workers that are made where so many are asked for: not every network can be copied."""
    with _with(model, workers=workers, chunk=1).runner.exclusive_replicas(x, workers) as (calls, _):
        return len(calls)


def raw_rates(model: ExplainedModel, x: Tensor, tried: Iterable[tuple[int, int]], seconds: float) -> list[Plain]:
    """Give the rate of plain passes of ``x`` at each ``(workers, chunk)``, the best one marked."""

    def turn(workers: int, chunk: int) -> float:
        try:
            return raw_rate(model, x, workers, chunk, _TURN * seconds)
        except torch.OutOfMemoryError:
            return 0.0

    rates = in_turns({one: partial(turn, *one) for one in tried}, _PLAIN * seconds)
    medians = {one: median(several) for one, several in rates.items()}
    best = max(medians, key=medians.__getitem__)
    return [Plain(*one, rate, one == best) for one, rate in medians.items()]


def raw_rate(model: ExplainedModel, x: Tensor, workers: int, chunk: int, seconds: float) -> float:
    """Give images a second when every worker sends the same chunk through, again and again for so long."""
    # as for many masks: what is put in order once for a sweep is no part of its passes
    with _with(model, workers=workers, chunk=chunk, compile=False).runner.exclusive_replicas(x, _MOST) as (calls, _):
        # in the order of pixels that the caller would bring it to, so that it need not
        order = torch.channels_last if x.dim() == 4 else torch.contiguous_format
        batch = x.repeat(chunk, *[1] * (x.dim() - 1)).contiguous(memory_format=order)
        passes = max(1, round(seconds / _timed(partial(_send, calls, batch, 1))))
        return len(calls) * chunk * passes / _timed(partial(_send, calls, batch, passes))


def _send(calls: Sequence[Callable[[Tensor], Tensor]], batch: Tensor, passes: int) -> None:
    """Make so many passes in each worker: here, or in a thread each."""
    threads = torch.get_num_threads()

    def work(call: Callable[[Tensor], Tensor]) -> None:
        torch.set_num_threads(max(1, threads // len(calls)))
        with torch.no_grad():
            for _ in range(passes):
                scores = call(batch)
        scores[0, 0].item()  # a GPU is done when it gives a number back

    if len(calls) == 1:
        return work(calls[0])
    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            list(pool.map(work, calls))
    finally:
        torch.set_num_threads(threads)  # a thread's own number is also kept as that of threads to come
    return None


# -- masked passes ---------------------------------------------------------------------------------------------


def precisions(model: ExplainedModel, x: Tensor, best: Plain, seconds: float) -> tuple[list[Masked], dict[str, str]]:
    """Give what masked passes of ``x`` reach in every precision, and why some do not work with this network.

    Chunk and workers are those that the library picks by itself.
    """
    asked = _NAMES[model.speed.dtype(x.device)]
    names = dict.fromkeys(["exact", "bfloat16", *["float16"] * (x.device.type == "cuda"), asked])
    models = {name: _with(model, precision=name) for name in names}
    count = min(_MOST, max(_FEWEST, int(_SWEEP * seconds * best.rate)))
    target = model.logits(x).argmax(1)
    scores, failed = _first_scores(models, asked, x, target, spots(count, x))
    picked = {name: _picked(models[name], x, count) for name in scores}
    masks = {name: spots(_full(count // 2, *picked[name]), x) for name in scores}
    turns = {name: partial(sweep_rate, models[name], x, target, masks[name]) for name in scores}
    turns["plain"] = partial(raw_rate, model, x, best.workers, best.chunk, 2 * _TURN * seconds)
    rates = in_turns(turns, _MASKED * seconds)
    share = median(map(truediv, rates[asked], rates["plain"]))
    return [
        Masked(
            name,
            name == asked,
            *picked[name],
            median(rates[name]),
            share if name == asked else None,
            *score_difference(values, scores["exact"]),
        )
        for name, values in scores.items()
    ], failed


def _first_scores(
    models: Mapping[str, ExplainedModel], asked: str, x: Tensor, target: Tensor, masks: ChannelMasks
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Give the scores in each precision, of the sweep in which the library tries its settings, and what failed."""
    scores, failed = {}, {}
    for name, model in models.items():
        try:
            scores[name] = _scores(model, x, target, masks)
        except (NonFiniteError, RuntimeError) as error:  # too large a number for it, or no kernel
            if name in ("exact", asked):
                raise
            failed[name] = str(error).splitlines()[0]
    return scores, failed


def _full(masks: int, workers: int, chunk: int) -> int:
    """Round down to full passes of all workers, at least one each: what a long sweep is made of."""
    return max(1, masks // (workers * chunk)) * workers * chunk


def sweep_rate(model: ExplainedModel, x: Tensor, target: Tensor, masks: ChannelMasks) -> float:
    """Give masked images a second."""
    return len(masks.active) / _timed(partial(_scores, model, x, target, masks))


def _scores(model: ExplainedModel, x: Tensor, target: Tensor, masks: ChannelMasks) -> Tensor:
    return model.masked_scores(x, masks, target, readout="logit")[:, 0].cpu()


def spots(count: int, x: Tensor) -> ChannelMasks:
    """Give so many masks like those of a layer's channels, random, coarse and half dark, the same at every call."""
    draw = torch.Generator().manual_seed(0)
    maps = torch.randn(1, count, *[_CELLS] * (x.dim() - 2), generator=draw).relu()
    return ChannelMasks(maps.to(x), x.shape[2:])


def score_difference(scores: Tensor, exact: Tensor) -> tuple[float, float | None]:
    """Give the largest difference and the correlation, None where one of them is all the same."""
    together = torch.stack([scores, exact]).double()
    constant = (together == together[:, :1]).all(1).any()
    correlation = None if constant else together.corrcoef()[0, 1].item()
    return (scores - exact).abs().max().item(), correlation


# -- measuring -------------------------------------------------------------------------------------------------


def in_turns(contestants: Mapping[Key, Callable[[], float]], seconds: float) -> dict[Key, list[float]]:
    """Ask each for its figure, in turn, while another round fits into the time: at least once, at most 7 times."""
    began, figures = time.perf_counter(), {one: list[float]() for one in contestants}
    for rounds in range(1, _ROUNDS + 1):
        for one, ask in contestants.items():
            figures[one].append(ask())
        if (time.perf_counter() - began) * (rounds + 1) / rounds > seconds:
            break
    return figures


def _timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def _with(model: ExplainedModel, **changes: Any) -> ExplainedModel:
    """Give the same network at another speed."""
    speed = replace(model.speed, **changes)
    return ExplainedModel(model.network, preprocessing=model.preprocessing, name=model.name, speed=speed)


def _picked(model: ExplainedModel, x: Tensor, jobs: int) -> tuple[int, int]:
    """Give the workers and the chunk at which so many masked passes are made."""
    with model.runner.exclusive_replicas(x, jobs) as (calls, chunk):
        return len(calls), chunk

"""Measure the throughput of a model on this machine: plain passes, and masked passes in each precision.

Everything that is compared is measured in turn, round by round, so that other load on the machine affects all
equally. The result is the median of the rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from operator import truediv
from statistics import median
from typing import Any, TypeVar

import torch
from torch import Tensor

from fusioncam.benchmark.machine import machine_facts
from fusioncam.errors import NonFiniteError, SettingError
from fusioncam.functional.heatmaps import upsample
from fusioncam.functional.masks import ChannelMasks
from fusioncam.inference.settings import Speed
from fusioncam.model.explained_model import ExplainedModel

SCHEMA_VERSION = 1
MAX_SECONDS = 3600
_CPU_CHUNKS, _GPU_CHUNKS = (1, 2, 4, 8, 16), (1, 16, 32, 64, 128, 256)
# shares of the total time: one turn of plain passes, all of them, the first masked scores, all turns of masked passes
_TURN, _PLAIN, _FIRST_SCORES, _MASKED = 0.0075, 0.45, 0.15, 0.35
_MAX_ROUNDS = 7
# the library needs the larger number of masks to find its settings on a GPU
_MIN_MASKS, _MAX_MASKS = 8, 4096
_CELLS = 7  # cells per side of random images and masks: the size of a last layer's feature maps
_PRECISION_NAMES = {None: "exact", torch.bfloat16: "bfloat16", torch.float16: "float16"}
Key = TypeVar("Key")


@dataclass(frozen=True)
class PlainRate:
    """The rate of passes without masks at one setting: images per second, 0 if memory was not sufficient."""

    workers: int
    chunk: int
    rate: float
    best: bool = False


@dataclass(frozen=True)
class MaskedRate:
    """The rate of masked passes in one precision, and how far the scores are from the exact ones.

    ``chosen`` marks the precision of the model, for which ``share`` is the fraction of the best plain rate.
    ``difference`` is the largest difference of the target's logit. ``correlation`` is None if all masks have the same
    score.
    """

    precision: str
    chosen: bool
    workers: int
    chunk: int
    rate: float
    share: float | None
    difference: float
    correlation: float | None


def examine(model: ExplainedModel, seconds: float = 20.0, report: Callable[[str], object] = str) -> dict[str, Any]:
    """Return all facts and measurements in PyTorch, ready for JSON.

    It takes about ``seconds``, up to three times as long for a slow network. ``report`` is called with the name of
    each step. Raises :class:`SettingError` for a duration that is not positive, or over an hour.
    """
    if not 0 < seconds <= MAX_SECONDS:
        raise SettingError(f"seconds must be positive and at most {MAX_SECONDS:,}, got {seconds!r}")
    start, model = time.perf_counter(), with_speed(model, engine="torch")
    report("looking at the machine")
    facts, x = machine_facts(model), example_input(model)
    report("plain passes")
    plain = plain_rates(model, x, candidate_settings(model, x, seconds), seconds)
    report("masked passes")
    masked, failed = masked_rates(model, x, next(rate for rate in plain if rate.best), seconds)
    return {
        "schema_version": SCHEMA_VERSION,
        "machine": facts,
        "plain": [asdict(rate) for rate in plain],
        "masked": [asdict(rate) for rate in masked],
        "failed": failed,
        "seconds": round(time.perf_counter() - start, 1),
    }


# -- plain passes ----------------------------------------------------------------------------------------------


def example_input(model: ExplainedModel) -> Tensor:
    """Return an input ``(1, C, *s)`` of the model's size: random smooth colours plus noise, always the same."""
    _, channels, *sides = model.preprocessing.blank_input().shape
    generator = torch.Generator().manual_seed(0)
    colours = upsample(torch.randn(channels, *[_CELLS] * len(sides), generator=generator), sides)
    x = (colours + torch.randn(colours.shape, generator=generator) / 2)[None]
    return x.to(next(model.network.parameters(), x))


def candidate_settings(model: ExplainedModel, x: Tensor, seconds: float) -> list[tuple[int, int]]:
    """Return the ``(workers, chunk)`` to measure: large chunks only if the network is fast enough for the time."""
    workers = _possible_workers(model, x, Speed().worker_count(x.device))
    plain_rate(model, x, 1, 1, 0)  # the first pass includes one-time initialisation
    seconds_per_image = 1 / plain_rate(model, x, 1, 1, 0)
    candidates: list[tuple[int, int]] = []
    for chunk in _CPU_CHUNKS if x.device.type == "cpu" else _GPU_CHUNKS:
        added = [(count, chunk) for count in sorted({1, workers})]
        # each setting runs twice per round, once to warm up
        images = 2 * sum(count * size for count, size in candidates + added)
        if candidates and seconds_per_image * images > 3 * _PLAIN * seconds:
            break
        candidates += added
    return candidates


def _possible_workers(model: ExplainedModel, x: Tensor, workers: int) -> int:
    """Return how many of the requested workers there are: not every network can be copied."""
    with with_speed(model, workers=workers, chunk=1).runner.exclusive_replicas(x, workers) as (calls, _):
        return len(calls)


def plain_rates(
    model: ExplainedModel, x: Tensor, candidates: Iterable[tuple[int, int]], seconds: float
) -> list[PlainRate]:
    """Return the rate of plain passes of ``x`` at each ``(workers, chunk)``, with the best one marked."""

    def measure(workers: int, chunk: int) -> float:
        try:
            return plain_rate(model, x, workers, chunk, _TURN * seconds)
        except torch.OutOfMemoryError:
            return 0.0

    rates = measure_in_turn({setting: partial(measure, *setting) for setting in candidates}, _PLAIN * seconds)
    medians = {setting: median(turns) for setting, turns in rates.items()}
    best = max(medians, key=medians.__getitem__)
    return [PlainRate(*setting, rate, setting == best) for setting, rate in medians.items()]


def plain_rate(model: ExplainedModel, x: Tensor, workers: int, chunk: int, seconds: float) -> float:
    """Return the images per second if every worker runs the same chunk repeatedly for ``seconds``."""
    # prepared as for many masks, because the preparation happens once and is not part of the passes
    with with_speed(model, workers=workers, chunk=chunk, compile=False).runner.exclusive_replicas(x, _MAX_MASKS) as (
        calls,
        _,
    ):
        # in the memory format that the calls would otherwise convert it to
        memory_format = torch.channels_last if x.dim() == 4 else torch.contiguous_format
        batch = x.repeat(chunk, *[1] * (x.dim() - 1)).contiguous(memory_format=memory_format)
        passes = max(1, round(seconds / _timed(partial(_run_passes, calls, batch, 1))))
        return len(calls) * chunk * passes / _timed(partial(_run_passes, calls, batch, passes))


def _run_passes(calls: Sequence[Callable[[Tensor], Tensor]], batch: Tensor, passes: int) -> None:
    """Run ``passes`` passes in each worker: in this thread if there is one worker, else in one thread each."""
    threads = torch.get_num_threads()

    def work(call: Callable[[Tensor], Tensor]) -> None:
        torch.set_num_threads(max(1, threads // len(calls)))
        with torch.no_grad():
            for _ in range(passes):
                scores = call(batch)
        scores[0, 0].item()  # waits for a GPU to finish

    if len(calls) == 1:
        return work(calls[0])
    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            list(pool.map(work, calls))
    finally:
        torch.set_num_threads(threads)  # the number set in a thread also becomes that of new threads
    return None


# -- masked passes ---------------------------------------------------------------------------------------------


def masked_rates(
    model: ExplainedModel, x: Tensor, best: PlainRate, seconds: float
) -> tuple[list[MaskedRate], dict[str, str]]:
    """Return the rates of masked passes of ``x`` in each precision, and the reasons why some precisions fail.

    Chunk and workers are those that the library chooses itself.
    """
    chosen = _PRECISION_NAMES[model.speed.dtype(x.device)]
    names = dict.fromkeys(["exact", "bfloat16", *["float16"] * (x.device.type == "cuda"), chosen])
    models = {name: with_speed(model, precision=name) for name in names}
    count = min(_MAX_MASKS, max(_MIN_MASKS, int(_FIRST_SCORES * seconds * best.rate)))
    target = model.logits(x).argmax(1)
    scores, failed = _first_scores(models, chosen, x, target, random_masks(count, x))
    settings = {name: chosen_setting(models[name], x, count) for name in scores}
    masks = {name: random_masks(full_passes(count // 2, *settings[name]), x) for name in scores}
    turns = {name: partial(masked_rate, models[name], x, target, masks[name]) for name in scores}
    turns["plain"] = partial(plain_rate, model, x, best.workers, best.chunk, 2 * _TURN * seconds)
    rates = measure_in_turn(turns, _MASKED * seconds)
    share = median(map(truediv, rates[chosen], rates["plain"]))
    return [
        MaskedRate(
            name,
            name == chosen,
            *settings[name],
            median(rates[name]),
            share if name == chosen else None,
            *score_difference(values, scores["exact"]),
        )
        for name, values in scores.items()
    ], failed


def _first_scores(
    models: Mapping[str, ExplainedModel], chosen: str, x: Tensor, target: Tensor, masks: ChannelMasks
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the scores in each precision, and why others fail; the library finds its settings in these passes."""
    scores, failed = {}, {}
    for name, model in models.items():
        try:
            scores[name] = masked_scores(model, x, target, masks)
        except (NonFiniteError, RuntimeError) as error:  # overflow in this precision, or no kernel for it
            if name in ("exact", chosen):
                raise
            failed[name] = str(error).splitlines()[0]
    return scores, failed


def full_passes(masks: int, workers: int, chunk: int) -> int:
    """Round the number of masks down to full passes of all workers, at least one each, as in a long run."""
    return max(1, masks // (workers * chunk)) * workers * chunk


def masked_rate(model: ExplainedModel, x: Tensor, target: Tensor, masks: ChannelMasks) -> float:
    """Return the masked images per second."""
    return len(masks.active) / _timed(partial(masked_scores, model, x, target, masks))


def masked_scores(model: ExplainedModel, x: Tensor, target: Tensor, masks: ChannelMasks) -> Tensor:
    """Return the logits of the target under each mask of the one image ``x``."""
    return model.masked_scores(x, masks, target, readout="logit")[:, 0].cpu()


def random_masks(count: int, x: Tensor) -> ChannelMasks:
    """Return ``count`` masks like those of a layer's channels: random, coarse, half of them 0, always the same."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, count, *[_CELLS] * (x.dim() - 2), generator=generator).relu()
    return ChannelMasks(maps.to(x), x.shape[2:])


def score_difference(scores: Tensor, exact: Tensor) -> tuple[float, float | None]:
    """Return the largest difference and the correlation; the latter is None if one of the two is constant."""
    stacked = torch.stack([scores, exact]).double()
    constant = (stacked == stacked[:, :1]).all(1).any()
    correlation = None if constant else stacked.corrcoef()[0, 1].item()
    return (scores - exact).abs().max().item(), correlation


# -- timing ----------------------------------------------------------------------------------------------------


def measure_in_turn(measurements: Mapping[Key, Callable[[], float]], seconds: float) -> dict[Key, list[float]]:
    """Run all measurements round by round while another round fits into the time, at least once, at most 7 times."""
    start, results = time.perf_counter(), {key: list[float]() for key in measurements}
    for rounds in range(1, _MAX_ROUNDS + 1):
        for key, measure in measurements.items():
            results[key].append(measure())
        if (time.perf_counter() - start) * (rounds + 1) / rounds > seconds:
            break
    return results


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def with_speed(model: ExplainedModel, **changes: Any) -> ExplainedModel:
    """Return the same network with other speed settings."""
    speed = replace(model.speed, **changes)
    return ExplainedModel(model.network, preprocessing=model.preprocessing, name=model.name, speed=speed)


def chosen_setting(model: ExplainedModel, x: Tensor, jobs: int) -> tuple[int, int]:
    """Return the workers and the chunk that the library chooses for this many masked passes."""
    with model.runner.exclusive_replicas(x, jobs) as (calls, chunk):
        return len(calls), chunk

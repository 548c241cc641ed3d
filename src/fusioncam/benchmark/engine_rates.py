"""Measure masked passes in each engine: PyTorch, and OpenVINO where it can run the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from operator import truediv
from statistics import median

from torch import Tensor

from fusioncam.benchmark.throughput import (
    chosen_setting,
    example_input,
    full_passes,
    masked_rate,
    masked_scores,
    measure_in_turn,
    plain_rate,
    random_masks,
    score_difference,
    with_speed,
)
from fusioncam.errors import EngineError, MissingExtraError
from fusioncam.model.explained_model import ExplainedModel

# shares of the total time: the masks of one turn, one turn of plain passes
_MASKS, _TURN = 0.05, 0.015
_MIN_MASKS, _MAX_MASKS = 8, 4096


@dataclass(frozen=True)
class EngineRate:
    """The masked images per second of an engine, and ``reason`` if it cannot run the network.

    ``share`` is the fraction of the rate of plain passes in the same engine, and ``difference`` the largest
    difference of the target's logit from PyTorch.
    """

    engine: str
    rate: float | None = None
    share: float | None = None
    difference: float | None = None
    reason: str | None = None


def engine_rates(model: ExplainedModel, rate: float, seconds: float) -> list[EngineRate]:
    """Return the rate of masked passes of an example in each engine, in the precision of the model.

    ``rate`` is about the plain passes per second; the measurement takes about half of ``seconds``.

    Raises :class:`EngineError` if an engine that was requested by name cannot run the network.
    """
    x, count = example_input(model), min(_MAX_MASKS, max(_MIN_MASKS, int(_MASKS * seconds * rate)))
    target, masks, scores = model.logits(x).argmax(1), random_masks(count, x), {}
    models = {name: with_speed(model, engine=name) for name in ("torch", "openvino")}
    reasons = dict.fromkeys(models, "not requested") if model.speed.engine == "torch" else {}
    for name in models if not reasons else ["torch"]:
        try:
            scores[name] = masked_scores(models[name], x, target, masks)
        except (EngineError, MissingExtraError) as error:
            if model.speed.engine == name:
                raise
            reasons[name] = str(error)
    rates = _measured({name: models[name] for name in scores}, x, target, count, seconds)
    return [
        EngineRate(
            name,
            median(rates[name]),
            median(map(truediv, rates[name], rates[f"{name}, plain"])),
            score_difference(values, scores["torch"])[0],
        )
        for name, values in scores.items()
    ] + [EngineRate(name, reason=reasons[name]) for name in models if name not in scores]


def _measured(
    models: Mapping[str, ExplainedModel], x: Tensor, target: Tensor, count: int, seconds: float
) -> dict[str, list[float]]:
    """Return the rates of masked passes by engine, and of plain passes at the same settings."""
    turns = {}
    for name, model in models.items():
        workers, chunk = chosen_setting(model, x, count)
        masks = random_masks(full_passes(count, workers, chunk), x)
        turns[name] = partial(masked_rate, model, x, target, masks)
        turns[f"{name}, plain"] = partial(plain_rate, model, x, workers, chunk, _TURN * seconds)
    return measure_in_turn(turns, 8 * _MASKS * seconds)

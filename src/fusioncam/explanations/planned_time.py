"""How long a run will take, before it starts: images, passes of each, and the seconds of a pass."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

import torch

from fusioncam.distributed.progress import PlannedTime
from fusioncam.functional.masks import ChannelMasks
from fusioncam.inference.random_state import kept_random_state
from fusioncam.methods.costs import PassCount, cost_of
from fusioncam.methods.registry import as_method
from fusioncam.metrics.passes import MetricPasses
from fusioncam.model.explained_model import ExplainedModel

# docs/trust.md: a trust card takes about 260 passes for a method of one pass and 600 for Fusion-CAM, as it runs the
# method again with at most 64 masks
_CARD, _CARD_RUNS, _CARD_MASKS = 250, 5.5, 64
# the rounds of passes that are timed, the seconds after which there is no further one, and the passes of each: fewer
# than those after which the network is converted
_ROUNDS, _ENOUGH, _MASKS = 3, 2.0, 16


def plan_time(
    model: ExplainedModel,
    images: int,
    methods: Iterable[object],
    metric_costs: Iterable[MetricPasses | None] = (),
    *,
    check: bool = False,
) -> PlannedTime | None:
    """Return how long ``images`` take, or None for a network that fails; some passes are timed.

    ``metric_costs`` has None for a metric that does not state its cost. Passes that start at the layer are not
    counted: they take a small part of the time of others.
    """
    with suppress(Exception):  # the run itself reports what is wrong
        passes, complete = planned_passes(model, methods, list(metric_costs), check=check)
        return PlannedTime(images, passes, _seconds_of_pass(model), complete)
    return None


def planned_passes(
    model: ExplainedModel,
    methods: Iterable[object],
    metric_costs: Iterable[MetricPasses | None] = (),
    *,
    check: bool = False,
) -> tuple[int, bool]:
    """Return the passes of one image, and whether they are all: some methods and metrics do not state theirs."""
    channels, pixels = _channels(model), math.prod(model.preprocessing.blank_input().shape[2:])
    total, complete = 0.0, True
    for method in methods:
        own = _passes_of(cost_of(as_method(method)[1]), channels)  # type: ignore[arg-type]
        measured = [None if cost is None else cost.at(own or 0, pixels) for cost in metric_costs]
        card = _CARD + _CARD_RUNS * min(own or 0, _CARD_MASKS) if check else 0
        total += (own or 0) + card + sum(one or 0 for one in measured)
        complete &= None not in (own, *measured)
    return round(total), complete


def _passes_of(cost: PassCount, channels: int) -> int | None:
    """Return the full passes of a method at a layer; of a method that states the most, the most."""
    found = replace(cost, at_most=False).at(channels, 0)
    return None if found is None else found[0]


def _channels(model: ExplainedModel) -> int:
    """Return the channels of the model's layer, or of the last one: a search for the default needs an image."""
    layers = {one.name: one.shape[0] for one in model.layers.candidates(model.preprocessing.blank_input())}
    return layers[model.layer] if model.layer in layers else list(layers.values())[-1]


def _seconds_of_pass(model: ExplainedModel) -> float:
    """Return the time of a pass over a masked image, as methods run them, in the fastest of three rounds."""
    x = model.preprocessing.blank_input().to(model.device)
    target = torch.tensor([0])
    seconds: list[float] = []
    with kept_random_state(model.device):
        masks = ChannelMasks(torch.rand(1, _MASKS, *[2] * (x.dim() - 2)).to(x), x.shape[2:])
        while len(seconds) < _ROUNDS and sum(seconds) < _ENOUGH:
            began = time.perf_counter()
            model.masked_scores(x, masks, target, readout="logit").cpu()  # waits for a GPU
            seconds.append(time.perf_counter() - began)
    return min(seconds) / _MASKS

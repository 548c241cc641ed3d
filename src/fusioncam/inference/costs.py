"""Count passes, and measure what a block of code costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from fusioncam.inference.context import current_context, replace_context
from fusioncam.inference.counters import CostLedger, PassCost, PassCounter


@contextmanager
def count_passes(report: Callable[[PassCounter], None] | None = None) -> Iterator[PassCounter]:
    """Count all passes inside the block; ``report`` is called with the counter after each batch."""
    counter = PassCounter(report=report)
    with replace_context(counters=(*current_context().counters, counter)):
        yield counter


def record_passes(passes: int = 0, planned: int = 0, partial: int = 0) -> None:
    """Add to every running counter."""
    for counter in current_context().counters:
        counter.add(passes, planned, partial)


@contextmanager
def track_cost() -> Iterator[CostLedger]:
    """Measure the cost of the block, and collect the costs of the memoised results that it uses.

    The cost of a block inside another is subtracted from the outer one's own cost, and listed among its parts.
    """
    costs, outer = CostLedger(), current_context().costs
    start = _now()
    counter = PassCounter()
    try:
        with replace_context(costs=costs), count_passes() as counter:
            yield costs
    finally:
        cost = PassCost(_now() - start, counter.passes, counter.partial)
        costs.own.add(cost)
        if outer is not None:
            outer.own.add(cost, -1)
            outer.parts.append(costs)


def _now() -> float:
    """Return the time, after the GPU has finished its queued work."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return time.perf_counter()

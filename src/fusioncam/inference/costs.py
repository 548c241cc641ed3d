"""TODO."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch


@dataclass
class PassCounter:
    """Counts the images that went through the network, and how many are known to come.

    One forward pass of one image is one pass; a backward pass is not counted apart. A pass that starts at
    the layer is ``partial``, and counted there alone; ``planned`` counts both kinds.
    """

    passes: int = 0
    planned: int = 0
    partial: int = 0
    report: Callable[[PassCounter], None] | None = None

    def add(self, passes: int = 0, planned: int = 0, partial: int = 0) -> None:
        """Count, and tell whoever watches."""
        self.passes += passes
        self.planned += planned
        self.partial += partial
        if self.report:
            self.report(self)


_meters: ContextVar[tuple[PassCounter, ...]] = ContextVar("meters", default=())


@contextmanager
def count_passes(report: Callable[[PassCounter], None] | None = None) -> Iterator[PassCounter]:
    """Count all passes of the block in a :class:`PassCounter`, which calls ``report`` after each chunk."""
    meter = PassCounter(report=report)
    token = _meters.set((*_meters.get(), meter))
    try:
        yield meter
    finally:
        _meters.reset(token)


def record_passes(passes: int = 0, planned: int = 0, partial: int = 0) -> None:
    """Tell every meter that is running."""
    for meter in _meters.get():
        meter.add(passes, planned, partial)


_bill: ContextVar[CostLedger | None] = ContextVar("bill", default=None)


@dataclass
class PassCost:
    """Seconds, passes, and passes that start at the layer, counted as by :class:`fusioncam.inference.costs.PassCounter`."""

    seconds: float = 0.0
    passes: int = 0
    partial: int = 0

    def add(self, other: PassCost, sign: int = 1) -> None:
        """Add another cost, or take it off."""
        self.seconds += sign * other.seconds
        self.passes += sign * other.passes
        self.partial += sign * other.partial


@dataclass(eq=False)  # told apart by which one it is
class CostLedger:
    """What a block cost by itself, and the bills of what it asked for, computed or remembered."""

    own: PassCost = field(default_factory=PassCost)
    asked: list[CostLedger] = field(default_factory=list)

    def standalone(self) -> PassCost:
        """Give what the block costs where nobody asked before it: passes exactly, seconds as they were measured."""
        total, found, left = PassCost(), {self}, [self]
        while left:
            bill = left.pop()
            total.add(bill.own)
            new = set(bill.asked) - found
            found |= new
            left += new
        return total


@contextmanager
def track_cost() -> Iterator[CostLedger]:
    """Write down what the block costs, and what of :func:`once` it asks for within :func:`sharing`."""
    bill, outer = CostLedger(), _bill.get()
    token = _bill.set(bill)
    began = _now()
    try:
        with count_passes() as meter:
            yield bill
    finally:
        _bill.reset(token)
        whole = PassCost(_now() - began, meter.passes, meter.partial)
        bill.own.add(whole)
        if outer is not None:
            outer.own.add(whole, -1)
            outer.asked.append(bill)


def _now() -> float:
    """Read the clock when the GPU is done with what it was told to do."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return time.perf_counter()

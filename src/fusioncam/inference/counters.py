"""Numbers of passes and seconds: a counter that reports progress, a cost, and nested costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class PassCounter:
    """Count the images that went through the network, and the images that are planned.

    One forward pass of one image counts as one pass; its backward pass is not counted separately. A pass that starts
    at the layer counts as ``partial`` and not in ``passes``; ``planned`` counts both kinds. ``report`` is called with
    the counter after each change.
    """

    passes: int = 0
    planned: int = 0
    partial: int = 0
    report: Callable[[PassCounter], None] | None = None

    def add(self, passes: int = 0, planned: int = 0, partial: int = 0) -> None:
        """Add to the numbers, and call ``report``."""
        self.passes += passes
        self.planned += planned
        self.partial += partial
        if self.report:
            self.report(self)


@dataclass
class PassCost:
    """Seconds, passes, and passes that start at the layer, counted as in :class:`PassCounter`."""

    seconds: float = 0.0
    passes: int = 0
    partial: int = 0

    def facts(self) -> dict[str, float]:
        """Return the numbers, ready for JSON."""
        return {"passes": self.passes, "partial_passes": self.partial, "seconds": round(self.seconds, 4)}

    def add(self, other: PassCost, sign: int = 1) -> None:
        """Add another cost, or subtract it with ``sign=-1``."""
        self.seconds += sign * other.seconds
        self.passes += sign * other.passes
        self.partial += sign * other.partial


@dataclass(eq=False)  # compared and hashed by identity
class CostLedger:
    """The cost of a block, and those of the memoised results that it used, whether computed or read back."""

    own: PassCost = field(default_factory=PassCost)
    parts: list[CostLedger] = field(default_factory=list)

    def standalone(self) -> PassCost:
        """Return what the block costs with an empty cache: passes exactly, seconds as they were measured."""
        total, found, remaining = PassCost(), {self}, [self]
        while remaining:
            costs = remaining.pop()
            total.add(costs.own)
            new = set(costs.parts) - found
            found |= new
            remaining += new
        return total

"""A case: the comparison of one method with one peer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from conformance.problems import Compute, Problem, problem_of
from conformance.rules import ours
from fusioncam import METHODS

PLAIN = ("linear", "small", "curved", "dead", "pyramid", "negative")
CURVED = ("curved", "pyramid", "negative")
ALL = (*PLAIN, "signal", "volume")
LAYERS = ("features.3", "features")

NOT_READ = "The paper's full text was not available; "


@dataclass(frozen=True, eq=False)
class Example:
    """The smallest problem that shows a difference, and its heatmaps to two decimals.

    ``theirs`` has several entries if the peer's result is one of several.
    """

    text: str
    problem: Problem
    mine: list[float]
    theirs: tuple[list[float], ...]


@dataclass(frozen=True, eq=False)
class Case:
    """A comparison of one method with one peer, on the problems ``on``; the toys precede the default model.

    ``mine`` is our method, by default that of METHODS; ``note`` states the settings. Without a ``rule``, both agree
    within ``tolerance``. With a ``rule``, they differ by at least ``least`` on some problem, ``rule`` reproduces the
    peer, ``why`` describes what the peer does differently, and ``right`` which of both is right and by which source.
    """

    method: str
    peer: str
    theirs: Compute
    on: tuple[str, ...]
    mine: Callable[..., Tensor] | None = None
    note: str = ""
    rule: Compute | None = None
    why: str = ""
    right: str = ""
    example: Example | None = None
    tolerance: float = 1e-5
    least: float = 1e-3
    slow: tuple[str, ...] = ()
    loose: float = 0

    def allowed(self, name: str) -> float:
        """Return the tolerance on a problem; ``loose``, if set, is that of the default model."""
        return self.loose if self.loose and name == "default" else self.tolerance

    @property
    def verdict(self) -> str:
        """Return "agrees" or "differs"."""
        return "differs" if self.rule else "agrees"

    @property
    def name(self) -> str:
        """Return the name for test ids and headings."""
        return f"{self.method}, {self.peer}" + (f", {self.note}" if self.note else "")

    def difference(self, name: str) -> float:
        """Return the largest difference of our heatmaps from the peer's on a problem."""
        problem = problem_of(name)
        return max_difference(ours(self.mine or METHODS[self.method])(problem), result_of(self.theirs, problem))

    def unexplained(self, name: str) -> float:
        """Return the largest difference of the peer's heatmaps from ours with the peer's rule."""
        assert self.rule is not None
        problem = problem_of(name)
        return max_difference(self.rule(problem), result_of(self.theirs, problem))


@functools.cache
def result_of(peer: Compute, problem: Problem) -> Tensor:
    """Return the result of a peer, computed once although it is compared twice."""
    return peer(problem)


def max_difference(mine: Tensor, theirs: Tensor) -> float:
    """Return the largest absolute difference; of several candidates, the nearest one of each image counts."""
    candidates = mine if mine.dim() > theirs.dim() else mine[None]
    return float((candidates.double() - theirs.double()).abs().flatten(2).amax(2).amin(0).max())

"""The state that several calls share, in one object: see :class:`RunContext`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fusioncam.inference.counters import CostLedger, PassCounter


class CachedPass(NamedTuple):
    """The result of a memoised call, its cost, and its arguments."""

    result: Any
    costs: CostLedger
    arguments: object  # kept in memory, so that no other object gets the identity of one of them


class PrefetchedLayers(NamedTuple):
    """The layers that one recorded pass of the input ``x`` should cover; None is the model's default layer."""

    x: object
    layers: frozenset[str | None]


@dataclass(frozen=True)
class RunContext:
    """State that the calls inside a ``with`` block share; each block replaces the fields that it changes.

    * ``cached_passes``: results of memoised calls by function and arguments; None outside of
      :func:`fusioncam.inference.cache.cached_passes`
    * ``prefetched``: see :func:`fusioncam.inference.cache.prefetch_layers`
    * ``counters``: every running :func:`fusioncam.inference.costs.count_passes`
    * ``costs``: of the innermost :func:`fusioncam.inference.costs.track_cost`
    * ``image_names``: of the batch, for warnings
    * ``last_scores``: by method, the scores ``(N, K)`` of the last image of a sequence; see :func:`following_images`
    * ``warn_if_flat``: False where heatmaps are computed that are not those of the user's images
    """

    cached_passes: dict[Any, CachedPass] | None = None
    prefetched: PrefetchedLayers | None = None
    counters: tuple[PassCounter, ...] = ()
    costs: CostLedger | None = None
    image_names: Sequence[str] = ()
    last_scores: dict[Any, Any] | None = None
    warn_if_flat: bool = True


_context: ContextVar[RunContext] = ContextVar("run_context", default=RunContext())  # noqa: B039 # it is frozen


def current_context() -> RunContext:
    """Return the context of the running thread or task."""
    return _context.get()


@contextmanager
def replace_context(**changes: Any) -> Iterator[None]:
    """Replace these fields of the current context until the block ends."""
    before = _context.get()
    _context.set(replace(before, **changes))
    try:
        yield
    finally:
        # only these fields: a generator may be suspended inside a block that changes others
        _context.set(replace(_context.get(), **{name: getattr(before, name) for name in changes}))


def without_flat_warnings() -> AbstractContextManager[None]:
    """Warn of no constant heatmap until the block ends; unlike a filter of warnings, in this thread only."""
    return replace_context(warn_if_flat=False)


def following_images(last_scores: dict[Any, Any]) -> AbstractContextManager[None]:
    """Let methods with a budget start from the scores of the image before, until the ``with`` block ends.

    For the frames of one clip or camera, one after the other. ``last_scores``, empty before the first frame, keeps
    the scores between blocks.
    """
    return replace_context(last_scores=last_scores)


def image_names(names: Sequence[str]) -> AbstractContextManager[None]:
    """Use these names for the images of the batch in warnings, until the ``with`` block ends."""
    return replace_context(image_names=names)

"""Compute once what several methods of one call have in common.

Inside ``with cached_passes():`` a function marked ``@memoize_pass`` runs once for the same arguments; later calls
return the stored result. Methods call ``model.record(x, target)`` or ``self.region(model, x, target)`` as if they ran
alone. Outside of the block, and after it, nothing is stored.

:func:`fusioncam.inference.costs.track_cost` measures what such a call costs with an empty cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ParamSpec, TypeVar

from fusioncam.inference.context import CachedPass, PrefetchedLayers, current_context, replace_context
from fusioncam.inference.costs import track_cost
from fusioncam.inference.eval_mode import without_graph

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def cached_passes() -> Iterator[None]:
    """Share passes within a block: results of ``@memoize_pass`` functions are stored until the outermost block ends.

    Examples:
        ```python
        with fc.cached_passes():
            first = fc.METHODS["grad-cam"](model, x, target)
            second = fc.METHODS["layer-cam"](model, x, target)  # uses the pass of the first
        ```
    """
    if current_context().cached_passes is not None:
        yield
        return
    with replace_context(cached_passes={}):
        yield


def uncached() -> AbstractContextManager[None]:
    """Neither read nor store results of ``@memoize_pass`` functions inside the block."""
    return replace_context(cached_passes=None)


@contextmanager
def prefetch_layers(x: object, layers: Iterable[str | None]) -> Iterator[None]:
    """Name the layers of ``x`` that the block will record, so that one recorded pass covers all of them.

    A nested block adds its layers to those of the outer one: layers that are found by their shapes are known only
    there. Has no effect outside of :func:`cached_passes`.
    """
    with replace_context(prefetched=PrefetchedLayers(x, prefetched_layers(x) | frozenset(layers))):
        yield


def prefetched_layers(x: object) -> frozenset[str | None]:
    """Return the layers of ``x`` named in :func:`prefetch_layers`; None is the model's default layer."""
    context = current_context()
    prefetched = context.prefetched
    if prefetched is None or prefetched.x is not x or context.cached_passes is None:
        return frozenset()
    return prefetched.layers


def memoize_pass(function: Callable[P, R]) -> Callable[P, R]:
    """Run the function once for the same arguments inside :func:`cached_passes`; its results hold no graph.

    Methods and names are compared by value; tensors, models and lists by identity.
    """

    @functools.wraps(function)
    def cached(*args: P.args, **kwargs: P.kwargs) -> R:
        context = current_context()
        cache = context.cached_passes
        if cache is None:
            with without_graph():
                return function(*args, **kwargs)
        key = (function, *map(_identity, args), *((name, _identity(kwargs[name])) for name in sorted(kwargs)))
        if key not in cache:
            with track_cost() as costs, without_graph():
                cache[key] = CachedPass(function(*args, **kwargs), costs, (args, kwargs))
        elif context.costs is not None:
            context.costs.parts.append(cache[key].costs)
        result: R = cache[key].result
        return result

    return cached


def _identity(argument: Any) -> Any:
    """Return the argument if it can be a key (a tensor's hash is its identity), else its type and identity."""
    return argument if isinstance(argument, Hashable) else (type(argument), id(argument))

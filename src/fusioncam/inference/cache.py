"""Asked twice, computed once: what several methods of one call have in common.

Inside ``with sharing():`` a function marked ``@memoize_pass`` answers a repeated question from memory. Methods ask
their questions plainly (``model.record(x, target)``, ``self.region(model, x, target)``) and need not know who
asked before. Outside, and after, nothing is remembered.

What one of them costs where nobody asked before it is told by ``with ledger() as bill:`` and ``bill.standalone()``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from fusioncam.inference.costs import _bill, track_cost

P = ParamSpec("P")
R = TypeVar("R")

_answers: ContextVar[dict[Any, Any] | None] = ContextVar("answers", default=None)
_announced: ContextVar[tuple[object, frozenset[str | None]] | None] = ContextVar("announced", default=None)


@contextmanager
def cached_passes() -> Iterator[None]:
    """Remember the answers of ``@memoize_pass`` functions until the outermost such block ends."""
    if _answers.get() is not None:
        yield
        return
    token = _answers.set({})
    try:
        yield
    finally:
        _answers.reset(token)


@contextmanager
def uncached() -> Iterator[None]:
    """Forget at the end of this block what was asked in it; what was known before is not looked up."""
    token = _answers.set(None)
    try:
        yield
    finally:
        _answers.reset(token)


@contextmanager
def prefetch_layers(x: object, layers: Iterable[str | None]) -> Iterator[None]:
    """Say which layers of ``x`` will be asked for in this block, so that one recorded pass may serve them all.

    A block within a block adds its layers: what is found by shapes is known only inside.
    """
    token = _announced.set((x, prefetched_layers(x) | frozenset(layers)))
    try:
        yield
    finally:
        _announced.reset(token)


def prefetched_layers(x: object) -> frozenset[str | None]:
    """Give the layers of ``x`` that will be asked for, as far as was said; None is the model's own."""
    said = _announced.get()
    return said[1] if said is not None and said[0] is x and _answers.get() is not None else frozenset()


def memoize_pass(function: Callable[P, R]) -> Callable[P, R]:
    """Answer the same arguments once within :func:`cached_passes`.

    Methods and names are told by their value, tensors, models and lists by which object they are.
    """

    @functools.wraps(function)
    def ask(*args: P.args, **kwargs: P.kwargs) -> R:
        answers = _answers.get()
        if answers is None:
            return function(*args, **kwargs)
        key = (function, *map(_identity, args), *((name, _identity(kwargs[name])) for name in sorted(kwargs)))
        if key not in answers:
            with track_cost() as bill:
                # the arguments are kept too, so that an identity cannot pass to another object
                answers[key] = (function(*args, **kwargs), bill, args, kwargs)
        elif (asking := _bill.get()) is not None:
            asking.asked.append(answers[key][1])
        answer: R = answers[key][0]
        return answer

    return ask


def _identity(argument: Any) -> Any:
    """Tell an argument by its hash, which for tensors is which object it is, and lists and such by that too."""
    return argument if isinstance(argument, Hashable) else (type(argument), id(argument))


# -- what it costs ---------------------------------------------------------------------------------------------

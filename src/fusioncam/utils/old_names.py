"""Names of earlier versions that still work: attributes and keyword arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import attrgetter
from typing import ParamSpec, TypeVar

from fusioncam.errors import InputTypeError

P = ParamSpec("P")
R = TypeVar("R")


def alias(name: str) -> property:
    """Return a property that reads another attribute, whose name may be dotted: ``picture = alias("image")``."""
    return property(attrgetter(name), doc=f"The earlier name of ``{name}``.")


def old_keywords(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that passes old keyword arguments on under their new names.

    The function raises :class:`InputTypeError` if both names are given.

    >>> old_keywords(picture="image")(lambda image: image)(picture=1)
    1
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in names.keys() & kwargs.keys():
                if names[old] in kwargs:
                    raise InputTypeError(f"{old} is the earlier name of {names[old]}: pass {names[old]} only")
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate

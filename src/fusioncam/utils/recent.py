"""A dictionary of bounded size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The values of the last keys that were used, at most ``limit``.

    >>> squares = Recent[int, int](2)
    >>> [squares.get(n, lambda: n * n) for n in (1, 2, 1, 3)], list(squares)
    ([1, 4, 1, 9], [1, 3])
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V], valid: Callable[[V], bool] = lambda value: True) -> V:
        """Return the value of a key; it is made if there is none, or none that is ``valid``."""
        value = self._values.pop(key, None)
        if value is None or not valid(value):
            value = make()
        self._values[key] = value
        while len(self._values) > self.limit:
            self._values.pop(next(iter(self._values)), None)
        return value

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys, the last used one at the end."""
        return iter(list(self._values))

    def __len__(self) -> int:
        return len(self._values)

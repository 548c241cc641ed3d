"""Ignore warnings of other libraries, also in several threads."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from fusioncam.utils.forks import new_in_child

# The filters belong to the whole process: of two blocks that overlap in time, the one that ends last would restore
# filters that the other one has set.
_one_at_a_time = new_in_child(threading.RLock)


@contextmanager
def ignoring(category: type[Warning] = Warning, message: str = "") -> Iterator[None]:
    """Ignore warnings of a category whose text begins like ``message``, a regular expression, in the block.

    Blocks in several threads wait for each other, so that they leave the filters as they were.
    """
    with _one_at_a_time(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message, category)
        yield

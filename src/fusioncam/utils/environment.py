"""Change environment variables for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while the block runs, and restore the whole environment afterwards.

    >>> with environment({"FUSIONCAM_EXAMPLE": "1"}):
    ...     os.environ["FUSIONCAM_EXAMPLE"]
    '1'
    >>> "FUSIONCAM_EXAMPLE" in os.environ
    False
    """
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)

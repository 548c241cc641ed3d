"""Import OpenVINO when it is needed, without its usage statistics."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from fusioncam.utils.optional import extra
from fusioncam.utils.quiet import ignoring

_STATISTICS = "openvino_telemetry"


@cache
def installed() -> bool:
    """Return whether OpenVINO is installed, without importing it."""
    return importlib.util.find_spec("openvino") is not None


@cache
def openvino() -> Any:
    """Return the package; raise :class:`MissingExtraError` if it is not installed."""
    with _without_statistics(), ignoring():
        return extra("openvino", "openvino", "passes with engine='openvino'")


@cache
def core() -> Any:
    """Return the object that reads and compiles models, one for the process."""
    return openvino().Core()


@contextmanager
def _without_statistics() -> Iterator[None]:
    """Hide the package that reports the use of OpenVINO to its vendor; OpenVINO then uses a stub of its own."""
    if _STATISTICS in sys.modules:  # somebody else has imported it
        yield
        return
    sys.modules[_STATISTICS] = None  # type: ignore[assignment] # an import of it now raises ImportError
    try:
        yield
    finally:
        del sys.modules[_STATISTICS]

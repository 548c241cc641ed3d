"""Choose what runs by default and what runs with the slow tests."""

from __future__ import annotations

import pytest

from fusioncam import METHODS

# the first method of each family, and those with network requirements of their own
REPRESENTATIVES = {"cam", "legrad", *{method.family: name for name, method in reversed(METHODS.items())}.values()}


def slow_unless(default: bool, *values: object, id: str | None = None):
    """Return a test parameter that is marked slow unless it belongs to the default selection."""
    return pytest.param(*values, marks=[] if default else [pytest.mark.slow], id=id)

"""Fixtures of the tests of benchmarks."""

from __future__ import annotations

import pytest

from benchmark_runs import Unreliable
from samples import photos


@pytest.fixture
def data(tmp_path):
    """Return a folder of four small images."""
    return photos(tmp_path / "photos")


@pytest.fixture
def unreliable():
    """Return a method of the user's own that draws random numbers, and fails where a test wants it to."""
    Unreliable.fails, Unreliable.calls = set(), []
    return Unreliable()

"""Packages that come with an extra."""

from __future__ import annotations

import sys

import pytest

from fusioncam.errors import FusionCamError
from fusioncam.extras import extra


def test_what_is_installed_is_given():
    """As an import statement would."""
    assert extra("any", "os.path", "paths") is sys.modules["os.path"]


@pytest.mark.parametrize("missing", ["wave", "wave.reading"])
@pytest.mark.parametrize("caught", [FusionCamError, ImportError])
def test_what_is_missing_is_told_with_its_extra(monkeypatch, missing, caught):
    """The message says who needs it and how to get it; who knows Python alone catches it too."""
    monkeypatch.setitem(sys.modules, "wave", None)
    with pytest.raises(caught, match=r'^sounds need wave: pip install "fusioncam\[audio\]"$'):
        extra("audio", missing, "sounds")

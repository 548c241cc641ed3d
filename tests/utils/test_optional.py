"""Packages that come with an extra."""

from __future__ import annotations

import sys

import pytest

from fusioncam.errors import FusionCamError
from fusioncam.utils.optional import extra


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


def test_what_is_there_and_lacks_another_package_is_not_called_missing(monkeypatch, tmp_path):
    """To install the extra again would not help."""
    (tmp_path / "half_there.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_package'"):
        extra("audio", "half_there", "sounds")

"""Imports of packages of optional extras."""

from __future__ import annotations

import sys

import pytest

from fusioncam.errors import FusionCamError
from fusioncam.utils.optional import extra


def test_installed_module_is_returned():
    """The module is the one that an import statement finds."""
    assert extra("any", "os.path", "paths") is sys.modules["os.path"]


@pytest.mark.parametrize("missing", ["wave", "wave.reading"])
@pytest.mark.parametrize("caught", [FusionCamError, ImportError])
def test_missing_package_is_reported_with_its_extra(monkeypatch, missing, caught):
    """The message states who needs the package and how to install it; it is an ImportError, too."""
    monkeypatch.setitem(sys.modules, "wave", None)
    with pytest.raises(caught, match=r'^sounds need wave: pip install "fusioncam\[audio\]"$'):
        extra("audio", missing, "sounds")


def test_installed_package_with_a_missing_import_is_not_called_missing(monkeypatch, tmp_path):
    """Installing the extra again would not help, so the original error is raised."""
    (tmp_path / "half_there.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_package'"):
        extra("audio", "half_there", "sounds")

"""The public names are complete, documented, and change only on purpose."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fusioncam

NAMES = [
    "METHODS",
    "METRICS",
    "ClipPreprocessing",
    "Comparison",
    "ExplainedModel",
    "Explanation",
    "FusionCamError",
    "FusionCamWarning",
    "Preprocessing",
    "Speed",
    "VolumePreprocessing",
    "cached_passes",
    "compare",
    "explain",
    "explain_each",
    "fuse",
    "load_model",
    "read_heatmaps",
    "sharing",
]


def test_public_names_are_listed_here():
    """A name that is added or removed is changed here in the same step."""
    assert fusioncam.__all__ == NAMES


def test_every_public_name_is_documented():
    """`help(fusioncam.NAME)` shows a docstring."""
    for name in NAMES:
        assert getattr(fusioncam, name).__doc__


def test_type_checkers_see_the_names_that_are_imported_lazily():
    """The imports under TYPE_CHECKING are those that `__getattr__` resolves."""
    tree = ast.parse(Path(fusioncam.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    typed = {alias.asname or alias.name for node in imports for alias in node.names}
    assert typed - {"import_module", "TYPE_CHECKING", "Any"} == set(NAMES)
    assert set(NAMES) <= set(dir(fusioncam))


def test_old_names_are_the_new_ones():
    """Names of version 0.1 still work."""
    from fusioncam.data.labels import imagenet_labels
    from fusioncam.labels import imagenet_labels as old

    assert fusioncam.sharing is fusioncam.cached_passes
    assert old is imagenet_labels


def test_an_unknown_attribute_is_an_attribute_error():
    """As of any module; an error inside of a module that exists is not hidden."""
    with pytest.raises(AttributeError, match="'fusioncam' has no attribute 'explian'"):
        _ = fusioncam.explian

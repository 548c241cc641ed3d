"""The public names: sorted, complete, documented, and changed only on purpose."""

from __future__ import annotations

import fusioncam

NAMES = [
    "METHODS",
    "METRICS",
    "Comparison",
    "ExplainedModel",
    "Explanation",
    "FusionCamError",
    "FusionCamWarning",
    "Preprocessing",
    "Speed",
    "cached_passes",
    "compare",
    "explain",
    "explain_each",
    "fuse",
    "load_model",
    "read_heatmaps",
]
# names of version 0.1 that still work, but are not listed
OLD_NAMES = {"sharing": "cached_passes"}


def test_public_names_are_the_listed_ones():
    """A public name that is added or removed is changed here in the same step."""
    assert fusioncam.__all__ == NAMES


def test_every_public_name_is_documented():
    """`help()` shows a text for each."""
    for name in NAMES:
        assert getattr(fusioncam, name).__doc__


def test_no_public_name_is_unlisted():
    """Names that are imported lazily are those in `__all__` and the old names, and `dir` shows them."""
    assert set(fusioncam._HOMES) == set(NAMES)
    assert fusioncam._ALIASES == OLD_NAMES
    assert set(NAMES) <= set(dir(fusioncam))


def test_old_names_still_work():
    """Each is the same object as its successor."""
    for old, new in OLD_NAMES.items():
        assert getattr(fusioncam, old) is getattr(fusioncam, new)


def test_modules_are_attributes():
    """Packages of the library are attributes without an import of their own."""
    modules = ("bulk", "errors", "explanations", "methods", "metrics", "model", "data", "inference", "tasks", "zoo")
    for name in modules:
        assert getattr(fusioncam, name).__name__ == f"fusioncam.{name}"

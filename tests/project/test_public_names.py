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
    "compare",
    "explain",
    "explain_each",
    "fuse",
    "load_model",
    "read_heatmaps",
    "sharing",
]


def test_the_face_is_what_it_was():
    """A name that comes or goes is changed here in the same step."""
    assert fusioncam.__all__ == NAMES


def test_every_public_name_is_documented():
    """Whoever asks for help gets it."""
    for name in NAMES:
        assert getattr(fusioncam, name).__doc__


def test_nothing_public_is_left_out():
    """What the face imports it also names."""
    modules = {
        "bulk",
        "comparison",
        "errors",
        "explanation",
        "methods",
        "metrics",
        "model",
        "preprocessing",
        "sharing",
        "speed",
        "zoo",
    }
    public = {name for name in vars(fusioncam) if not name.startswith("_")}
    imported = {name for name in public if not isinstance(getattr(fusioncam, name), type(fusioncam))}

    assert imported == set(NAMES)
    assert modules - {"sharing"} <= public

"""TODO."""

from __future__ import annotations

import os
import re


def slug(text: str) -> str:
    """Make a text fit for a file name.

    >>> slug("fusion-cam:official(theta=20)")
    'fusion-cam_official_theta=20'
    """
    return re.sub(r"[^\w.+=-]+", "_", text).strip("_.")[:80] or "_"


def truncate_stem(stem: str, limit: int = 120) -> str:
    """Cut a file's stem to so many bytes, to leave room for what comes behind it (255 in all)."""
    return os.fsencode(stem)[:limit].decode(errors="surrogateescape")


def printable(text: str) -> str:
    """Put a mark for bytes of a file name that are no text."""
    return text.encode(errors="replace").decode()


def minus(text: str) -> str:
    """Write the sign of negative numbers as a minus, not a hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")

"""Turn texts into file names and printable texts."""

from __future__ import annotations

import os
import re


def slug(text: str) -> str:
    """Return the text with everything replaced that does not belong in a file name, at most 80 characters.

    >>> slug("fusion-cam:official(theta=20)")
    'fusion-cam_official_theta=20'
    """
    return re.sub(r"[^\w.+=-]+", "_", text).strip("_.")[:80] or "_"


def truncate_stem(stem: str, limit: int = 120) -> str:
    """Return the stem cut to ``limit`` bytes, which leaves room for a suffix: a file name has at most 255 bytes."""
    return os.fsencode(stem)[:limit].decode(errors="surrogateescape")


def printable(text: str) -> str:
    """Return the text with a question mark for each byte of a file name that is not text."""
    return text.encode(errors="replace").decode()


def minus(text: str) -> str:
    """Return the text with minus signs instead of hyphens, for negative numbers in print."""
    return text.replace("-", "\N{MINUS SIGN}")

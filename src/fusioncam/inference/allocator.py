"""Keep freed memory in the C library, because every pass needs the same buffers again.

By default glibc returns large buffers to the system at once, and every page of the next buffer is mapped and cleared
again: over 3,000 page faults per image, which take as long as a convolution. See ``benchmarks/README.md``.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache

# parameters of mallopt(3): the largest size of heap buffers, and how much free memory the heap keeps
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE, _LARGE_FOR_OLD_GLIBC, _KEPT = 2**30, 2**25, 2**28


@cache
def keep_freed() -> bool:
    """Let glibc keep 256 MiB of freed buffers for reuse, once per process; return whether it does."""
    if not _is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(
        (mallopt(_M_MMAP_THRESHOLD, _LARGE) or mallopt(_M_MMAP_THRESHOLD, _LARGE_FOR_OLD_GLIBC))
        and mallopt(_M_TRIM_THRESHOLD, _KEPT)
    )


def release_freed() -> None:
    """Return freed buffers to the system, where the next ones have other sizes: before another kind of passes."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


@cache
def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"

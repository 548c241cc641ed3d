"""Have the C library keep what is freed: a pass needs the same buffers again, and getting them anew costs as much as
a convolution.

By default glibc hands large buffers back to the system at once, and every page of the next one is fetched and
cleared again: over 3,000 page faults an image, see ``benchmarks/README.md``.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache

# of mallopt(3): buffers from this size on are the system's own, and so much free memory stays
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE, _LARGE_OF_OLD_GLIBC, _KEPT = 2**30, 2**25, 2**28


@cache
def keep_freed() -> bool:
    """Tell glibc, once a process, to keep freed buffers for reuse, 256 MiB of them; say whether it does."""
    if platform.libc_ver()[0] != "glibc":
        return False
    tune = ctypes.CDLL(None).mallopt
    return bool(
        (tune(_M_MMAP_THRESHOLD, _LARGE) or tune(_M_MMAP_THRESHOLD, _LARGE_OF_OLD_GLIBC))
        and tune(_M_TRIM_THRESHOLD, _KEPT)
    )

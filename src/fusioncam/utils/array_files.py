"""Read array files of numpy's (``.npy``) from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def map_array(path: str | Path) -> NDArray[Any]:
    """Return the array of a ``.npy`` file, mapped, so that a header that claims more than the file holds is refused.

    Raises OSError for a file that cannot be read, and ValueError for one that holds anything else.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # numpy parses the header as Python, which raises many kinds of errors
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("it holds several arrays")
    return array

"""Networks that see a large input through a window, such as :class:`fusioncam.tasks.SlidingWindow`."""

from __future__ import annotations

from torch import Tensor, nn

from fusioncam.functional.windows import Window, part_of


def windows_in(network: nn.Module, x: Tensor) -> list[Window]:
    """Return the windows through which a network sees an input; none for other networks."""
    windows = getattr(network, "windows", None)
    return windows(x) if callable(windows) and isinstance(x, Tensor) and x.dim() > 2 else []


def first_window(network: nn.Module, x: Tensor) -> Tensor:
    """Return the first window of an input: layers are searched there. The input itself for other networks."""
    windows = windows_in(network, x)
    return part_of(x, windows[0]) if windows else x

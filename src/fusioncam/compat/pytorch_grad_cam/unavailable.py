"""Names of pytorch-grad-cam that have nothing behind: their use raises an error that says what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fusioncam.errors import MethodError


def unavailable(name: str, instead: str) -> Callable[..., Any]:
    """Return a function that raises :class:`MethodError`."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise MethodError(f"fusioncam has no {name}: {instead}")

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Raise :class:`MethodError`: {instead}."
    return refuse


SESS = unavailable("SESS", "use fusioncam's method fusion-cam:multiscale, or RefineCAM at several layers")
ActivationsAndGradients = unavailable(
    "ActivationsAndGradients", "use ExplainedModel(network, layer).record(x, target), with activations and gradients"
)
run_dff_on_image = unavailable(
    "run_dff_on_image", "use DeepFeatureFactorization, and matplotlib's imshow of its maps"
)
show_factorization_on_image = unavailable("show_factorization_on_image", "use matplotlib's imshow of each component")
create_labels_legend = unavailable("create_labels_legend", "use matplotlib's legend")

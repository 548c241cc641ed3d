"""Errors that state why a layer's output is not read as feature maps."""

from __future__ import annotations

from collections.abc import Sequence

from fusioncam.errors import LayerError
from fusioncam.model.layouts import MAX_PREFIX, Layout, TokenHint

ATTENTION = "they relate tokens to tokens, as attention does"
QUERIES = "its tokens begin as constants, such as the queries of a decoder, so they are no locations of the image"

REORDERED = (
    "when a part of the image changes, the tokens that change are not those of that part, so the tokens are not in "
    "the order of their locations. Name a layer before the tokens are sorted, such as the patch embedding"
)


def ambiguous_layout(layer: str, shape: Sequence[int], x: Sequence[int], readings: Sequence[Layout]) -> LayerError:
    """Return the error for an output that can be read in several ways."""
    listed = "; ".join(_described(layout, shape) for layout in readings)
    return LayerError(
        f"the output {tuple(shape)} of layer '{layer}' can be read in several ways: {listed}. Pass "
        f"ExplainedModel(..., grid=(...)) with the sides ({_sides(x)}) of its maps, or name another layer"
    )


def no_layout(layer: str, shape: Sequence[int], x: Sequence[int], hint: TokenHint, cause: str = "") -> LayerError:
    """Return the error for an output that holds no feature maps, with the cause if that is known."""
    refused = f"layer '{layer}' outputs {tuple(shape)}, which are not feature maps"
    if cause:
        return LayerError(f"{refused}: {cause}. `fusioncam list layers` lists the layers with feature maps")
    expected = f"a grid of {hint.grid}" if hint.grid else f"a grid in proportion to {tuple(x[2:])}"
    others = f"at most {MAX_PREFIX}" if hint.prefix is None and hint.suffix is None else "the passed number of"
    return LayerError(
        f"{refused}: tried channels first (N, K, {_sides(x)}), channels last (N, {_sides(x)}, K) and tokens "
        f"(N, T, K) that form {expected} beside {others} others, where an earlier layer has maps of that many "
        "locations. `fusioncam list layers` lists the layers with feature maps; for tokens in another arrangement "
        "pass ExplainedModel(..., grid=(rows, columns), prefix=..., suffix=...)"
    )


def wrong_maps(layer: str, shape: Sequence[int], x: Sequence[int]) -> LayerError:
    """Return the error for a function that reads a layer's output and returns something else than its maps."""
    return LayerError(
        f"the function that reads layer '{layer}' returned {tuple(shape)} for x {tuple(x)}: return feature maps "
        f"({x[0]}, K, {_sides(x)})"
    )


def tokens_without_grid(layer: str, shape: Sequence[int], x: Sequence[int], other: str | None) -> LayerError:
    """Return the error for a network whose last maps are tokens on an unknown grid; ``other`` has known maps."""
    named = "" if other is None else f", or name a layer with feature maps, such as '{other}'"
    return LayerError(
        f"the last feature maps are tokens that form no grid: '{layer}' outputs {tuple(shape)} for x {tuple(x)}, and "
        "no earlier layer has maps of that many locations: pass "
        f"ExplainedModel(..., grid=(rows, columns), prefix=..., suffix=...){named}"
    )


def batch_error(layer: str, shape: Sequence[int], images: int) -> LayerError | None:
    """Return the error for an output whose first dimension is not that of the images, if the cause is known."""
    outputs = f"layer '{layer}' outputs {tuple(shape)} for {images} image{'s' * (images > 1)}"
    if len(shape) == 3 and shape[1] == images:
        return LayerError(
            f"{outputs}, with the tokens before the images: name a layer with one set of maps per image, or create "
            "the network with batch_first=True"
        )
    views, rest = divmod(shape[0] if len(shape) > 2 else 0, images)
    if rest or views < 2:
        return None
    return LayerError(
        f"{outputs}: it runs on {views} views, frames or windows of each image in one batch, so that an image has "
        "several sets of maps. Explain one view by a wrapper that holds the others fixed, or name a layer with one "
        "set of maps per image"
    )


def _described(layout: Layout, shape: Sequence[int]) -> str:
    order = "channels first" if layout.channels_first else "channels last"
    channels = shape[1 if layout.channels_first else -1]
    others = f" and {layout.prefix + layout.suffix} other tokens" if layout.prefix + layout.suffix else ""
    return f"{order}, {channels} maps of {' x '.join(map(str, layout.map_sides))} locations{others}"


def _sides(x: Sequence[int]) -> str:
    return ", ".join("dhw"[-len(x[2:]) :])

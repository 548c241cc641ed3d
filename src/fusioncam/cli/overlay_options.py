"""Options of the overlays that `fusioncam explain` and `demo` write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fusioncam.model.explained_model import ExplainedModel

WHOLE = "whole"


def complete_colormaps() -> list[str]:
    """List common colormaps; every other one of matplotlib works too."""
    return ["turbo", "viridis", "inferno", "magma", "plasma", "cividis", "jet"]


def complete_views() -> list[str]:
    """List views."""
    return ["image", "crop", WHOLE]


def complete_raw() -> list[str]:
    """List raw formats."""
    return ["png16", "tiff"]


Colormap = Annotated[
    str | None,
    typer.Option(
        "--colormap",
        help="turbo (the default), viridis, inferno, magma, jet or another one of matplotlib",
        autocompletion=complete_colormaps,
    ),
]
Opacity = Annotated[float | None, typer.Option("--opacity", help="of the highest heat, from 0 to 1; default: 0.6")]
Fade = Annotated[
    bool | None,
    typer.Option("--fade/--no-fade", help="let the opacity follow the heat (default), or use it everywhere"),
]
Contour = Annotated[
    float | None, typer.Option("--contour", help="draw a line around this level of heat, from 0 to 1")
]
Boxes = Annotated[bool | None, typer.Option("--boxes", help="draw a box around each highlighted piece")]
Colorbar = Annotated[bool | None, typer.Option("--colorbar", help="add the colours from 0 to 1 at the right edge")]
View = Annotated[
    str | None,
    typer.Option(
        "--view",
        help="image (default): draw on the whole image; crop: only on the part that the network receives; whole: let "
        "the network receive the whole image, if it takes any size",
        autocompletion=complete_views,
    ),
]
Poster = Annotated[
    bool, typer.Option("--poster", help="also write an image to share: original, overlay, class and evidence")
]
RawFormats = Annotated[
    list[str] | None,
    typer.Option(
        "--raw",
        help="write the heatmap also as png16 (16 bits) or tiff (float32); repeatable",
        autocompletion=complete_raw,
    ),
]


def chosen_style(**options: Any) -> dict[str, Any]:
    """Return the options that were given, as arguments of ``Explanation.overlay``; raise the error of a wrong one."""
    from fusioncam.errors import require_known
    from fusioncam.explanations.drawing import VIEWS
    from fusioncam.visualization import OverlayStyle

    chosen = {name: value for name, value in options.items() if value is not None}
    require_known("view", chosen.get("view", "image"), [*VIEWS, WHOLE])
    if chosen.get("view") == WHOLE:
        del chosen["view"]
    OverlayStyle(**{name: value for name, value in chosen.items() if name not in ("view", "boxes")})
    return chosen


def require_raw(formats: Sequence[str]) -> None:
    """Raise :class:`UnknownNameError` for an unknown raw format."""
    from fusioncam.visualization import raw_names

    raw_names("", formats)


def uncrop(model: ExplainedModel) -> None:
    """Let a model receive whole images; raise :class:`SettingError` if it takes images of one size only."""
    from fusioncam.errors import SettingError, describe_error

    model.preprocessing = model.preprocessing.uncropped()
    height, width = model.preprocessing.size
    try:
        model.logits(model.preprocessing.blank_input().new_zeros(1, model.preprocessing.channels, height, width + 32))
    except Exception as error:  # a network may raise anything
        reason = f"{model.name} does not take {width + 32} x {height} pixels ({describe_error(error)})"
        raise SettingError(f"--view whole needs a network that takes any size, and {reason}: leave it out") from error

"""Names beside the points of a plot, placed so that they cover neither each other nor the points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import cos, pi, sin

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from fusioncam.report.figures.style import INK

_DISTANCES = (9, 16, 26, 38, 52)  # points between a mark and its name
_DIRECTIONS = [index * pi / 8 for index in (0, 8, 4, 12, 2, 14, 6, 10, 1, 15, 7, 9, 3, 5, 11, 13)]  # beside it first
_MARK = 5  # points from the centre of a mark to its edge
_GAP = 1.5  # points between names
_LEADER = 12  # points from which on a line joins a name with its mark


@dataclass(frozen=True)
class Label:
    """The name of a point ``(x, y)`` in data coordinates, whose error bar reaches from ``low`` to ``high``."""

    x: float
    y: float
    low: float
    high: float
    text: str
    colour: str


def draw_labels(figure: Figure, axes: Axes, labels: Sequence[Label], size: float = 7) -> list[str]:
    """Draw the names of points, and return those for which there is no room.

    A name is moved away from its point until it lies within the axes and covers no point, error bar or other name; a
    thin line then joins it with its point. The layout of the figure must not change afterwards.
    """
    taken = [box for one in labels for box in _boxes_of(figure, axes, one)]
    left_out = []
    for one in labels:
        box = _draw_label(figure, axes, one, size, taken)
        if box is None:
            left_out.append(one.text)
        else:
            taken.append(box)
    return left_out


def _draw_label(figure: Figure, axes: Axes, label: Label, size: float, taken: Sequence[Bbox]) -> Bbox | None:
    text = axes.annotate(
        label.text,
        (label.x, label.y),
        (0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=size,
        color=INK,  # the light colours of methods are hard to read as text
        bbox={"fc": "white", "ec": "none", "pad": 0.5},  # hides the line behind the name
        zorder=6,
    )
    text.set_in_layout(False)
    extent = text.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined] # Agg's
    centre = axes.transData.transform((label.x, label.y))
    for across, up, distance in _offsets(extent.width / _pixels(figure, 1), extent.height / _pixels(figure, 1)):
        box = extent.translated(
            centre[0] + _pixels(figure, across) - (extent.x0 + extent.x1) / 2,
            centre[1] + _pixels(figure, up) - (extent.y0 + extent.y1) / 2,
        )
        if _is_free(box.padded(_pixels(figure, _GAP)), axes.bbox, taken):
            text.xyann = (across, up)
            if distance > _LEADER:
                _draw_leader(axes, label, (across, up))
            return box
    text.remove()
    return None


def _draw_leader(axes: Axes, label: Label, offset: tuple[float, float]) -> None:
    arrow = {"arrowstyle": "-", "color": label.colour, "lw": 0.5, "alpha": 0.6, "shrinkA": 4, "shrinkB": 4}
    line = axes.annotate("", (label.x, label.y), offset, textcoords="offset points", arrowprops=arrow, zorder=2)
    line.set_in_layout(False)


def _offsets(width: float, height: float) -> Iterator[tuple[float, float, float]]:
    """Yield the offsets of a name's centre from its point, in points, the nearest first, each with its distance."""
    for distance, angle in product(_DISTANCES, _DIRECTIONS):
        right, up = cos(angle), sin(angle)
        yield right * (distance + width / 2), up * (distance + height / 2), distance


def _is_free(box: Bbox, inside: Bbox, taken: Sequence[Bbox]) -> bool:
    within = box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y0 >= inside.y0 and box.y1 <= inside.y1
    return within and not any(box.overlaps(other) for other in taken)


def _boxes_of(figure: Figure, axes: Axes, label: Label) -> tuple[Bbox, Bbox]:
    """Return the boxes of the mark and of the error bar of a point, in pixels."""
    ends = axes.transData.transform([(label.x, label.y), (label.x, label.low), (label.x, label.high)])
    (x, y), (_, low), (_, high) = ends
    mark, line = _pixels(figure, _MARK), _pixels(figure, 1)
    return Bbox.from_extents(x - mark, y - mark, x + mark, y + mark), Bbox.from_extents(x - line, low, x + line, high)


def _pixels(figure: Figure, points: float) -> float:
    return points * figure.dpi / 72

"""How figures look: one colour, line and marker a method, in all of them, told apart by the colour-blind too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fusioncam.report.method_names import BASELINES, base_name

# Okabe and Ito's colours without the yellow, which pales on white, and three of Paul Tol's
_COLOURS = (
    "#D55E00",
    "#0072B2",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#332288",
    "#882255",
    "#999933",
    "#000000",
)
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "<", ">", "d")
_GREYS = ("#4D4D4D", "#7F7F7F", "#A0A0A0", "#B8B8B8")

# those that most figures show, always alike
_KNOWN = {
    "fusion-cam": 0,
    "union-cam": 1,
    "score-cam": 2,
    "grad-cam": 3,
    "grad-cam++": 4,
    "group-cam": 5,
    "xgrad-cam": 6,
    "layer-cam": 7,
    "ablation-cam": 8,
    "fusion-cam:multiscale": 9,
}
INK, PALE = "#222222", "#D9D9D9"

_SETTINGS = {
    "font.family": "DejaVu Sans",  # it comes with matplotlib: the same on every machine
    "font.size": 9,
    "text.parse_math": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "fusioncam",  # ids in SVG files are else made of chance
}


@dataclass(frozen=True)
class Style:
    """How a method is drawn."""

    colour: str
    dashes: Any
    marker: str
    width: float


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """Give each method its own style: the well-known and the baselines always the same, the others in their order."""
    found: dict[str, Style] = {}
    taken = {_KNOWN[name] for name in methods if name in _KNOWN}
    places = [place for place in range(len(_COLOURS)) if place not in taken]
    free = iter(
        [
            (place, dash)
            for dash, place in product(range(len(_DASHES)), range(len(_COLOURS)))
            if dash or place in places
        ]
    )
    for name in methods:
        if name in BASELINES:
            place = BASELINES.index(name)
            found[name] = Style(_GREYS[place], _DASHES[(place + 1) % len(_DASHES)], "xx+1"[place], 1.1)
        elif name in _KNOWN:
            place = _KNOWN[name]
            found[name] = Style(_COLOURS[place], "-", _MARKERS[place], 2.2 if place == 0 else 1.3)
        else:
            place, dash = next(free, (len(found) % len(_COLOURS), 0))
            grey = base_name(name) in BASELINES
            marker = _MARKERS[(place + 3 * dash) % len(_MARKERS)]
            found[name] = Style(_GREYS[0] if grey else _COLOURS[place], _DASHES[dash], marker, 1.3)
    return found


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the report's style within the block, whatever the user's settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Give an empty figure of so many inches, drawn without any window."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend_outside(figure: Figure, handles: Iterable[Any], labels: Sequence[str], columns: int = 1) -> None:
    """Set one legend to the right of all panels, or below them in several columns."""
    if columns == 1:
        figure.legend(list(handles), list(labels), loc="outside right center", handlelength=2.6)
    else:
        figure.legend(list(handles), list(labels), loc="outside lower center", ncols=columns, handlelength=2.6)


def saved(figure: Figure, kind: str, *, letters: bool = False) -> bytes:
    """Give the figure as PNG or SVG, the same bytes at every call; in SVG ``letters`` stay text, for pages."""
    with styled():
        mpl.rcParams["svg.fonttype"] = "none" if letters else "path"
        file = BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(file, format=kind, dpi=160, metadata=metadata)
    return file.getvalue()

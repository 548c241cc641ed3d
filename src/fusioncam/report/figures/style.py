"""The style of figures: each method has the same colour, line and marker in all, distinct for the colour-blind."""

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

# Okabe and Ito's colours without yellow, which is too light on white, and three of Paul Tol's
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

# the index of the colour of common methods, so that they look the same in every run
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
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that files are the same on every machine
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
    "pdf.fonttype": 42,  # TrueType, which publishers ask for
    "svg.hashsalt": "fusioncam",  # otherwise the ids in SVG files are random
}


# what a file would hold of the time and the version that wrote it
_DATES = {"svg": "Date", "pdf": "CreationDate", "png": "Software"}


@dataclass(frozen=True)
class Style:
    """The colour, dashes, marker and line width of a method."""

    colour: str
    dashes: Any
    marker: str
    width: float


def method_styles(methods: Sequence[str]) -> dict[str, Style]:
    """Return a style for each method: fixed ones for common methods and baselines, then free ones in order."""
    used = {_KNOWN[name] for name in methods if name in _KNOWN}
    free = iter(
        (colour, dash)
        for dash, colour in product(range(len(_DASHES)), range(len(_COLOURS)))
        if dash or colour not in used
    )
    styles: dict[str, Style] = {}
    for name in methods:
        if name in BASELINES:
            styles[name] = _baseline_style(BASELINES.index(name))
        elif name in _KNOWN:
            colour = _KNOWN[name]
            styles[name] = Style(_COLOURS[colour], "-", _MARKERS[colour], 2.2 if colour == 0 else 1.3)
        else:
            colour, dash = next(free, (len(styles) % len(_COLOURS), 0))
            styles[name] = _free_style(colour, dash, grey=base_name(name) in BASELINES)
    return styles


def _baseline_style(index: int) -> Style:
    return Style(_GREYS[index], _DASHES[(index + 1) % len(_DASHES)], "xx+1"[index], 1.1)


def _free_style(colour: int, dash: int, grey: bool) -> Style:
    marker = _MARKERS[(colour + 3 * dash) % len(_MARKERS)]
    return Style(_GREYS[0] if grey else _COLOURS[colour], _DASHES[dash], marker, 1.3)


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the report's style within the block, whatever the user's settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, which is drawn without a window."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend_outside(figure: Figure, handles: Iterable[Any], labels: Sequence[str], columns: int = 1) -> None:
    """Add one legend to the right of all panels, or below them if it has several columns."""
    if columns == 1:
        figure.legend(list(handles), list(labels), loc="outside right center", handlelength=2.6)
    else:
        figure.legend(list(handles), list(labels), loc="outside lower center", ncols=columns, handlelength=2.6)


def render(figure: Figure, file_format: str, *, editable_text: bool = False) -> bytes:
    """Return the figure as "png", "svg" or "pdf", the same bytes at every call.

    With ``editable_text`` an SVG keeps its text as text, for HTML pages, instead of converting it to paths.
    """
    with styled():
        mpl.rcParams["svg.fonttype"] = "none" if editable_text else "path"
        file = BytesIO()
        metadata = {_DATES[file_format]: None}
        figure.savefig(file, format=file_format, dpi=160, metadata=metadata)
    return file.getvalue()

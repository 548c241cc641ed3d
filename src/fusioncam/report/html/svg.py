"""matplotlib's SVG as part of a page: its own ids, and colours that suit a dark page too."""

from __future__ import annotations

import re
from html import escape

from fusioncam.report.html.page_model import Drawing

# what lies on a dark page in the place of each of the report's colours
_DARK = {
    "#222222": "#e8e6e3",
    "#555555": "#a9adb3",
    "#666666": "#8b9097",
    "#e6e6e6": "#33373d",
    "#ffffff": "#1d2024",
    "#d55e00": "#ff8b45",
    "#0072b2": "#56b0f2",
    "#009e73": "#2fcb9d",
    "#cc79a7": "#e79cc6",
    "#e69f00": "#f5bd4a",
    "#332288": "#a595ff",
    "#882255": "#e0709f",
    "#999933": "#c6c65e",
    "#000000": "#f5f5f5",
    "#4d4d4d": "#b9bcc1",
    "#7f7f7f": "#9a9da2",
    "#a0a0a0": "#7e8186",
    "#b8b8b8": "#65686d",
}


def drawing(name: str, svg: str, place: int) -> Drawing:
    """Make a part of a page of a whole SVG file; ``place`` tells its ids from those of other drawings."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>d{place}-", svg)
    opening, _, rest = svg.partition(">")
    points, box = (re.findall(rf'\b{fact}="([^"]*)"', opening)[0] for fact in ("width", "viewBox"))
    wide = float(points.removesuffix("pt")) * 4 / 3
    about = f'viewBox="{box}" role="img" aria-label="{escape(name)}"'
    svg = f'<svg {about} style="--wide: {wide:.0f}px; fill: #000000">{rest}'
    # a table of cells has its own background, on which its own letters are read
    return Drawing(name, svg if "<image" in svg else re.sub(r"#[0-9a-f]{6}\b", _both, svg))


def _both(colour: re.Match[str]) -> str:
    light = colour[0]
    return f"light-dark({light}, {_DARK[light]})" if light in _DARK else light

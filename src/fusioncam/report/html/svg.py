"""Embed matplotlib's SVG in a page: ids are made unique, and colours also suit a dark page."""

from __future__ import annotations

import re
from html import escape

from fusioncam.report.html.page_model import Drawing

# the colour on a dark page for each colour of the report's figures
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


def embed_svg(name: str, svg: str, index: int) -> Drawing:
    """Return an SVG file as a part of a page; ``index`` makes its ids differ from those of other drawings."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>d{index}-", svg)
    opening, _, content = svg.partition(">")
    width, box = (re.findall(rf'\b{attribute}="([^"]*)"', opening)[0] for attribute in ("width", "viewBox"))
    pixels = float(width.removesuffix("pt")) * 4 / 3
    attributes = f'viewBox="{box}" role="img" aria-label="{escape(name)}"'
    svg = f'<svg {attributes} style="--width: {pixels:.0f}px; fill: #000000">{content}'
    # a grid of cells keeps its light background, so that its text must stay dark
    return Drawing(name, svg if "<image" in svg else re.sub(r"#[0-9a-f]{6}\b", _light_and_dark, svg))


def _light_and_dark(colour: re.Match[str]) -> str:
    light = colour[0]
    return f"light-dark({light}, {_DARK[light]})" if light in _DARK else light

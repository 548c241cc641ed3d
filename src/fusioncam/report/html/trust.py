"""A trust card, as ``explanations.json`` keeps it, ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fusioncam.trust.rendering import MARKS, describe_cost
from fusioncam.utils.text import minus

UNKNOWN = "unknown"
_WIDE, _HIGH = 160, 72


@dataclass(frozen=True)
class Line:
    """A curve as the points of an SVG polyline."""

    name: str
    points: str


@dataclass(frozen=True)
class Panel:
    """Curves of one kind; the drawing is as high as the largest of their values, which is ``top``."""

    name: str
    top: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class TrustQuestion:
    """What was asked, what came out, in words, figures and curves."""

    text: str
    level: str
    words: str
    figures: tuple[tuple[str, str], ...]
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Card:
    """How far a heatmap can be trusted."""

    level: str
    words: str
    cost: str
    questions: tuple[TrustQuestion, ...]

    @property
    def signed(self) -> str:
        """The level with its sign."""
        return signed(self.level)


def known(level: object) -> str:
    """Give one of the known levels.

    >>> known("good"), known("<b>")
    ('good', 'unknown')
    """
    return str(level) if level in MARKS else UNKNOWN


def signed(level: str) -> str:
    """Set a level's sign before it.

    >>> signed("mixed"), signed("unknown")
    ('◐ mixed', '? unknown')
    """
    return f"{MARKS[level]} {level}"


def card_of(check: Mapping[str, Any]) -> Card:
    """Read a card; a level is told by a shape and a word, which a colour only repeats."""
    questions = tuple(map(_question, check["questions"]))
    return Card(known(check["level"]), str(check["words"]), describe_cost(check), questions)


def _question(facts: Mapping[str, Any]) -> TrustQuestion:
    figures = tuple((str(name).replace("_", " "), _figure(value)) for name, value in facts["figures"].items())
    panels = tuple(_panel(str(name), own) for name, own in (facts.get("curves") or {}).items())
    return TrustQuestion(str(facts["question"]), known(facts["level"]), str(facts["words"]), figures, panels)


def _figure(value: object) -> str:
    return minus(f"{value:.3g}") if isinstance(value, float) else str(value)


def _panel(name: str, curves: Mapping[str, Sequence[float]]) -> Panel:
    top = max(0.01, *(max(values) for values in curves.values()))
    lines = tuple(Line(str(one), points(values, top)) for one, values in curves.items())
    return Panel(name, f"{top:.2g}", lines)


def points(values: Sequence[float], top: float = 1.0) -> str:
    """Give a curve from 0 to ``top`` as points of a drawing 160 wide and 72 high.

    >>> points([0.0, 0.1, 0.2], 0.2)
    '0.0,72.0 80.0,36.0 160.0,0.0'
    """
    step = _WIDE / max(1, len(values) - 1)
    return " ".join(f"{place * step:.1f},{_HIGH * (1 - max(one, 0) / top):.1f}" for place, one in enumerate(values))

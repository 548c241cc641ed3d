"""Render a trust card: as HTML for notebooks, the report and the web page, and as a table for the terminal.

All HTML comes from one template, ``templates/trust_card.html``, and all text in it is escaped. A level is shown by a
mark and a word, so that colour only repeats it. Jinja and rich are imported when a card is rendered.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from fusioncam.trust.card import TrustCard
from fusioncam.utils.text import minus

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.table import Table
    from rich.text import Text

UNKNOWN = "unknown"
MARKS = {"good": "●", "mixed": "◐", "poor": "○", UNKNOWN: "?"}
_COLOURS = {"good": "green", "mixed": "yellow", "poor": "red", UNKNOWN: "dim"}
_CURVE_WIDTH, _CURVE_HEIGHT = 160, 72


@dataclass(frozen=True)
class CurveLine:
    """A curve as the points of an SVG polyline."""

    name: str
    points: str


@dataclass(frozen=True)
class CurvePanel:
    """The curves of one drawing, whose vertical axis ends at ``top``, the largest of their values."""

    name: str
    top: str
    lines: tuple[CurveLine, ...]


@dataclass(frozen=True)
class QuestionView:
    """A question of the card as text: its level, its answer in words, its figures and its curves."""

    text: str
    level: str
    words: str
    figures: tuple[tuple[str, str], ...]
    panels: tuple[CurvePanel, ...]

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> QuestionView:
        """Read a question as :meth:`Question.facts` returns it."""
        figures = tuple((str(name).replace("_", " "), _figure(value)) for name, value in facts["figures"].items())
        panels = tuple(_panel(str(name), curves) for name, curves in (facts.get("curves") or {}).items())
        return cls(str(facts["question"]), known_level(facts["level"]), str(facts["words"]), figures, panels)


@dataclass(frozen=True)
class CardView:
    """A trust card as text, ready for the template."""

    level: str
    words: str
    cost: str
    questions: tuple[QuestionView, ...]

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> CardView:
        """Read a card as :meth:`TrustCard.facts` returns it and ``explanations.json`` stores it.

        A level that does not exist becomes "unknown".
        """
        questions = tuple(map(QuestionView.from_facts, facts["questions"]))
        return cls(known_level(facts["level"]), str(facts["words"]), describe_cost(facts), questions)

    def folded_html(self) -> Markup:
        """Return HTML that shows one line until it is opened."""
        html: Markup = _template().folded_card(self)
        return html

    def open_html(self) -> Markup:
        """Return HTML that shows all questions, each with its answer folded."""
        html: Markup = _template().open_card(self)
        return html


def to_notebook_html(card: TrustCard, png: bytes, title: str) -> str:
    """Return the overlay and the card as one piece of HTML that refers to nothing outside itself."""
    html: Markup = _template().notebook(CardView.from_facts(card.facts()), b64encode(png).decode(), title)
    return str(html)


def to_table(facts: Mapping[str, Any], title: str) -> Table:
    """Return a card's facts as a table for the terminal: every question with its level and its answer."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    caption = describe_cost(facts)
    table = Table("", "question", "what was measured", title=Text(title), caption=caption, box=box.SIMPLE_HEAD)
    table.columns[1].max_width = 30
    table.add_row(_coloured(facts["level"]), Text("All in all", style="bold"), Text(facts["words"], style="bold"))
    for question in facts["questions"]:
        table.add_row(_coloured(question["level"]), Text(question["question"]), Text(question["words"]))
    return table


def describe_cost(facts: Mapping[str, Any]) -> str:
    """Describe the time and the passes that a check took.

    >>> describe_cost({"seconds": 4.2, "passes": 700, "partial_passes": 0})
    'measured in 4.2 s, 700 passes'
    """
    partial = f" and {facts['partial_passes']:,} partial ones" if facts["partial_passes"] else ""
    return f"measured in {facts['seconds']:.1f} s, {facts['passes']:,} passes{partial}"


def known_level(level: object) -> str:
    """Return the level if it is one of ``LEVELS``, else "unknown".

    >>> known_level("good"), known_level("<b>")
    ('good', 'unknown')
    """
    return str(level) if level in MARKS else UNKNOWN


def level_with_mark(level: str) -> str:
    """Return a level behind its mark.

    >>> level_with_mark("mixed"), level_with_mark("unknown")
    ('◐ mixed', '? unknown')
    """
    return f"{MARKS[level]} {level}"


def polyline_points(values: Sequence[float], top: float = 1.0) -> str:
    """Return a curve from 0 to ``top`` as points of a drawing 160 wide and 72 high.

    >>> polyline_points([0.0, 0.1, 0.2], 0.2)
    '0.0,72.0 80.0,36.0 160.0,0.0'
    """
    step = _CURVE_WIDTH / max(1, len(values) - 1)
    heights = (_CURVE_HEIGHT * (1 - max(value, 0) / top) for value in values)
    return " ".join(f"{index * step:.1f},{height:.1f}" for index, height in enumerate(heights))


def _figure(value: object) -> str:
    return minus(f"{value:.3g}") if isinstance(value, float) else str(value)


def _panel(name: str, curves: Mapping[str, Sequence[float]]) -> CurvePanel:
    top = max(0.01, *(max(values) for values in curves.values()))
    lines = tuple(CurveLine(str(line), polyline_points(values, top)) for line, values in curves.items())
    return CurvePanel(name, f"{top:.2g}", lines)


def _coloured(level: str) -> Text:
    from rich.text import Text

    return Text(level_with_mark(level), style=_COLOURS[level], no_wrap=True)


@cache
def _template() -> Any:
    """Return the template's macros as functions, which return ``Markup``."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader(str(__package__))
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["level_with_mark"] = level_with_mark
    return environment.get_template("trust_card.html").module

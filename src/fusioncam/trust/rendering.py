"""A trust card to look at: in a notebook, and on a terminal."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment
from rich import box
from rich.table import Table
from rich.text import Text

from fusioncam.trust.card import TrustCard

MARKS = {"good": "●", "mixed": "◐", "poor": "○", "unknown": "?"}
_COLOURS = {"good": "green", "mixed": "yellow", "poor": "red", "unknown": "dim"}

# currentColor and no background: it stands on light and on dark pages
_PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""
<figure style="margin:0;display:flex;flex-wrap:wrap;gap:1.2em;align-items:flex-start">
<img alt="{{ title }}" src="data:image/png;base64,{{ png }}" style="max-width:20em;width:100%">
<figcaption style="flex:1 1 22em;max-width:46em;text-align:left">
<div>{{ title }}</div>
<p style="margin:.4em 0"><b>{{ marks[card.level] }} {{ card.level }}.</b> {{ card.words }}</p>
{% for one in card.questions %}
<details style="margin:.2em 0"><summary>{{ marks[one.level] }} {{ one.question }} <b>{{ one.level }}</b></summary>
<p style="margin:.2em 0 .2em 1.2em">{{ one.words }}</p></details>
{% endfor %}
<small>{{ cost }}</small>
</figcaption>
</figure>
""")


def to_html(card: TrustCard, png: bytes, title: str) -> str:
    """Give one piece of HTML that needs nothing else: the overlay and the card, all text escaped."""
    image = b64encode(png).decode()
    return _PAGE.render(card=card, marks=MARKS, png=image, title=title, cost=cost(card.facts()))


def to_table(facts: Mapping[str, Any], title: str) -> Table:
    """Give a card's facts as a table for the terminal: every question with its level and its sentence."""
    table = Table("", "question", "what was measured", title=Text(title), caption=cost(facts), box=box.SIMPLE_HEAD)
    table.columns[1].max_width = 30
    table.add_row(_level(facts["level"]), Text("All in all", style="bold"), Text(facts["words"], style="bold"))
    for one in facts["questions"]:
        table.add_row(_level(one["level"]), Text(one["question"]), Text(one["words"]))
    return table


def cost(facts: Mapping[str, Any]) -> str:
    """Say what a check took.

    >>> cost({"seconds": 4.2, "passes": 700, "partial_passes": 0})
    'measured in 4.2 s, 700 passes'
    """
    partial = f" and {facts['partial_passes']:,} partial ones" if facts["partial_passes"] else ""
    return f"measured in {facts['seconds']:.1f} s, {facts['passes']:,} passes{partial}"


def _level(level: str) -> Text:
    return Text(f"{MARKS[level]} {level}", style=_COLOURS[level], no_wrap=True)

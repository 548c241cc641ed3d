"""Render a trust card: in a notebook, on a terminal, and from stored facts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from markupsafe import escape
from rich.console import Console

import samples
from fusioncam import explain
from fusioncam.trust.card import Question, TrustCard
from fusioncam.trust.rendering import CardView, to_notebook_html, to_table
from samples import CAT


def test_a_notebook_shows_overlay_and_card_with_names_as_text():
    """The HTML refers to nothing outside itself, and a class or file named like a tag is shown as text."""
    labels = tuple(f"<script>alert({n})</script>" for n in range(5))
    explanation = explain(CAT, model=samples.explained(samples.Small(), labels), method="grad-cam", check=True)
    page = explanation._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page
    for question in explanation.card.questions:
        assert str(escape(question.question)) in page
    assert "<img onerror" not in to_notebook_html(explanation.card, b"", '"><img onerror=x>')


def test_a_terminal_shows_names_as_text(capsys):
    """Markup of rich in the name of a class is not interpreted."""
    question = Question("stable", "Is it [i]so[/i], however long the question?", "poor", "[bold]no", {})
    card = TrustCard("good", "[red]fine[/red]", (question,), 1.0, 5, 7)
    Console(width=120).print(to_table(card.facts(), "[blue]cat"))
    output = capsys.readouterr().out
    for text in ("[red]fine[/red]", "[bold]no", "[blue]cat", "● good", "○ poor", "5 passes and 7 partial"):
        assert text in output


def test_a_card_is_rendered_from_stored_facts():
    """The facts of explanations.json suffice; text is escaped, and a level that does not exist becomes unknown."""
    curves = {"insertion": {"heatmap": [0.0, 1.0], "random": [0.0, 0.5], "center": [0.0, 0.2]}}
    question = Question("stable", "Is it <b>so</b>?", "mixed", "words", {"similarity_x": -0.25}, curves)
    facts = TrustCard("<i>", "words", (question,), 1.0, 5, 0).facts()
    view = CardView.from_facts(json.loads(json.dumps(facts)))

    for html in (view.folded_html(), view.open_html()):
        assert '<span class="level unknown">? unknown</span>' in html
        assert '<span class="level mixed">◐ mixed</span> Is it &lt;b&gt;so&lt;/b&gt;?' in html
        assert "<dt>similarity x</dt><dd>\N{MINUS SIGN}0.25</dd>" in html
        assert html.count("<polyline") == 3
        assert "measured in 1.0 s, 5 passes" in html


@pytest.mark.slow
def test_jinja_and_rich_are_imported_on_rendering():
    """Importing the package trust loads neither."""
    code = "import sys, fusioncam.trust.rendering; print({'jinja2', 'rich.table'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

"""What the page says, as HTML: all that comes from elsewhere, names of files and classes and errors, is escaped."""

from __future__ import annotations

from html import escape

from fusioncam.app.session import MAX_BYTES, MAX_PIXELS, CachedExplanation, ClassPrediction
from fusioncam.trust.card import TrustCard
from fusioncam.trust.rendering import CardView

HEAD = """<header class="fc-head"><h1>What did the network look at?</h1>
<p>Drop an image. The heatmap shows which part of it speaks for a class, and the card how far to trust that.</p>
</header>"""
FOOT = """<footer class="fc-foot">Made by fusioncam on this server. Images that are sent are deleted after an hour,
and when the server ends.</footer>"""
LIMITS = f"JPEG, PNG, WebP, GIF, BMP or TIFF, up to {MAX_BYTES >> 20} MB and {MAX_PIXELS // 1_000_000} megapixels"
EMPTY = """<div class="fc-empty"><p>The heatmap appears here.</p></div>"""
BROKEN = "Something went wrong here, and it was not the image: the server's log tells what."
MEASURING = (
    """<section class="fc-card fc-waits" aria-busy="true"><p>Measuring how far to trust this map …</p></section>"""
)
MOVED = """<section class="fc-card"><p>Let go of theta, and this map is measured too.</p></section>"""


def note(message: str) -> str:
    """Say what went wrong."""
    return f'<div class="fc-note" role="alert">{escape(message)}</div>'


def choice(guess: ClassPrediction) -> str:
    """Name a class with its probability."""
    return f"{guess.name} · {guess.probability:.1%}"


def facts(made: CachedExplanation) -> str:
    """Say what the map is of, and what it was made by."""
    one = made.explanation
    seconds = f"{one.seconds:.1f} s" if one.seconds < 10 else f"{one.seconds:.0f} s"
    passes = f"{one.passes:,} passes" + (f" and {one.partial_passes:,} partial" if one.partial_passes else "")
    lines = [
        f'<span class="fc-scale">0<i></i>1</span><strong>{escape(one.class_name)}</strong> {one.probability:.1%}',
        f"<code>{escape(one.method)}</code> at <code>{escape(one.layer)}</code> of {escape(one.model)} · "
        f"{passes} · {seconds}",
    ]
    if one.gains:
        names = {"denoised": "gradient map", "region": "region map", "union": "union"}
        gains = " · ".join(f"{names[name]} {gain:+.3f}" for name, gain in one.gains.items())
        lines.append(f"what each adds to the probability: {gains}")
    return f'<div class="fc-facts"><p>{"</p><p>".join(lines)}</p></div>'


def card(card: TrustCard) -> str:
    """Return a trust card under its heading."""
    view = CardView.from_facts(card.facts())
    return f'<section class="fc-card {view.level}"><h2>How far to trust it</h2>{view.open_html()}</section>'

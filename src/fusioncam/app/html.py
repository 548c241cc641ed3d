"""The texts of the web page as HTML; names of files and classes, and messages of errors, are escaped."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np

from fusioncam.app.cached_explanation import CachedExplanation
from fusioncam.app.files import MAX_BYTES, MAX_PIXELS
from fusioncam.app.session import ClassPrediction
from fusioncam.explanations.explanation import Explanation
from fusioncam.explanations.region_effect import RegionEffect
from fusioncam.trust.card import TrustCard
from fusioncam.trust.rendering import CardView
from fusioncam.visualization import DEFAULT_COLORMAP, colourise

HEAD = """<header class="fc-head"><h1>Which part of the image supports the class?</h1>
<p>Drop an image. The heatmap shows which parts of it support a class, and the card shows how far to trust the
heatmap.</p></header>"""
FOOT = """<footer class="fc-foot">Computed by fusioncam on this server. Uploaded images are deleted after one hour,
and when the server stops. Camera images are not stored.</footer>"""
LIMITS = f"JPEG, PNG, WebP, GIF, BMP or TIFF, up to {MAX_BYTES >> 20} MB and {MAX_PIXELS // 1_000_000} megapixels"
# script.js shows it for files that are not sent
TOO_LARGE = f"""<div class="fc-note" id="fc-too-large" role="alert"
data-message="the file has over {MAX_BYTES >> 20} MB: resize the image first" hidden></div>"""
EMPTY = """<div class="fc-empty"><p>The heatmap appears here.</p></div>"""
NO_FRAME = """<div class="fc-empty"><p>The heatmap of the camera image appears here while it records. One visitor at a
time uses the camera, for two minutes.</p></div>"""
SERVER_ERROR = "An error occurred on the server, not in your image; the log of the server has the details."
MEASURING = """<section class="fc-card fc-waits" aria-busy="true"><p>Measuring how far to trust this heatmap …</p>
</section>"""
THETA_MOVED = """<section class="fc-card"><p>Release theta to measure this heatmap too.</p></section>"""
SUPERSEDED = """<section class="fc-card"><p>The check ended, because another heatmap was requested.</p></section>"""
PLACE = """<div class="fc-place">Click on the heatmap to learn how much a place matters.</div>"""
_MAP_NAMES = {"denoised": "gradient map", "region": "region map", "union": "union"}


def note(message: str) -> str:
    """Return a message about an error."""
    return f'<div class="fc-note" role="alert">{escape(message)}</div>'


def too_many(sent: int, limit: int) -> str:
    """Return the message about more images than are listed at a time."""
    return f"{sent} images are too many: the first {limit} are listed; drop the others afterwards"


def class_choice(prediction: ClassPrediction) -> str:
    """Return the text of a class in the list of choices: its name and its probability."""
    return f"{prediction.name} · {prediction.probability:.1%}"


def facts(explained: CachedExplanation, colormap: str = DEFAULT_COLORMAP) -> str:
    """Return the class, the method, the layer, the cost and the gains of the heatmap that is shown."""
    return facts_of(explained.explanation, colormap)


def facts_of(explanation: Explanation, colormap: str = DEFAULT_COLORMAP) -> str:
    """Return the class, the method, the layer, the cost and the gains of a heatmap."""
    digits = 1 if explanation.seconds < 10 else 0
    partial = f" and {explanation.partial_passes:,} partial" if explanation.partial_passes else ""
    lines = [
        f"{_scale(colormap)}<strong>{escape(explanation.class_name)}</strong> {explanation.probability:.1%}",
        f"<code>{escape(explanation.method)}</code> at <code>{escape(explanation.layer)}</code> of "
        f"{escape(explanation.model)} · {explanation.passes:,} passes{partial} · {explanation.seconds:.{digits}f} s",
    ]
    if explanation.gains:
        gains = " · ".join(f"{_MAP_NAMES[name]} {gain:+.3f}" for name, gain in explanation.gains.items())
        lines.append(f"gain in probability over the empty image: {gains}")
    return f'<div class="fc-facts"><p>{"</p><p>".join(lines)}</p></div>'


def place(class_name: str, effect: RegionEffect) -> str:
    """Return what the class's probability is without a place of the image, and with that place alone."""
    parts = f"without this place {effect.without:.1%} · this place alone {effect.alone:.1%}"
    name = f"<strong>{escape(class_name)}</strong> {effect.whole:.1%}"
    return f'<div class="fc-place" role="status">{name} · {parts}</div>'


def progress(answered: int, total: int) -> str:
    """Return how many questions of the card are answered."""
    return f'<p class="fc-progress" role="status">{answered} of {total} questions answered</p>'


def _scale(colormap: str) -> str:
    """Return the colours from 0 to 1."""
    ramp = colourise(np.linspace(0, 1, 9, dtype=np.float32)[None], (9, 1), colormap)[0]
    colours = ", ".join(f"rgb({red:.0f} {green:.0f} {blue:.0f})" for red, green, blue in 255 * ramp)
    return f'<span class="fc-scale">0<i style="background: linear-gradient(90deg, {colours})"></i>1</span>'


def frame(explanation: Explanation) -> str:
    """Return a camera image under its heatmap, which is part of the text and no file, and its facts."""
    buffer = io.BytesIO()
    explanation.overlay().save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    view = f'<img class="fc-frame" src="data:image/jpeg;base64,{data}" alt="the camera image under its heatmap">'
    return f"{view}{facts_of(explanation)}"


def card(trust_card: TrustCard) -> str:
    """Return a trust card under its heading."""
    view = CardView.from_facts(trust_card.facts())
    return f'<section class="fc-card {view.level}"><h2>How far to trust it</h2>{view.open_html()}</section>'

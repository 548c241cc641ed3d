"""The methods, by the names that the field gives them.

``METHODS[name](model, x, target)`` gives heatmaps ``(N, *s)`` in [0, 1]. A name with a colon is a preset that
reproduces a public code: ``official`` is the Fusion-CAM paper's, ``xplaincam`` its first author's library.
"""

from __future__ import annotations

from .common import Method
from .fusion import FusionCAM, Ingredients, UnionCAM
from .gradient import DenoisedGradCAM, GradCAM
from .region import ScoreCAM

_XPLAINCAM = ScoreCAM(readout="probability", softmax=False, normalise="before", maps="normalised")

METHODS: dict[str, Method] = {
    "grad-cam": GradCAM(),
    "denoised-grad-cam": DenoisedGradCAM(),
    "score-cam": ScoreCAM(),
    "score-cam:official": ScoreCAM(),
    "score-cam:xplaincam": _XPLAINCAM,
    "union-cam": UnionCAM(),
    "union-cam:official": UnionCAM(gains="official"),
    "union-cam:xplaincam": UnionCAM(region=_XPLAINCAM, gains="raw"),
    "fusion-cam": FusionCAM(),
    "fusion-cam:official": FusionCAM(gains="official"),
    "fusion-cam:xplaincam": FusionCAM(region=_XPLAINCAM, gains="raw", strict=True),
}

__all__ = ["METHODS", "DenoisedGradCAM", "FusionCAM", "GradCAM", "Ingredients", "Method", "ScoreCAM", "UnionCAM"]

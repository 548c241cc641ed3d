"""Explain images: heatmaps, overlays and comparisons."""

from fusioncam.explanations.comparison import Comparison, compare
from fusioncam.explanations.explain import explain, explain_each
from fusioncam.explanations.explanation import Explanation

__all__ = ["Comparison", "Explanation", "compare", "explain", "explain_each"]

"""Measure how reliable one heatmap is."""

from fusioncam.trust.assess import check
from fusioncam.trust.card import LEVELS, Question, TrustCard
from fusioncam.trust.measurements import SHARE

__all__ = ["LEVELS", "SHARE", "Question", "TrustCard", "check"]

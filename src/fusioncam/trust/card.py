"""What a trust card is: questions, each with a level, a sentence and the figures under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEVELS = ("good", "mixed", "poor", "unknown")
Curves = Mapping[str, Mapping[str, list[float]]]


@dataclass(frozen=True)
class Question:
    """One question that was asked of a heatmap, and what was measured.

    ``level`` is one of ``LEVELS``; "unknown" says that it could not be measured, and ``words`` say why. ``figures``
    are what the level and the words rest on. ``curves`` holds the probability in insertion and deletion, at even
    steps from no pixel changed to all of them: ``curves["insertion"]["heatmap"]``, ``"random"`` (the mean of several
    maps) and ``"center"``.
    """

    name: str
    question: str
    level: str
    words: str
    figures: dict[str, float] = field(default_factory=dict)
    curves: Curves | None = None

    def facts(self) -> dict[str, Any]:
        """Give it ready for JSON."""
        told = {
            "name": self.name,
            "question": self.question,
            "level": self.level,
            "words": self.words,
            "figures": self.figures,
        }
        return told if self.curves is None else told | {"curves": self.curves}


@dataclass(frozen=True)
class TrustCard:
    """How far one heatmap can be trusted: the overall level, the questions behind it, and what asking them cost.

    ``level`` is "good", "mixed" or "poor". ``passes``, ``partial_passes`` and ``seconds`` are what the check took
    beyond the heatmap itself.
    """

    level: str
    words: str
    questions: tuple[Question, ...]
    seconds: float
    passes: int
    partial_passes: int

    def facts(self) -> dict[str, Any]:
        """Give all of it ready for JSON."""
        return {
            "level": self.level,
            "words": self.words,
            "seconds": round(self.seconds, 4),
            "passes": self.passes,
            "partial_passes": self.partial_passes,
            "questions": [one.facts() for one in self.questions],
        }

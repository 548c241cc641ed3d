"""The trust card as data: questions, each with a level, an answer in words and the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEVELS = ("good", "mixed", "poor", "unknown")
Curves = Mapping[str, Mapping[str, list[float]]]


@dataclass(frozen=True)
class Question:
    """One question about a heatmap, and the answer.

    ``level`` is one of ``LEVELS``; "unknown" means that it could not be measured, and ``words`` give the reason.
    ``figures`` are the numbers behind the level and the words. ``curves`` holds the probability under insertion and
    deletion, at even steps from no pixel changed to all of them: ``curves["insertion"]["heatmap"]``, ``"random"``
    (the mean of several random heatmaps) and ``"center"``.
    """

    name: str
    question: str
    level: str
    words: str
    figures: dict[str, float] = field(default_factory=dict)
    curves: Curves | None = None

    def facts(self) -> dict[str, Any]:
        """Return the question and its answer as data that JSON can hold."""
        facts = {
            "name": self.name,
            "question": self.question,
            "level": self.level,
            "words": self.words,
            "figures": self.figures,
        }
        return facts if self.curves is None else facts | {"curves": self.curves}


@dataclass(frozen=True)
class TrustCard:
    """How reliable one heatmap is: the overall level, the questions behind it, and the cost of the check.

    ``level`` is "good", "mixed" or "poor". ``passes``, ``partial_passes`` and ``seconds`` are the cost of the check
    itself, without that of the heatmap.
    """

    level: str
    words: str
    questions: tuple[Question, ...]
    seconds: float
    passes: int
    partial_passes: int

    def facts(self) -> dict[str, Any]:
        """Return the card as data that JSON can hold."""
        return {
            "level": self.level,
            "words": self.words,
            "seconds": round(self.seconds, 4),
            "passes": self.passes,
            "partial_passes": self.partial_passes,
            "questions": [question.facts() for question in self.questions],
        }

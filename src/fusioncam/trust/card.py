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

    Attributes:
        name: a short name, such as "better-than-chance".
        question: the question as a sentence.
        level: "good", "mixed", "poor", or "unknown" if it could not be measured.
        words: the answer as a sentence; for "unknown" the reason.
        figures: the numbers behind the level and the words.
        curves: the probability under insertion and deletion, at even steps from no pixel changed to all of them:
            ``curves["insertion"]["heatmap"]``, ``"random"`` (the mean of several random heatmaps) and ``"center"``.
            None for questions without curves.

    Examples:
        ```python
        card = fc.explain("cat.jpg", method="grad-cam").check()
        better_than_chance = card.questions[1]
        better_than_chance.level, better_than_chance.figures
        better_than_chance.curves["insertion"]["heatmap"]
        ```
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

    Attributes:
        level: "good", "mixed" or "poor".
        words: the reason for the level, as a sentence.
        questions: the questions with their answers.
        seconds: the time of the check, without that of the heatmap.
        passes: its forward passes.
        partial_passes: those of them that start at the layer.

    Examples:
        ```python
        card = fc.explain("cat.jpg", method="grad-cam").check()
        print(card.level, card.words)
        [question.question for question in card.questions if question.level == "poor"]
        ```
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

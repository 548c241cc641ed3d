"""Levels and sentences from figures: plain arithmetic, without a network.

The thresholds of similarity come from heatmaps of different images, which must not count as similar: half of such
pairs have a correlation below ``DISSIMILAR`` and one in twenty above ``SIMILAR``. ``docs/trust.md`` describes how
they were measured, and how often real heatmaps and baselines get each level.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from fusioncam.inference.random_state import Randomness
from fusioncam.trust.card import Curves, Question
from fusioncam.trust.measurements import DRAWS, NOISE, RANDOM_MAPS, SHARE, Figures

SIMILAR = 0.88
DISSIMILAR = 0.5
HALF = 0.5

QUESTIONS = {
    "carries-the-class": "Does the class depend on the highlighted part?",
    "better-than-chance": "Is the heatmap better than random heatmaps and a spot at the centre?",
    "maps-agree": "Do the gradient heatmap and the region heatmap agree?",
    "stable": "Is the heatmap stable under a little noise?",
    "depends-on-the-network": "Does the heatmap change when the network's last layers are randomised?",
    "of-this-class": "Does the heatmap differ from that of the next most probable class?",
}
# the reason that the overall sentence gives for each poor answer
_FAILURES = {
    "carries-the-class": "the class is no more probable for the highlighted part than for the rest of the image",
    "better-than-chance": "the heatmap is no better than random heatmaps",
    "maps-agree": "the gradient heatmap and the region heatmap do not support each other",
    "stable": "a little noise changes the heatmap",
    "depends-on-the-network": "the heatmap hardly changes when the network's last layers are randomised",
    "of-this-class": "the heatmap of the next class differs from this one by no more than noise does",
}
# a poor answer to one of these decides: such a heatmap is not evidence of what the network uses
_DECISIVE = ("carries-the-class", "better-than-chance", "depends-on-the-network")


def judge_deletion(figures: Figures, name: str) -> Question:
    """Judge the highlighted part: good if it alone keeps half of the probability, and half is lost without it."""
    whole, only, without = figures["whole"], figures["only"], figures["without"]
    kept, lost = only >= HALF * whole, without <= HALF * whole
    level = "good" if kept and lost else "poor" if only <= without else "mixed"
    words = (
        f"The probability of {name} is {whole:.1%} for the whole image, {only:.1%} for the highest {SHARE:.0%} of "
        f"the pixels alone, and {without:.1%} without them. For random parts of the same size it is "
        f"{figures['only_random']:.1%} and {figures['without_random']:.1%} (mean of {RANDOM_MAPS})."
    )
    return _answer("carries-the-class", level, words, figures)


def evidence_sentence(question: Question) -> str:
    """Return the answer to the first question as one sentence for people who do not know the card; "" if unknown.

    >>> evidence_sentence(judge_deletion({"whole": 0.5, "only": 0.4, "without": 0.1, "only_random": 0.01,
    ...     "without_random": 0.4}, "a cat"))
    'The highlighted 30% of the pixels alone keep 80% of the confidence; random regions keep 2.0%.'
    """
    figures = question.figures
    if question.level == "unknown" or not figures.get("whole"):
        return ""
    shares = [figures[name] / figures["whole"] for name in ("only", "only_random")]
    kept, random = (f"{share:.{0 if share >= 0.1 else 1}%}" for share in shares)
    highlighted = f"The highlighted {SHARE:.0%} of the pixels alone keep {kept} of the confidence"
    return f"{highlighted}; random regions keep {random}."


def judge_vs_random(figures: Figures, curves: Curves) -> Question:
    """Judge insertion minus deletion: good if it is higher than that of every baseline."""
    own, random, center = (figures[f"difference{suffix}"] for suffix in ("", "_random", "_center"))
    best = figures["difference_random_highest"]
    level = "good" if own > max(best, center) else "poor" if own <= random else "mixed"
    words = (
        f"The area under the insertion curve minus that under the deletion curve is {own:.3f} "
        f"({figures['insertion']:.3f} - {figures['deletion']:.3f}). For {RANDOM_MAPS} random heatmaps it is "
        f"{random:.3f} on average and {best:.3f} at most; for a spot at the centre it is {center:.3f}."
    )
    return _answer("better-than-chance", level, words, figures, curves)


def judge_agreement(figures: Figures) -> Question:
    """Judge the two fused heatmaps: good if they are similar and each increases the probability."""
    similarity, denoised, region = figures["agreement"], figures["gain_denoised"], figures["gain_region"]
    good = similarity >= SIMILAR and denoised > 0 and region > 0
    poor = similarity < DISSIMILAR or (denoised <= 0 and region <= 0)
    words = (
        f"The gradient heatmap and the region heatmap have a correlation of {similarity:.2f}. The image masked by "
        f"each of them changes the probability of the empty image by {denoised:+.3f} and {region:+.3f}."
    )
    return _answer("maps-agree", "good" if good else "poor" if poor else "mixed", words, figures)


def judge_stability(figures: Figures, budget_note: str) -> Question:
    """Judge stability: good if the heatmaps of noisy images are more similar than those of different images."""
    similarity = figures["similarity"]
    level = "good" if similarity >= SIMILAR else "poor" if similarity < DISSIMILAR else "mixed"
    words = (
        f"With noise of {NOISE:.0%} of the image's range, the heatmap has a correlation of {similarity:.2f} with the "
        f"original (mean of {DRAWS} draws), and the probability changes from {figures['probability']:.1%} to "
        f"{figures['probability_noisy']:.1%}{budget_note}."
    )
    return _answer("stable", level, words, figures)


def judge_randomness(randomness: Randomness) -> Question:
    """Judge a network that is random in evaluation mode: its heatmaps are not stable even without noise."""
    return _answer("stable", "poor", sentence(randomness), {"difference": randomness.difference})


def sentence(randomness: Randomness) -> str:
    """Return the randomness of a network as a sentence."""
    text = str(randomness)
    return f"{text[0].upper()}{text[1:]}."


def judge_network_dependence(figures: Figures, budget_note: str) -> Question:
    """Judge the dependence on the network: good if the similarity is no more than that of different images."""
    similarity = figures["similarity"]
    level = "good" if similarity <= DISSIMILAR else "poor" if similarity > SIMILAR else "mixed"
    words = (
        f"With the parameters of the last {figures['shuffled']:.0%} of layers shuffled, in a copy of the network, "
        f"the heatmap has a correlation of {similarity:.2f} with the original{budget_note}."
    )
    return _answer("depends-on-the-network", level, words, figures)


def judge_class_dependence(figures: Figures, under_noise: float, other: str, budget_note: str) -> Question:
    """Judge the class: poor if the next class's heatmap is at least as similar as the heatmap ``under_noise``."""
    similarity = figures["similarity"]
    level = "poor" if similarity >= under_noise else "good" if similarity <= SIMILAR else "mixed"
    words = (
        f"The heatmap of the next class, {other} ({figures['other_probability']:.1%}), has a correlation of "
        f"{similarity:.2f} with this one. Under a little noise, this one has a correlation of {under_noise:.2f} with "
        f"itself{budget_note}."
    )
    return _answer("of-this-class", level, words, figures)


def unknown(name: str, reason: str, figures: Figures | None = None) -> Question:
    """Return a question that could not be measured, with the reason."""
    return _answer(name, "unknown", reason, figures or {})


def overall(questions: Sequence[Question]) -> tuple[str, str]:
    """Return the overall level of all answers, and a sentence that gives the reason.

    "poor" if a question of ``_DECISIVE`` is poor, or none could be measured. "good" if the heatmap is better than all
    baselines, the other decisive questions could be measured, no answer is poor, and at least half are good.
    Otherwise "mixed".
    """
    known = [question for question in questions if question.level != "unknown"]
    names = {level: [one.name for one in known if one.level == level] for level in ("good", "mixed", "poor")}
    decisive = [name for name in names["poor"] if name in _DECISIVE]
    count = f"{len(names['good'])} of {len(known)} answers are good"
    if not known:
        return "poor", "Nothing could be measured, so there is no evidence for this heatmap."
    if decisive:
        return "poor", f"Reasons not to rely on this heatmap: {_failures(decisive)} ({count})."
    if names["poor"]:
        return "mixed", f"Rely on this heatmap with caution: {_failures(names['poor'])} ({count})."
    missing = [QUESTIONS[name] for name in _DECISIVE if name not in {one.name for one in known}]
    if missing:
        return "mixed", f"Too little could be measured: {count} and none is poor, but '{missing[0]}' has no answer."
    if "better-than-chance" in names["good"] and len(names["good"]) >= len(known) / 2:
        return "good", f"No measurement speaks against this heatmap: {count} and none is poor."
    return "mixed", f"There is little evidence against this heatmap and little for it: {count} and none is poor."


def _failures(names: Sequence[str]) -> str:
    return "; ".join(_FAILURES[name] for name in names)


def _answer(name: str, level: str, words: str, figures: Figures, curves: Curves | None = None) -> Question:
    finite = {key: value for key, value in figures.items() if isfinite(value)}
    return Question(name, QUESTIONS[name], level, words, finite, curves)

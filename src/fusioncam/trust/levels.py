"""Figures -> levels and words: plain arithmetic, no network.

The thresholds of similarity come from maps of different images, which must not be taken for alike: half of such
pairs correlate by less than ``UNLIKE`` and one in twenty by more than ``ALIKE``. How they were measured, and how
often real maps and those that know nothing get each level, is told in ``docs/trust.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from fusioncam.trust.card import Curves, Question
from fusioncam.trust.measurements import DRAWS, NOISE, RANDOM_MAPS, SHARE, Figures

ALIKE = 0.88
UNLIKE = 0.5
HALF = 0.5

ASKED = {
    "carries-the-class": "Does the highlighted part carry the class?",
    "better-than-chance": "Does the map find what matters better than maps that know nothing?",
    "maps-agree": "Do the gradient map and the region map agree?",
    "stable": "Does the map stay under a little noise?",
    "depends-on-the-network": "Does the map change when the network's top is made random?",
    "of-this-class": "Does the map differ from that of the next class?",
}
# what is said of a map whose answer is poor
_FAILS = {
    "carries-the-class": "the rest of the image carries the class better than what it highlights",
    "better-than-chance": "it finds what matters no better than random maps",
    "maps-agree": "its gradient map and its region map show different places",
    "stable": "a little noise moves it",
    "depends-on-the-network": "it stays much the same when the network's top is made random",
    "of-this-class": "the next class's map is the same but for noise",
}
# a map that fails one of these is no evidence of what the network looked at, whatever the others say
_NEEDED = ("carries-the-class", "better-than-chance", "depends-on-the-network")


def judge_deletion(figures: Figures, name: str) -> Question:
    """Judge the highlighted part: good if it keeps half of the probability alone and half is lost without it."""
    whole, only, without = figures["whole"], figures["only"], figures["without"]
    kept, lost = only >= HALF * whole, without <= HALF * whole
    level = "good" if kept and lost else "poor" if only <= without else "mixed"
    words = (
        f"The probability of {name} is {whole:.1%} for the whole image, {only:.1%} for the highest {SHARE:.0%} of "
        f"the pixels alone and {without:.1%} without them; for random parts as large it is "
        f"{figures['only_random']:.1%} and {figures['without_random']:.1%}, the mean of {RANDOM_MAPS}."
    )
    return _answer("carries-the-class", level, words, figures)


def judge_vs_random(figures: Figures, curves: Curves) -> Question:
    """Judge insertion less deletion: good if it is higher than that of every map that knows nothing."""
    mine, random, center = (figures[f"difference{one}"] for one in ("", "_random", "_center"))
    best = figures["difference_random_highest"]
    level = "good" if mine > max(best, center) else "poor" if mine <= random else "mixed"
    words = (
        f"The area under insertion less that under deletion is {mine:.3f} ({figures['insertion']:.3f} - "
        f"{figures['deletion']:.3f}); of {RANDOM_MAPS} random maps it is {random:.3f} in the mean and {best:.3f} at "
        f"most, of a spot at the centre {center:.3f}."
    )
    return _answer("better-than-chance", level, words, figures, curves)


def judge_agreement(figures: Figures) -> Question:
    """Judge what the map was made of: good if both maps are alike and both add to the probability."""
    alike, denoised, region = figures["agreement"], figures["gain_denoised"], figures["gain_region"]
    good = alike >= ALIKE and denoised > 0 and region > 0
    poor = alike < UNLIKE or (denoised <= 0 and region <= 0)
    words = (
        f"The gradient map and the region map correlate by {alike:.2f}; seen through them, the image changes the "
        f"probability of the empty one by {denoised:+.3f} and {region:+.3f}."
    )
    return _answer("maps-agree", "good" if good else "poor" if poor else "mixed", words, figures)


def judge_stability(figures: Figures, how: str) -> Question:
    """Judge stability: good if the noisy image's map is more alike than those of different images are."""
    alike = figures["similarity"]
    level = "good" if alike >= ALIKE else "poor" if alike < UNLIKE else "mixed"
    words = (
        f"Under noise of {NOISE:.0%} of the image's range the map correlates by {alike:.2f} with itself, the mean "
        f"of {DRAWS} draws; the probability went from {figures['probability']:.1%} to "
        f"{figures['probability_noisy']:.1%}{how}."
    )
    return _answer("stable", level, words, figures)


def judge_network_dependence(figures: Figures, how: str) -> Question:
    """Judge dependence on what was learned: good if no more is left than maps of different images share."""
    alike = figures["similarity"]
    level = "good" if alike <= UNLIKE else "poor" if alike > ALIKE else "mixed"
    words = (
        f"With the parameters of the network's last {figures['shuffled']:.0%} of layers shuffled, in a copy, the map "
        f"correlates by {alike:.2f} with this one{how}."
    )
    return _answer("depends-on-the-network", level, words, figures)


def judge_class_dependence(figures: Figures, itself: float, other: str, how: str) -> Question:
    """Judge the class: poor if the next class's map is as like this one as this one is to ``itself`` under noise."""
    alike = figures["similarity"]
    level = "poor" if alike >= itself else "good" if alike <= ALIKE else "mixed"
    words = (
        f"The map of the next class, {other} ({figures['other_probability']:.1%}), correlates by {alike:.2f} with "
        f"this one, which correlates by {itself:.2f} with itself under a little noise{how}."
    )
    return _answer("of-this-class", level, words, figures)


def unknown(name: str, why: str, figures: Figures | None = None) -> Question:
    """Say that a question could not be asked, and why."""
    return _answer(name, "unknown", why, figures or {})


def overall(questions: Sequence[Question]) -> tuple[str, str]:
    """Give the level of all answers together, and say what it rests on.

    "poor" if one of ``_NEEDED`` is poor, or no question could be asked. "good" if the map beats all those that know
    nothing, the others of ``_NEEDED`` could be asked, none is poor, and at least half are good. Else "mixed".
    """
    known = [one for one in questions if one.level != "unknown"]
    at = {level: [one.name for one in known if one.level == level] for level in ("good", "mixed", "poor")}
    needed = [name for name in at["poor"] if name in _NEEDED]
    asked = f"{len(at['good'])} of {len(known)} questions came out good"
    if not known:
        return "poor", "Nothing could be measured of this map, so nothing speaks for it."
    if needed:
        return "poor", f"This speaks against relying on the map: {_listed(needed)} ({asked})."
    if at["poor"]:
        return "mixed", f"Some of it does not hold: {_listed(at['poor'])} ({asked})."
    missing = [ASKED[name] for name in _NEEDED if name not in {one.name for one in known}]
    if missing:
        return "mixed", f"Too little could be asked: {asked}, none poor, but nothing answers '{missing[0]}'"
    if "better-than-chance" in at["good"] and len(at["good"]) >= len(known) / 2:
        return "good", f"Nothing that was measured speaks against this map: {asked}, none poor."
    return "mixed", f"Little speaks against this map, and little for it: {asked}, none poor."


def _listed(names: Sequence[str]) -> str:
    return "; ".join(_FAILS[name] for name in names)


def _answer(name: str, level: str, words: str, figures: Figures, curves: Curves | None = None) -> Question:
    return Question(name, ASKED[name], level, words, {k: v for k, v in figures.items() if isfinite(v)}, curves)

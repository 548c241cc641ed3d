"""The answers of docs/results.md: counts of settings, the choice on one half, and numbers in texts."""

import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fusioncam.report.results import Column

pytest.importorskip("pandas")
DOCS = Path(__file__).parents[2] / "docs"
sys.path.append(str(DOCS))  # last: docs/conformance.py has the name of a package of the tests
evidence, evidence_choice, evidence_text = map(import_module, ("evidence", "evidence_choice", "evidence_text"))

METHODS = ("good", "equal", "bad")


@pytest.fixture
def two_networks(monkeypatch):
    """Give insertion two settings of 20 images: in one "good" is better than "bad", in the other it is worse."""
    noise = np.random.default_rng(0).normal(size=(20, 1)) * 0.01
    better = np.hstack([noise + 0.5, noise + 0.5, noise * 0.5 + 0.2])
    columns = [Column(name, "insertion(steps=14)", METHODS, values, True) for name, values in
               (("f:one", better), ("f:two", 1 - better))]  # fmt: skip
    found = tuple(evidence.Setting("data", column, np.arange(20) % 2 == 0) for column in columns)

    def settings(metric, runs=tuple(evidence.DATA)):
        return found[: len(runs)] if metric == "insertion" else ()

    for module in (evidence, evidence_choice, evidence_text):
        monkeypatch.setattr(module, "settings", settings)
    return found


def test_tally_counts_significant_settings_by_direction(two_networks):
    """Better in one network and worse in the other; equal methods differ in none."""
    question = evidence.Question("good", ("bad", "equal"))
    assert question.tally("bad", "insertion") == (1, 0, 1)
    assert question.tally("equal", "insertion") == (0, 2, 0)
    assert "1 / 0 / 1" in question.summary()


def test_images_that_chose_do_not_answer(two_networks):
    """With ``unseen``, other values of the first half do not change the answer, those of the second half do."""

    def tally():
        return evidence.Question("good", ("bad",), unseen=True).tally("bad", "insertion")

    assert tally() == (1, 0, 1)
    two_networks[0].column.values[::2] *= -1
    assert tally() == (1, 0, 1)
    two_networks[0].column.values[1::2] *= -1
    assert tally() == (0, 0, 2)


def test_a_question_may_have_runs_of_its_own(two_networks):
    """Its answers are of these runs, the others of all families."""
    assert evidence.Question("good", ("bad",), runs=("one",)).tally("bad", "insertion") == (1, 0, 0)
    assert "f:two" not in evidence.Question("good", ("bad",), runs=("one",)).details("insertion")


def test_best_iou_with_a_stamp_is_a_metric_of_its_own():
    """Other settings do not count."""
    names = ("planted-shortcut(size=0.5)", "planted-shortcut(size=0.5, measure=best-iou)", "best-iou", "road")
    assert [evidence.kind(name) for name in names] == ["planted-shortcut", "planted-iou", "best-iou", "road"]


def test_halves_share_no_image(two_networks):
    """Together the halves hold every image once."""
    first, second = (two_networks[0].half(first=one).column.values for one in (True, False))
    values = two_networks[0].column.values
    assert np.array_equal(first, values[::2])
    assert np.array_equal(second, values[1::2])


def test_images_and_networks_measured_later_only_report(monkeypatch):
    """Images that are not in the list do not choose, nor do those of other networks or runs."""
    listed = {"old": {"networks": ["one"], "images": ["a", "c"]}}
    frame = import_module("pandas").DataFrame(
        [(f"f:{network}", image, "road") for network in ("one", "two") for image in "dcba"],
        columns=["model", "image", "metric"],
    )
    monkeypatch.setattr(evidence, "choosing", lambda: listed)
    monkeypatch.setattr(evidence, "results", lambda run: SimpleNamespace(rows=frame))
    one, two = (Column(f"f:{network}", "road", METHODS, np.zeros((4, 3)), True) for network in ("one", "two"))
    assert evidence.chose("old", one).tolist() == [True, False, True, False]
    assert not evidence.chose("old", two).any()
    assert not evidence.chose("new", one).any()


def test_choice_uses_the_first_half_only(two_networks):
    """Other values of the second half do not change the ranks, those of the first half do."""
    before = evidence_choice._ranks("insertion", METHODS)
    assert before.tolist() == [2, 2, 2]
    two_networks[0].column.values[1::2] *= -1
    assert evidence_choice._ranks("insertion", METHODS).tolist() == before.tolist()
    two_networks[0].column.values[::2] *= -1
    assert evidence_choice._ranks("insertion", METHODS).tolist() == [2.5, 2.5, 1]
    assert evidence_choice.chosen(METHODS) == "bad"


def test_standing_is_of_the_second_half(two_networks):
    """Places and standings are those among all methods."""
    places = {setting.network: (place, word) for setting, place, word in evidence_choice.standing("bad")}
    assert places == {"one": (3, "worse"), "two": (1, "first")}


def test_texts_are_filled(two_networks, monkeypatch):
    """Placeholders may be broken over lines."""
    monkeypatch.setitem(evidence_text.QUESTIONS, "toy", evidence.Question("good", ("bad",)))
    text = evidence_text.filled("{{tally | toy | bad | insertion}} on {{networks |\ninsertion}}")
    assert text == "better in 1, worse in 1 of 2 on 2"

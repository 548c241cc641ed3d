"""The comparison of layers, fills and budgets in docs/results.md."""

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fusioncam.report.results import Column

pytest.importorskip("pandas")
sys.path.append(str(Path(__file__).parents[2] / "docs"))
evidence_settings = import_module("evidence_settings")


def cell(metric, method, value):
    """Return the names of a combination."""
    return metric, f"{method}-{value}"


@pytest.fixture
def sweep(monkeypatch):
    """Give a sweep over two methods: "low" is better than "high" for both, and turns their order around."""
    noise = np.random.default_rng(0).normal(size=(20, 1)) * 0.01
    levels = {("a", "high"): 0.5, ("b", "high"): 0.6, ("a", "low"): 0.4, ("b", "low"): 0.3}
    names = tuple("-".join(key) for key in levels)
    values = np.hstack([noise * (number + 1) + level for number, level in enumerate(levels.values())])
    column = Column("file:net", "deletion", names, values, higher_is_better=False)
    stored = SimpleNamespace(
        models=("file:net",), column=lambda model, metric: column if metric == "deletion" else None
    )
    one = evidence_settings.Sweep(
        "run",
        "height",
        ("high", "low"),
        ("a", "b"),
        ("deletion",),
        lambda metric, method, x: (metric, f"{method}-{x}"),
    )
    monkeypatch.setattr(evidence_settings, "results", lambda run: stored)
    monkeypatch.setattr(evidence_settings, "SWEEPS", {"toy": one})
    evidence_settings.comparisons.cache_clear()
    yield one
    evidence_settings.comparisons.cache_clear()


def test_each_value_is_compared_with_the_first(sweep):
    """A lower deletion is better, also where the difference is negative."""
    assert evidence_settings.verdicts("toy", "deletion", "low") == "better in 2, worse in 0 of 2"
    assert evidence_settings.difference("toy", "deletion", "b", "low").startswith("\N{MINUS SIGN}0.3")
    assert evidence_settings.differences_table("toy").count("**\N{MINUS SIGN}") == 2


def test_orders_are_those_of_the_means(sweep):
    """The best is the first, and the two values order the methods in opposite ways."""
    high, low = evidence_settings.orders_table("toy").splitlines()[2:]
    assert high.index("`a`") < high.index("`b`")
    assert low.index("`b`") < low.index("`a`")
    assert evidence_settings.least_alike("toy", "deletion") == "`high` and `low` (rank correlation -1.00)"


def test_figures_draw_every_mean(sweep):
    """A panel per metric, a line per method, and a point per value, at the difference from the first value."""
    ((name, figure),) = evidence_settings.figures()
    (axes,) = figure.axes
    lines = [container.lines[0] for container in axes.containers]
    assert name == "toy"
    assert [line.get_ydata().round(1).tolist() for line in lines] == [[0, -0.1], [0, -0.3]]


def test_methods_are_compared_with_the_first_one_at_each_value(sweep, monkeypatch):
    """ "b" is worse than "a" where it is higher, and better where it is lower."""
    monkeypatch.setitem(evidence_settings.SWEEPS, "toy", replace(sweep, against="method"))
    assert evidence_settings.verdicts("toy", "deletion", "high") == "better in 0, worse in 1 of 1"
    assert evidence_settings.verdicts("toy", "deletion", "low") == "better in 1, worse in 0 of 1"


def test_missing_rows_are_named(sweep):
    """Rather than a figure without them."""
    with pytest.raises(KeyError, match="run has no rows of insertion"):
        sweep.column("insertion")

"""How many images a comparison needs, and ranks over several settings: closed forms, simulations and tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fusioncam.errors import ResultsError
from fusioncam.report.statistics import (
    aggregate_ranks,
    critical_difference,
    detectable_difference,
    disagreements,
    images_needed,
    kendall_w,
    mcnemar,
    wilcoxon,
)
from fusioncam.report.tables.aggregated import aggregate_runs, page_of_settings, settings_of
from fusioncam.report.tables.means import pages
from fusioncam.report.tables.model import markdown
from runs import results, rows_of, save, shifted_values

NAN = float("nan")


# -- power -------------------------------------------------------------------------------------------------------


def test_images_needed_by_hand():
    """(1.960 + 0.842)^2 = 7.849 times the variance over the squared size, and pi / 3 of it for Wilcoxon's test."""
    change = [-1.0, 1.0] * 50
    variance = 100 / 99

    assert images_needed(change, 0.5) == math.ceil(7.8489 * variance / 0.25 * math.pi / 3)
    assert images_needed([*change, NAN], -0.5) == images_needed(change, 0.5)
    # Connor's formula: a tenth of the pairs is discordant
    rates = [1.0] * 5 + [-1.0] * 5 + [0.0] * 90
    by_hand = ((1.959964 * math.sqrt(0.1) + 0.841621 * math.sqrt(0.1 - 0.0025)) / 0.05) ** 2
    assert images_needed(rates, 0.05, rate=True) == math.ceil(by_hand)


@pytest.mark.parametrize("rate", [False, True])
@pytest.mark.parametrize("images", [20, 100, 1000])
def test_both_functions_are_inverse(rate, images):
    """So many images are needed for the difference that so many images can show."""
    rng = np.random.default_rng(0)
    change = rng.integers(-1, 2, 200).astype(float) if rate else rng.normal(size=200)
    size = detectable_difference(change, rate=rate, images=images)

    assert images_needed(change, size * (1 + 1e-9), rate=rate) == images
    assert detectable_difference(change[:50], rate=rate) == detectable_difference(change[:50], rate=rate, images=50)


def test_tests_find_the_difference_as_often_as_stated():
    """Of simulated runs with a true difference of this size, about 80 % are significant."""
    rng = np.random.default_rng(0)
    size = detectable_difference(rng.normal(size=5000), images=60)
    found = [wilcoxon(rng.normal(size, 1, 60)) < 0.05 for _ in range(400)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)

    pilot = rng.choice([-1.0, 0.0, 1.0], 5000, p=[0.2, 0.6, 0.2])
    size = detectable_difference(pilot, rate=True, images=150)
    chances = [0.2 - size / 2, 0.6, 0.2 + size / 2]
    runs = rng.multinomial(150, chances, size=400)
    found = [mcnemar(int(wins), int(losses)) < 0.05 for losses, _, wins in runs]
    assert np.mean(found) == pytest.approx(0.76, abs=0.07)  # the exact test is conservative


def test_undefined_powers():
    """Too few images, a size of 0, and methods that never differ."""
    assert math.isnan(images_needed([1.0, NAN], 0.5))
    assert math.isnan(detectable_difference([]))
    assert images_needed([1.0, 2.0], 0) == math.inf
    assert detectable_difference([0.0, 0.0], rate=True) == 0
    assert images_needed([0.5, 0.5], 0.1) == 2


# -- aggregation -------------------------------------------------------------------------------------------------


def test_aggregated_ranks_by_hand():
    """Three settings, of which one exchanges the first two of four methods."""
    found = aggregate_ranks([[1.2, 2.0, 3.1, 3.7], [1.1, 1.9, 3.0, 4.0], [2.4, 1.3, 2.9, 3.4]])

    assert found.ranks.mean.tolist() == pytest.approx([4 / 3, 5 / 3, 3, 4])
    assert found.deviation.tolist() == pytest.approx([math.sqrt(1 / 3), math.sqrt(1 / 3), 0, 0])
    assert found.ranks.critical_difference == pytest.approx(critical_difference(4, 3))
    # the sums of ranks 4, 5, 9, 12 differ from 7.5 by 12.25 + 6.25 + 2.25 + 20.25
    assert found.agreement == pytest.approx(12 * 41 / (9 * 60))


def test_agreement_follows_friedman_s_statistic():
    """W is Friedman's chi-squared over S (M - 1), also with ties."""
    rng = np.random.default_rng(1)
    for values in (rng.random((6, 5)), rng.integers(0, 3, (6, 5)).astype(float)):
        ranks = stats.rankdata(values, axis=1)
        assert kendall_w(ranks) == pytest.approx(stats.friedmanchisquare(*ranks.T).statistic / (6 * 4))
    assert math.isnan(kendall_w([[2, 2, 2], [2, 2, 2]]))


def test_too_little_to_aggregate():
    """Fewer than three methods or two complete settings."""
    assert aggregate_ranks([[1, 2], [2, 1]]) is None
    assert aggregate_ranks([[1, 2, 3], [1, NAN, 3]]) is None


def test_settings_that_disagree_come_first():
    """The rank correlation of each pair."""
    found = disagreements([[1, 2, 3, 4], [1, 2, 4, 3], [4, 3, 2, 1]], ["insertion", "road", "iou"])

    assert [pair[:2] for pair in found] == [("insertion", "iou"), ("road", "iou"), ("insertion", "road")]
    assert found[0][2] == pytest.approx(-1)


# -- tables ------------------------------------------------------------------------------------------------------

METHODS = ("fusion-cam", "score-cam", "grad-cam")


def run_of(*, turned=False, models=("net",)):
    """Return the rows of a run whose localization ranks the methods the other way round."""
    values = dict(zip(METHODS, shifted_values(0.2, 0.1, 0), strict=True))
    other = dict(zip(METHODS, shifted_values(0, 0.1, 0.2), strict=True))
    rows = []
    for model in models:
        for metric, family, one in (
            ("insertion", "faithfulness", values),
            ("road", "faithfulness", other if turned else values),
            ("best-iou", "localization", other),
        ):
            rows += rows_of(one, metric=metric, family=family, model=model, higher_is_better=True)
    return rows


def test_the_page_of_a_run():
    """A column for all settings and for each family; families with one setting have none."""
    page = {page.name: page for page in pages(results(run_of()))}["aggregated-ranks"]
    cells = dict((*page.tables[0].body, *page.tables[0].footer))

    assert page.tables[0].header == ("method", "all", "faithfulness")
    assert [cell.text for cell in cells["fusion-cam"]] == ["1.67 ± 1.15", "1.00 ± 0.00"]
    assert [cell.text for cell in cells["W"]] == ["0.11", "1.00"]
    assert [cell.text for cell in cells["settings"]] == ["3", "2"]
    assert {record["family"] for record in page.records} == {"all", "faithfulness"}
    assert "Kendall's coefficient" in markdown(page)
    assert page.notes[-2].startswith(
        "all: insertion on net and best-iou on net rank the methods least alike (rank corr"
    )
    assert "faithfulness: insertion on net and road on net" in page.notes[-1]


def test_methods_without_a_value_in_every_setting_are_not_ranked():
    """They have no cell in this column."""
    rows = [one for one in run_of() if not (one["method"] == "grad-cam" and one["metric"] == "best-iou")]
    rows += [one | {"method": "layer-cam"} for one in run_of() if one["method"] == "score-cam"]
    page = {page.name: page for page in pages(results(rows))}["aggregated-ranks"]
    cells = dict(page.tables[0].body)

    assert cells["grad-cam"][0].text == "\N{EN DASH}"
    assert cells["grad-cam"][1].text == "4.00 ± 0.00"


def test_several_runs(tmp_path):
    """The settings of all runs, each with its own data set."""
    for name, turned in (("photos", False), ("scans", True)):
        save(tmp_path / name, run_of(turned=turned, models=("net", "other")))

    page = aggregate_runs({name: tmp_path / name for name in ("photos", "scans")})
    cells = dict((*page.tables[0].body, *page.tables[0].footer))

    assert page.tables[0].header == ("method", "all", "faithfulness", "localization")
    assert [cell.text for cell in cells["settings"]] == ["12", "8", "4"]
    assert cells["fusion-cam"][2].text == "3.00 ± 0.00"
    with pytest.raises(ResultsError, match="needs at least one folder"):
        aggregate_runs({})


def test_one_family_has_one_column():
    """A column of all settings would repeat it."""
    rows = [one for one in run_of() if one["family"] == "faithfulness"]

    assert [page.tables[0].header for page in pages(results(rows)) if page.name == "aggregated-ranks"] == [
        ("method", "faithfulness")
    ]


def test_nothing_to_aggregate():
    """One setting has no table."""
    found = results(rows_of(dict(zip(METHODS, shifted_values(0.2, 0.1, 0), strict=True))))

    assert not page_of_settings(settings_of(found, METHODS), METHODS, ()).tables
    assert "aggregated-ranks" not in {page.name for page in pages(found)}


def test_the_page_of_power():
    """The observed difference, the detectable one, and the images that the observed one needs."""
    rng = np.random.default_rng(0)
    values = {"fusion-cam": rng.random(40), "grad-cam": rng.random(40), "score-cam": rng.random(40)}
    page = {page.name: page for page in pages(results(rows_of(values)))}["power"]
    (record,) = [one for one in page.records if one["method"] == "grad-cam"]
    change = values["grad-cam"] - values["fusion-cam"]

    assert record["difference"] == pytest.approx(change.mean())
    assert record["detectable"] == pytest.approx(detectable_difference(change))
    assert record["images_needed"] == images_needed(change, record["difference"])
    assert [name for name, _ in page.tables[0].body] == ["grad-cam", "score-cam"]
    assert page.tables[0].footer[0][1][-1].text == "40"

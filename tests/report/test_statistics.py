"""Means, paired tests and ranks, compared with results by hand, published values, and synthetic data."""

from __future__ import annotations

import ast
import math
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import fusioncam
from fusioncam.errors import MissingExtraError
from fusioncam.report.statistics import (
    Leaders,
    band,
    cliques,
    compare,
    compare_with_reference,
    critical_difference,
    differences,
    find_leaders,
    holm,
    interval,
    is_rate,
    mcnemar,
    rank_biserial,
    rank_methods,
    wilcoxon,
)

NAN = math.nan


# -- means ---------------------------------------------------------------------------------------------------


def test_interval_of_normal_values_matches_the_textbook():
    """For a large sample the bootstrap interval is close to mean ± 1.96 s/√n."""
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = interval(values)

    half = 1.96 * values.std(ddof=1) / 20
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert (found.count, found.undefined) == (400, 0)


def test_skewed_values_have_a_skewed_interval():
    """The BCa interval reaches farther towards the long tail, more so than the percentile interval."""
    values = np.random.default_rng(1).exponential(1, 40)
    found = interval(values)

    percentile = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0))
    assert found.high - found.mean > found.mean - found.low
    assert found.low > percentile.confidence_interval.low
    assert found.high > percentile.confidence_interval.high


def test_interval_is_reproducible():
    """The seed is fixed; another seed resamples other images."""
    values = np.random.default_rng(9).random(40)

    assert interval(values) == interval(values)
    assert interval(values, seed=1) != interval(values)


def test_nan_is_left_out_and_counted():
    """An undefined image does not count as 0."""
    assert interval([1.0, NAN, 3.0, NAN]).mean == 2
    assert interval([1.0, NAN, 3.0, NAN]).count == 2
    assert interval([1.0, NAN, 3.0, NAN]).undefined == 2
    assert interval([1.0, NAN, 3.0]).low == interval([1.0, 3.0]).low


def test_one_image_has_no_interval():
    """The spread of one value is unknown."""
    found = interval([NAN, 0.5])

    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_mean_of_no_images_is_nan():
    """No warning is raised."""
    found = interval([NAN, NAN])

    assert math.isnan(found.mean)
    assert (found.count, found.undefined) == (0, 2)
    assert interval([]).count == 0


def test_interval_of_equal_values_is_a_point():
    """Bootstrap resamples of equal values all have the same mean."""
    found = interval([0.25] * 7)

    assert (found.low, found.mean, found.high) == (0.25, 0.25, 0.25)


def test_nearly_equal_values_have_an_interval():
    """Where BCa is undefined, the percentile interval is returned."""
    values = [1.0] * 9 + [1.0 + 2**-52]

    assert 1 <= interval(values).low <= interval(values).high <= 1 + 2**-52


def test_rate_of_zero_has_an_exact_interval():
    """For 0 of 10, the upper end of the Clopper-Pearson interval is 1 - 0.025^(1/10)."""
    found = interval([0.0] * 10, rate=True)

    assert found.low == 0
    assert found.high == pytest.approx(1 - 0.025**0.1)
    assert interval([1.0] * 10, rate=True).low == pytest.approx(0.025**0.1)


def test_is_rate():
    """Values of only 0 and 1 are a rate, whether or not some are NaN; NaN alone is not."""
    assert is_rate([[0.0, 1.0], [NAN, 1.0]])
    assert not is_rate([0.0, 1.0, 100.0])
    assert not is_rate([NAN])


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_interval_coverage_is_near_95_percent(draw):
    """Among 150 samples of 50 values, about 95 % of intervals contain the mean, fewer for skewed values."""
    rng = np.random.default_rng(2)
    samples = getattr(rng, draw)(size=(150, 50))
    truth = {"normal": 0.0, "exponential": 1.0}[draw]

    found = [interval(sample) for sample in samples]

    covered = np.mean([result.low <= truth <= result.high for result in found])
    assert 0.89 <= covered <= 0.985


def test_band_of_shifted_curves_is_shifted():
    """Whole curves are resampled, so that a constant offset between points stays constant."""
    curves = np.random.default_rng(3).normal(0, 1, (60, 1)) + np.array([0.0, 10.0, 20.0])
    mean, low, high = band(curves)

    assert mean == pytest.approx(curves.mean(0))
    assert low - low[0] == pytest.approx([0, 10, 20])
    assert high - low == pytest.approx(2 * 1.96 * curves[:, 0].std() / math.sqrt(60), rel=0.15)


def test_band_of_fewer_than_two_curves_is_nan():
    """Curves with NaN do not count; without any other curve the mean is NaN too."""
    mean, low, high = band([[1.0, 2.0], [NAN, 5.0]])

    assert mean.tolist() == [1, 2]
    assert np.isnan([low, high]).all()
    assert np.isnan(band([[NAN, 1.0]])[0]).all()


# -- pairs ---------------------------------------------------------------------------------------------------


def test_comparison_of_three_images_by_hand():
    """Differences 1, -2, 3 have ranks 1, 2, 3: 4 for, 2 against, of 6; 6 of the 8 sign patterns are as extreme."""
    found = compare([2.0, 1.0, 5.0], [1.0, 3.0, 2.0], higher_is_better=True)

    assert found.difference.mean == pytest.approx(2 / 3)
    assert found.effect == pytest.approx(2 / 6)
    assert found.p == pytest.approx(6 / 8)
    assert (found.wins, found.ties, found.losses) == (2, 0, 1)
    assert found.test == "Wilcoxon"


def test_lower_is_better():
    """The difference keeps its sign; effect, wins and losses change sides."""
    found = compare([2.0, 1.0, 5.0], [1.0, 3.0, 2.0], higher_is_better=False)

    assert found.difference.mean == pytest.approx(2 / 3)
    assert found.effect == pytest.approx(-2 / 6)
    assert (found.wins, found.ties, found.losses) == (1, 0, 2)


def test_pratt_zeros_by_hand():
    """Values 0, 1, 1, -1 have ranks 1, 3, 3, 3: 6 for, 3 against; the p-value counts all 8 sign patterns."""
    change = np.array([0.0, 1.0, 1.0, -1.0])
    as_extreme = sum(abs(sum(signs)) >= 1 for signs in product((-1, 1), repeat=3))

    assert rank_biserial(change) == pytest.approx(3 / 10)
    assert wilcoxon(change) == pytest.approx(as_extreme / 8)


def test_zeros_take_part_in_the_ranking():
    """After eight zeros 1, 2, 3, -4 rank 9 to 12: 10 of 16 sign patterns are as extreme, 14 without zeros."""
    assert wilcoxon(np.array([0.0] * 8 + [1, 2, 3, -4])) == pytest.approx(10 / 16)


def test_ties_weaken_a_few_differences():
    """Six wins alone are significant, six wins among 200 ties have a small effect."""
    few, many = np.arange(1.0, 7), np.array([0.0] * 200 + [1.0] * 6)

    assert rank_biserial(few) == 1
    assert 0 < rank_biserial(many) < 0.06
    assert wilcoxon(few) == pytest.approx(2 / 64)


def test_wilcoxon_matches_the_published_value():
    """For the heights of Darwin's fifteen pairs of maize W is 24 and p is 0.0413."""
    heights = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75.0])

    assert wilcoxon(heights) == pytest.approx(0.0413, abs=1e-4)


def test_equal_values_have_p_of_one():
    """No warning is raised."""
    found = compare([0.5, 0.2], [0.5, 0.2], higher_is_better=True)

    assert (found.p, found.effect, found.ties) == (1, 0, 2)


def test_comparison_without_pairs_is_undefined():
    """If one of both values is always undefined, the p-value is NaN."""
    found = compare([NAN, 1.0], [2.0, NAN], higher_is_better=True)

    assert math.isnan(found.p)
    assert math.isnan(found.effect)
    assert not found.is_significant
    assert (found.difference.count, found.difference.undefined) == (0, 2)


def test_nan_is_dropped_in_pairs():
    """An image counts if both methods have a value."""
    found = compare([1.0, NAN, 3.0, 4.0], [0.0, 5.0, NAN, 1.0], higher_is_better=True)

    assert found.difference.mean == 2
    assert (found.difference.count, found.difference.undefined) == (2, 2)
    assert found.wins == 2


def test_single_precision_rounding_is_a_tie():
    """Equal heatmaps give scores that differ in the seventh digit."""
    values = np.float32([0.1, 0.7, 30.0])

    assert differences(values, values * np.float32(1 + 2e-7)).tolist() == [0, 0, 0]
    assert differences([0.1001], [0.1]) == pytest.approx(1e-4)


def test_rates_are_compared_by_mcnemars_test():
    """The methods agree on 9 of 20 images; 10 of the other 11 favour the method: p = 2 (1 + 11) / 2^11."""
    values = [1] * 5 + [0] * 4 + [1] * 10 + [0]
    reference = [1] * 5 + [0] * 4 + [0] * 10 + [1]
    found = compare(values, reference, higher_is_better=True, rate=True)

    assert found.p == pytest.approx(2 * (1 + 11) / 2**11)
    assert (found.wins, found.ties, found.losses) == (10, 9, 1)
    assert found.test == "McNemar"
    assert mcnemar(0, 0) == 1


def test_holm_by_hand():
    """0.005 x 4, 0.01 x 3, and no p-value is below an earlier one; NaN does not count as a test."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([NAN, 0.02, 0.5])[1:] == pytest.approx([0.04, 0.5])
    assert math.isnan(holm([NAN, 0.02])[0])
    assert holm([0.9, 0.8]).tolist() == [1, 1]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_bounds(p):
    """A corrected p-value is at least the original, at most Bonferroni's, and the order is kept."""
    corrected = holm(p)

    assert (corrected >= np.array(p) - 1e-15).all()
    assert (corrected <= np.minimum(np.array(p) * len(p), 1) + 1e-15).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()


def test_comparisons_with_a_reference_are_corrected_together():
    """The reference has no test; the smallest p-value is multiplied by the number of the others."""
    rng = np.random.default_rng(4)
    values = rng.normal(0, 1, (30, 1)) + rng.normal([0, 0.05, 0.8, 0.2], 0.5, (30, 4))
    found = compare_with_reference(values, 0, higher_is_better=True)

    assert found[0] is None
    others = [comparison for comparison in found if comparison]
    assert [other.p_holm for other in others] == pytest.approx(holm([other.p for other in others]))
    assert others[1].p_holm == pytest.approx(3 * others[1].p)
    assert others[1].is_significant


@pytest.mark.slow
def test_false_positives_are_rare():
    """Of 200 tables of six equal methods, at most about 5 % contain a significant difference."""
    rng = np.random.default_rng(5)
    tables = rng.normal(0, 1, (200, 40, 6))
    false_positives = 0
    for table in tables:
        p = holm([wilcoxon(table[:, place] - table[:, 0]) for place in range(1, 6)])
        false_positives += bool((p < 0.05).any())

    assert false_positives <= 20


# -- leaders and ranks -----------------------------------------------------------------------------------------


def test_clearly_best_column_leads_alone():
    """Column 1 is better than each of the others on nearly all images."""
    rng = np.random.default_rng(6)
    values = rng.normal(0, 1, (50, 1)) + rng.normal([0.0, 1.0, 0.1], 0.3, (50, 3))

    assert find_leaders(values, higher_is_better=True).best == 1
    assert find_leaders(values, higher_is_better=True).tied == ()
    assert find_leaders(-values, higher_is_better=False).tied == ()


def test_equal_columns_are_tied():
    """Two columns that differ by chance are tied; the worse third column is not."""
    rng = np.random.default_rng(7)
    values = rng.normal(0, 1, (50, 1)) + rng.normal([1.0, 1.0, 0.0], 0.3, (50, 3))
    found = find_leaders(values, higher_is_better=True)

    assert {found.best, *found.tied} == {0, 1}


def test_mean_driven_by_one_image_does_not_lead_alone():
    """One image decides the mean; on all others the other column is better."""
    other = np.zeros(30)
    values = np.column_stack([other - 0.1, other])
    values[0, 0] = 100

    assert find_leaders(values, higher_is_better=True) == Leaders(0, (1,))


def test_duplicate_does_not_prevent_the_lead():
    """A column with the same values is a duplicate; if all columns are equal, they are tied."""
    best, other = np.arange(20.0), np.arange(20.0) - 3
    found = find_leaders(np.column_stack([best, other, best]), higher_is_better=True)

    assert (found.best, found.tied, found.duplicates) == (0, (), (2,))
    assert find_leaders(np.column_stack([best, best]), higher_is_better=True).tied == (1,)


def test_columns_of_nan_do_not_lead():
    """They are ignored at any position."""
    values = np.column_stack([np.full(9, NAN), np.arange(9.0), np.arange(9.0) - 1])

    assert find_leaders(values, higher_is_better=True).best == 1
    assert find_leaders(np.full((3, 2), NAN), higher_is_better=True).best is None


def test_leaders_of_rates_use_mcnemars_test():
    """Seven wins on eight images are significant, four wins on four images are not."""
    seven = np.column_stack([[1.0] * 7 + [0.0], [0.0] * 8])

    assert find_leaders(seven, higher_is_better=True, rate=True).tied == ()
    assert find_leaders(seven[:4], higher_is_better=True, rate=True).tied == (1,)


def test_ranks_by_hand():
    """Two images: ranks 1 2 3 and 1.5 1.5 3, the highest value being the best."""
    found = rank_methods([[9.0, 5.0, 1.0], [4.0, 4.0, 0.0], [NAN, 1.0, 1.0]], higher_is_better=True)

    assert found is not None
    assert found.mean.tolist() == [1.25, 1.75, 3]
    assert found.count == 2
    lower = rank_methods([[9.0, 5.0, 1.0], [4.0, 4.0, 0.0]], higher_is_better=False)
    assert lower is not None
    assert lower.mean.tolist() == [2.75, 2.25, 1]


def test_friedman_matches_the_published_value():
    """Demsar 2006, table 6: four classifiers on 14 data sets, chi² of 9.28, here corrected for ties."""
    accuracies = [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
    found = rank_methods(accuracies, higher_is_better=True)

    assert found is not None
    assert found.mean == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=1e-3)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    ties = 1 - (60 + 3 * 6) / (14 * 60)  # one tie of four, three of two: t³ - t each
    assert found.p == pytest.approx(stats.chi2.sf(9.28 / ties, 3), abs=1e-4)


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_differences_match_the_published_values(methods, q):
    """Demsar 2006, table 5a."""
    assert critical_difference(methods, 30) == pytest.approx(q * math.sqrt(methods * (methods + 1) / 180), rel=5e-4)


def test_values_equal_to_six_digits_share_ranks():
    """Values that differ in the eighth digit are equal; if all are equal, p is 1."""
    found = rank_methods(np.float64([[0.3, 0.3 + 1e-9, 0.3], [7.0, 7.0, 7.0 - 1e-7]]), higher_is_better=True)

    assert found is not None
    assert found.mean.tolist() == [2, 2, 2]
    assert found.p == 1


@pytest.mark.parametrize("values", [np.zeros((9, 2)), np.zeros((1, 4)), np.full((9, 3), NAN)])
def test_too_few_methods_or_images_have_no_ranks(values):
    """Friedman's test needs three methods and more than one image."""
    assert rank_methods(values, higher_is_better=True) is None


def test_cliques_are_maximal():
    """Ranks 1, 1.5, 2.2, 4: within 1 lie the first two, and the second and third; within 9 all."""
    ranks = [2.2, 1.0, 4.0, 1.5]

    assert cliques(ranks, 1) == [(1, 3), (3, 0)]
    assert cliques(ranks, 9) == [(1, 3, 0, 2)]
    assert cliques(ranks, 0.1) == []


# -- without the extra -----------------------------------------------------------------------------------------


def test_missing_scipy_is_reported(monkeypatch):
    """The message names the extra to install."""
    monkeypatch.setitem(sys.modules, "scipy.stats", None)

    with pytest.raises(MissingExtraError, match=r'statistics need scipy: pip install "fusioncam\[benchmark\]"'):
        interval([1.0, 2.0])


def test_packages_of_extras_are_not_imported_at_module_level():
    """`import fusioncam` works without scipy, pandas and pyarrow: they are imported inside functions."""
    source = Path(fusioncam.__file__).parent
    for path in sorted((source / "report").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {name.split(".")[0] for name in names} & {"scipy", "pandas", "pyarrow", "torch"}, path

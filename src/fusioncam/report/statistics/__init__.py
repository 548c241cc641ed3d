"""Statistics over images: means with intervals, paired tests between methods, and ranks.

All functions take plain numbers: one value per image, NaN where a metric is undefined. Two methods are compared on
the images where both have a value. Random numbers come from a fixed seed, so every call returns the same result.

Needs scipy, which the extra ``benchmark`` installs.
"""

from fusioncam.report.statistics.aggregation import AggregatedRanks, aggregate_ranks, disagreements, kendall_w
from fusioncam.report.statistics.intervals import Interval, Values, band, interval, is_rate
from fusioncam.report.statistics.paired_tests import (
    Leaders,
    PairedComparison,
    compare,
    compare_with_reference,
    differences,
    find_leaders,
    holm,
    mcnemar,
    rank_biserial,
    wilcoxon,
)
from fusioncam.report.statistics.power import detectable_difference, images_needed
from fusioncam.report.statistics.ranks import Ranks, cliques, critical_difference, rank_methods

__all__ = [
    "AggregatedRanks",
    "Interval",
    "Leaders",
    "PairedComparison",
    "Ranks",
    "Values",
    "aggregate_ranks",
    "band",
    "cliques",
    "compare",
    "compare_with_reference",
    "critical_difference",
    "detectable_difference",
    "differences",
    "disagreements",
    "find_leaders",
    "holm",
    "images_needed",
    "interval",
    "is_rate",
    "kendall_w",
    "mcnemar",
    "rank_biserial",
    "rank_methods",
    "wilcoxon",
]

"""Answers over several networks and data sets, computed from the rows of several runs in docs/results.

A setting is one metric on one network and data set. All tests are paired over images.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import isnan
from pathlib import Path

import numpy as np

from fusioncam.report.method_names import base_name
from fusioncam.report.results import Column, Results, read_results
from fusioncam.report.statistics import Values, compare, holm
from fusioncam.report.statistics.paired_tests import ALPHA
from fusioncam.report.tables.model import NO_VALUE, format_interval, format_p_value, shared_decimals

RESULTS = Path(__file__).parent / "results"
# the runs with networks of several families, and how tables name their data; of comparisons in two runs with one name
# the later one counts, which has more images
DATA = {
    "families": "ImageNet",
    "families-scenes": "COCO scenes",
    "families-coco": "COCO",
    "localization": "COCO",
    "families-cifar": "CIFAR-10",
    "families-birds": "birds",
}
# runs of few methods, for questions of their own
BLACK_BOX = {"black-box": "ImageNet", "black-box-cifar": "CIFAR-10"}
WRAPPERS = {"wrappers": "ImageNet", "wrappers-coco": "COCO"}
TITLES = DATA | BLACK_BOX | WRAPPERS
ON_GROUP_CAM = "fusion-cam:multiscale(base=group-cam, weights=[1,0.5,0.25])"
SHORT = {
    "fusion-cam:multiscale(weights=[0.5,0.25])": "fusion-cam:multiscale",
    f"fuse(partners=[{', '.join([ON_GROUP_CAM] * 4)}], rule=product)": "fourth-power",
}
METRICS = ("insertion", "deletion", "road", "idsds", "planted-shortcut", "planted-iou", "best-iou")


@dataclass(frozen=True)
class Setting:
    """A metric on one network and data set; ``chose`` tells whether an image is of the half that chose the method."""

    data: str
    column: Column
    chose: Values

    @property
    def network(self) -> str:
        """The network without the file that builds it."""
        return self.column.model.rpartition(":")[2]

    @property
    def title(self) -> str:
        """The network and the data."""
        return f"{self.network}, {self.data}"

    def half(self, first: bool) -> Setting:
        """Return the setting on the images that chose the method, or on the others."""
        kept = self.chose == first
        column = replace(self.column, values=self.column.values[kept], undefined={}, _intervals={})
        return Setting(self.data, column, self.chose[kept])


@cache
def results(run: str) -> Results:
    """Return the stored rows of a run, with methods at their default settings under their short names."""
    found = read_results(RESULTS / run)
    return replace(found, rows=found.rows.replace({"method": SHORT}))


@cache
def settings(metric: str, runs: tuple[str, ...] = tuple(DATA)) -> tuple[Setting, ...]:
    """Return the settings of a metric, whatever its own settings are, over those of the runs that have rows of it."""
    return tuple(
        Setting(TITLES[run], column, chose(run, column))
        for run in runs
        if (RESULTS / run / "rows.parquet").exists()
        for model in results(run).models
        for column in results(run).columns(model)
        if kind(column.metric) == metric
    )


def kind(metric: str) -> str:
    """Return the name of a metric without settings; the best IoU with a planted stamp is a metric of its own."""
    return "planted-iou" if "measure=best-iou" in metric else base_name(metric)


def chose(run: str, column: Column) -> Values:
    """Return which images of the column chose the method: those that ``choosing.json`` lists for its network.

    The list was written when the method was chosen; for the runs over families it holds every second image by path.
    Images, networks and data that were measured later are not in it: they only report.
    """
    entry = choosing().get(run, {"networks": [], "images": []})
    listed = entry["images"] if column.model.rpartition(":")[2] in entry["networks"] else []
    rows = results(run).rows.query("model == @column.model and metric == @column.metric")
    return np.isin(sorted(rows["image"].unique()), listed)


@cache
def choosing() -> dict[str, dict[str, list[str]]]:
    """Return, by run, the networks and images that chose the method."""
    found: dict[str, dict[str, list[str]]] = json.loads((RESULTS / "choosing.json").read_text())
    return found


# -- one method against others ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """Is ``method`` better than its ``rivals``? The tests of a setting are corrected for their number (Holm).

    With ``unseen``, only images count that did not choose the method.
    """

    method: str
    rivals: tuple[str, ...]
    unseen: bool = False
    runs: tuple[str, ...] = tuple(DATA)

    @cached_property
    def answers(self) -> dict[str, dict[tuple[str, str], Comparison]]:
        """Return, by metric, the comparison of each rival in each setting, by its title."""
        return {metric: self._corrected(metric) for metric in METRICS}

    def _corrected(self, metric: str) -> dict[tuple[str, str], Comparison]:
        return {key: one for setting in settings(metric, self.runs) for key, one in self._of_setting(setting).items()}

    def _of_setting(self, setting: Setting) -> dict[tuple[str, str], Comparison]:
        column = (setting.half(first=False) if self.unseen else setting).column
        rivals = [rival for rival in self.rivals if {self.method, rival} <= set(column.methods)]
        own = column.values_of(self.method) if rivals else None
        found = [
            compare(own, column.values_of(rival), higher_is_better=column.higher_is_better, rate=column.rate)
            for rival in rivals
        ]
        p_values = holm([one.p for one in found])
        return {
            (rival, setting.title): Comparison(one, float(p))
            for rival, one, p in zip(rivals, found, p_values, strict=True)
            if one.difference.count
        }

    def tally(self, rival: str, metric: str) -> tuple[int, int, int]:
        """Return in how many settings the method is better, not different and worse."""
        found = [one.verdict for (name, _), one in self.answers[metric].items() if name == rival]
        return found.count(1), found.count(0), found.count(-1)

    def summary(self) -> str:
        """Return a table of tallies, a row per rival and a column per metric."""
        shown = [metric for metric in METRICS if self.answers[metric]]
        rows = [[f"`{rival}`", *(self._tally_text(rival, metric) for metric in shown)] for rival in self.rivals]
        return table(["against", *shown], rows)

    def _tally_text(self, rival: str, metric: str) -> str:
        counts = self.tally(rival, metric)
        return " / ".join(map(str, counts)) if any(counts) else NO_VALUE

    def details(self, metric: str) -> str:
        """Return a table of differences, a row per rival and a column per setting."""
        answers = self.answers[metric]
        titles = list(dict.fromkeys(title for _, title in answers))
        decimals = shared_decimals(one.paired.difference for one in answers.values())
        rows = [
            [f"`{rival}`", *(_text(answers.get((rival, title)), decimals) for title in titles)]
            for rival in self.rivals
            if any(key[0] == rival for key in answers)
        ]
        return table(["against", *titles], rows)

    def all_details(self) -> str:
        """Return the tables of all metrics, each below its name."""
        shown = [metric for metric in METRICS if self.answers[metric]]
        arrows = {metric: settings(metric, self.runs)[0].column.direction for metric in shown}
        return "\n\n".join(f"#### {metric} {arrows[metric]}\n\n{self.details(metric)}" for metric in shown)


FUSION, MULTISCALE = "fusion-cam", "fusion-cam:multiscale"
MEAN = "fuse(partners=[grad-cam, score-cam], rule=mean)"
QUESTIONS = {
    "fusion": Question(FUSION, ("grad-cam", "score-cam", MEAN, "union-cam", "group-cam")),
    "multiscale": Question(
        MULTISCALE,
        (
            "winsor-cam",
            "multi-layer",
            "refine-cam(method=layer-cam)",
            FUSION,
            "group-cam",
            "rise(budget=64)",
            "grad-cam",
        ),
    ),
    "chosen": Question(ON_GROUP_CAM, (FUSION, "group-cam", "grad-cam", MULTISCALE), unseen=True),
    "black-box": Question(
        "two-sided-occlusion",
        ("rise", "rise(budget=64)", "guided-filter(method=two-sided-occlusion)"),
        unseen=True,
        runs=tuple(BLACK_BOX),
    ),
    "rise": Question("rise", ("rise(budget=64)",), runs=tuple(BLACK_BOX)),
    "edges": Question("guided-filter(method=grad-cam)", ("grad-cam",), unseen=True, runs=tuple(WRAPPERS)),
    "edges-chosen": Question(
        f"guided-filter(method={ON_GROUP_CAM})", (ON_GROUP_CAM,), unseen=True, runs=tuple(WRAPPERS)
    ),
    "cascade": Question("cas-cam", ("grad-cam",), runs=tuple(WRAPPERS)),
}


@dataclass(frozen=True)
class Comparison:
    """A paired comparison with its corrected p-value."""

    paired: object
    p: float

    @property
    def verdict(self) -> int:
        """1 if the method is better, -1 if it is worse, 0 if the difference is not significant."""
        return 0 if isnan(self.p) or self.p >= ALPHA else int(np.sign(self.paired.effect))


def _text(comparison: Comparison | None, decimals: int) -> str:
    if comparison is None:
        return NO_VALUE
    mean, bounds = format_interval(comparison.paired.difference, decimals, signed=True)
    bold = "**" if comparison.verdict else ""
    return f"{bold}{mean}{bold} {bounds} p {format_p_value(comparison.p)}".replace("p < ", "p&nbsp;< ")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

"""Texts with numbers from stored rows, such as ``{{mean | families | mobilenet_v2 | road | group-cam}}``."""

from __future__ import annotations

import json
import re

import numpy as np
from evidence import QUESTIONS, RESULTS, kind, results, settings, table
from evidence_choice import CANDIDATES, choice, chosen, standing, standing_table
from evidence_settings import SWEEPS, difference, differences_table, least_alike, orders_table, verdicts

from fusioncam.report.results import Column
from fusioncam.report.statistics import interval
from fusioncam.report.tables.model import format_interval


def filled(text: str) -> str:
    """Replace ``{{mean | RUN | NETWORK | METRIC | METHOD}}`` and the like by numbers from the stored rows."""
    return re.sub(r"\{\{(.+?)\}\}", lambda found: _number(*map(str.strip, found[1].split("|"))), text, flags=re.S)


def _number(name: str, *fields: str) -> str:
    return NUMBERS[name](*fields)


def _column(run: str, network: str, metric: str) -> Column:
    found = results(run)
    (model,) = (name for name in found.models if name.rpartition(":")[2] == network)
    (column,) = (one for one in found.columns(model) if kind(one.metric) == metric)
    return column


def _mean(run: str, network: str, metric: str, method: str) -> str:
    return " ".join(format_interval(_column(run, network, metric).interval(method), 3))


def _images(run: str, network: str, metric: str) -> str:
    return _with_values(_column(run, network, metric))


def _unseen(run: str, network: str, metric: str) -> str:
    """Return the number of images that did not choose a method, with a value of the metric."""
    (setting,) = (one for one in settings(metric, (run,)) if one.network == network)
    return _with_values(setting.half(first=False).column)


def _with_values(column: Column) -> str:
    return str(int((~np.isnan(column.values)).any(1).sum()))


def _passes(run: str, network: str, method: str) -> str:
    rows = results(run).rows
    mine = rows[(rows["model"].str.rpartition(":")[2] == network) & (rows["method"] == method)]
    return f"{mine.drop_duplicates('image')['passes'].mean():.0f}"


def _tally(question: str, rival: str, metric: str) -> str:
    better, equal, worse = QUESTIONS[question].tally(rival, metric)
    return f"better in {better}, worse in {worse} of {better + equal + worse}"


def _standings(metric: str, word: str) -> str:
    places = standing(chosen(CANDIDATES))
    found = [one for setting, _, one in places if metric in ("all", kind(setting.column.metric))]
    count = len(found) - found.count("worse") if word == "leads" else found.count(word)
    return f"{count} of {len(found)}"


def _roar(network: str) -> str:
    """Return a table of the accuracies of ROAR, a row per method and a column per share of removed pixels."""
    found = json.loads((RESULTS / "retraining" / f"roar-{network}.json").read_text())
    rows = [
        [f"`{method}`", *(_rate(accuracy, found["test"]) for accuracy in accuracies.values())]
        for method, accuracies in found["accuracies"].items()
    ]
    shares = next(iter(found["accuracies"].values()))
    return table(["method", *(f"{float(share):.0%} removed" for share in shares)], rows)


def _rate(rate: float, count: int) -> str:
    hits = np.arange(count) < round(rate * count)
    return " ".join(format_interval(interval(hits, rate=True), 3))


NUMBERS = {
    "networks": lambda metric: str(len({setting.network for setting in settings(metric)})),
    "mean": _mean,
    "tally": _tally,
    "images": _images,
    "unseen": _unseen,
    "passes": _passes,
    "standings": _standings,
    "summary": lambda question: QUESTIONS[question].summary(),
    "details": lambda question: QUESTIONS[question].all_details(),
    "choice": lambda: choice(CANDIDATES),
    "chosen": lambda: f"`{chosen(CANDIDATES)}`",
    "standing": lambda: standing_table(chosen(CANDIDATES)),
    "sweep-images": lambda name: str(SWEEPS[name].count()),
    "difference": difference,
    "verdicts": verdicts,
    "differences": differences_table,
    "orders": orders_table,
    "least-alike": least_alike,
    "roar": _roar,
}

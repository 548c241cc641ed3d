"""Summarise the numbers of many images as figures. Plain arithmetic: no clock, no network.

A figure is one line of a table: median, lowest, highest and the number of images, the aim (``{"median": ">= 4"}``)
and whether it was met.
"""

from __future__ import annotations

import operator
from statistics import fmean, median

import numpy as np
from scipy.stats import bootstrap

HOLDS = {">=": operator.ge, "<=": operator.le, "in": lambda interval, number: interval[0] <= number <= interval[1]}
FIELDS = {
    "what": str,
    "unit": str,
    "count": int,
    "median": float,
    "lowest": float,
    "highest": float,
    "mean": float,
    "interval": list,
    "aims": dict,
    "met": bool,
}


def figure(what, values, unit="", *, count=None, interval=None, aims=None):
    """Return the figure of values; None is left out. ``count`` is the number of images if it differs."""
    values = [float(value) for value in values if value is not None]
    result = {"what": what, "unit": unit, "count": len(values) if count is None else count}
    result |= {"median": None, "lowest": None, "highest": None, "mean": None}
    if values:
        result |= {"median": median(values), "lowest": min(values), "highest": max(values), "mean": fmean(values)}
    result |= {"interval": interval, "aims": aims or {}}
    return result | {"met": met(result)}


def met(result):
    """Return whether all aims are met; None if there are no aims or no values."""
    if not result["aims"] or any(result[field] is None for field in result["aims"]):
        return None
    return all(holds(result[field], aim) for field, aim in result["aims"].items())


def holds(value, aim):
    """Return whether an aim holds: ">= 4" for a value, or "in 0" for an interval that contains 0."""
    sign, number = aim.split()
    number = float(number)
    return bool(HOLDS[sign](value, number))


def by_network(rows, of):
    """Return the figures that ``of(rows, network)`` makes of the rows of each network."""
    networks = dict.fromkeys(row["network"] for row in rows)
    return [one for network in networks for one in of([row for row in rows if row["network"] == network], network)]


def ratios(rows, theirs, ours):
    """Return how many times as fast ours was, for each image where both were timed and their maps agree."""
    return [
        row["seconds"][theirs] / row["seconds"][ours]
        for row in rows
        if theirs in row["seconds"] and ours in row["seconds"] and row.get("agrees", {}).get(theirs, True)
    ]


def whole_ratio(rows, theirs, ours, setup=0.0):
    """Return how many times as fast all images together were, with the one-time ``setup`` added to ours; or None."""
    both = [row["seconds"] for row in rows if theirs in row["seconds"] and row.get("agrees", {}).get(theirs, True)]
    return sum(one[theirs] for one in both) / (setup + sum(one[ours] for one in both)) if both else None


def correlation(first, second):
    """Return the correlation of two maps of the same shape; None if one is constant or not finite."""
    first, second = (np.asarray(one, dtype=float).ravel() for one in (first, second))
    if first.shape != second.shape:
        raise ValueError(f"maps of {first.size} and {second.size} pixels cannot be compared")
    if not (np.isfinite(first).all() and np.isfinite(second).all()) or 0 in (np.ptp(first), np.ptp(second)):
        return None
    return float(np.corrcoef(first, second)[0, 1])


def interval(differences, seed=0):
    """Return the 95 % bootstrap interval (BCa) of the mean of paired differences; None for less than two."""
    values = np.asarray([one for one in differences if one is not None], dtype=float)
    if len(values) < 2:
        return None
    if np.ptp(values) == 0:
        return [float(values[0])] * 2
    found = bootstrap((values,), np.mean, rng=np.random.default_rng(seed)).confidence_interval
    return [float(found.low), float(found.high)]


def problems(result):
    """Return the problems of a figure, in words."""
    wrong = [f"{field} is missing" for field in FIELDS if field not in result]
    wrong += [f"{field} is not known" for field in result if field not in FIELDS]
    if wrong:
        return wrong
    nothing = ("median", "lowest", "highest", "mean", "interval", "met")
    wrong = [
        f"{field} is {result[field]!r}, not {kind.__name__}"
        for field, kind in FIELDS.items()
        if not (isinstance(result[field], kind) or (result[field] is None and field in nothing))
    ]
    if not wrong and result["median"] is not None and not result["lowest"] <= result["median"] <= result["highest"]:
        wrong.append("lowest, median and highest are out of order")
    if not wrong and result["met"] != met(result):
        wrong.append(f"met is {result['met']}, by its aims it is {met(result)}")
    return wrong


def shown(result):
    """Return a figure in words."""
    if result["median"] is None:
        return "not measured"
    unit = result["unit"] and f" {result['unit']}"
    if result["interval"] is not None:
        low, high = (number(one) for one in result["interval"])
        return f"mean {number(result['mean'])}{unit}, 95 % interval {low} to {high}"
    spread = (
        f" ({number(result['lowest'])} to {number(result['highest'])})"
        if result["lowest"] != result["highest"]
        else ""
    )
    return f"{number(result['median'])}{unit}{spread}"


def number(value):
    """Return a number with about three digits; just below 1, with as many as needed to show the distance from 1."""
    if 0.99 <= value < 1:
        return f"{value:.6f}".rstrip("0") if value < 0.9999995 else "1.000000"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.1e}"

"""Numbers of many images -> what is told of them. Plain arithmetic: no clock, no network.

A figure is what stands in one line of a table: median, lowest, highest and the number of images, what was aimed
at (``{"median": ">= 4"}``) and whether it was met.
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
    """Tell of values, None left out. ``count`` is that of the images, if one value is made of several."""
    values = [float(value) for value in values if value is not None]
    told = {"what": what, "unit": unit, "count": len(values) if count is None else count}
    told |= {"median": None, "lowest": None, "highest": None, "mean": None}
    if values:
        told |= {"median": median(values), "lowest": min(values), "highest": max(values), "mean": fmean(values)}
    told |= {"interval": interval, "aims": aims or {}}
    return told | {"met": met(told)}


def met(told):
    """Say whether all aims are met; None where there are none, or nothing was measured."""
    if not told["aims"] or any(told[field] is None for field in told["aims"]):
        return None
    return all(holds(told[field], aim) for field, aim in told["aims"].items())


def holds(value, aim):
    """Say whether an aim such as ">= 4" holds of a value, or "in 0" of an interval: that 0 is in it."""
    sign, number = aim.split()
    number = float(number)
    return bool(HOLDS[sign](value, number))


def ratios(rows, theirs, ours):
    """Give how many times as fast ours was, image by image, where both were timed and their maps agree."""
    return [
        row["seconds"][theirs] / row["seconds"][ours]
        for row in rows
        if theirs in row["seconds"] and ours in row["seconds"] and row.get("agrees", {}).get(theirs, True)
    ]


def whole_ratio(rows, theirs, ours, setup=0.0):
    """Give how many times as fast all images together were, ours with what had to be done once before; or None."""
    both = [row["seconds"] for row in rows if theirs in row["seconds"] and row.get("agrees", {}).get(theirs, True)]
    return sum(one[theirs] for one in both) / (setup + sum(one[ours] for one in both)) if both else None


def correlation(first, second):
    """Give the correlation of two maps of the same shape, None where one of them is constant or not finite."""
    first, second = (np.asarray(one, dtype=float).ravel() for one in (first, second))
    if first.shape != second.shape:
        raise ValueError(f"maps of {first.size} and {second.size} pixels cannot be compared")
    if not (np.isfinite(first).all() and np.isfinite(second).all()) or 0 in (np.ptp(first), np.ptp(second)):
        return None
    return float(np.corrcoef(first, second)[0, 1])


def interval(differences, seed=0):
    """Give the 95 % bootstrap interval (BCa) of the mean of paired differences; of less than two there is none."""
    values = np.asarray([one for one in differences if one is not None], dtype=float)
    if len(values) < 2:
        return None
    if np.ptp(values) == 0:
        return [float(values[0])] * 2
    found = bootstrap((values,), np.mean, rng=np.random.default_rng(seed)).confidence_interval
    return [float(found.low), float(found.high)]


def problems(told):
    """List what is wrong with a figure."""
    wrong = [f"{field} is missing" for field in FIELDS if field not in told]
    wrong += [f"{field} is not known" for field in told if field not in FIELDS]
    if wrong:
        return wrong
    nothing = ("median", "lowest", "highest", "mean", "interval", "met")
    wrong = [
        f"{field} is {told[field]!r}, not {kind.__name__}"
        for field, kind in FIELDS.items()
        if not (isinstance(told[field], kind) or (told[field] is None and field in nothing))
    ]
    if not wrong and told["median"] is not None and not told["lowest"] <= told["median"] <= told["highest"]:
        wrong.append("lowest, median and highest are out of order")
    if not wrong and told["met"] != met(told):
        wrong.append(f"met is {told['met']}, by its aims it is {met(told)}")
    return wrong


def shown(told):
    """Show a figure in words."""
    if told["median"] is None:
        return "not measured"
    unit = told["unit"] and f" {told['unit']}"
    if told["interval"] is not None:
        low, high = (number(one) for one in told["interval"])
        return f"mean {number(told['mean'])}{unit}, 95 % interval {low} to {high}"
    spread = f" ({number(told['lowest'])} to {number(told['highest'])})" if told["lowest"] != told["highest"] else ""
    return f"{number(told['median'])}{unit}{spread}"


def number(value):
    """Write a number with about three digits, and one near 1 from below so that it shows how near."""
    if 0.99 <= value < 1:
        return f"{value:.6f}".rstrip("0") if value < 0.9999995 else "1.000000"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.1e}"

"""Rows of runs that never were, whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from fusioncam.benchmark.results_store import COLUMNS
from fusioncam.report.results import results_of

ERROR = {"method": "", "metric": "", "value": None, "error": "torn.jpg: truncated", "image": "torn.jpg"}


def row(**facts):
    """Give a row with all columns; what is not said is of a plain image, method and metric."""
    metric = facts.get("metric", "insertion")
    plain = {
        "model": "lite0",
        "layer": "blocks.6",
        "image": "0.jpg",
        "target": 3,
        "label": None,
        "method": "fusion-cam",
        "metric": "insertion",
        "value": 0.5,
        "curve": None,
        "protocol": json.dumps({"metric": metric.title(), "steps": 4, "fill": "blur"}),
        "family": "faithfulness",
        "higher_is_better": True,
        "shares_objective": False,
        "seconds": 2.0,
        "passes": 100.0,
        "partial_passes": 0.0,
        "metric_seconds": 0.1,
        "error": None,
        "versions": json.dumps({"fusioncam": "0.1.0"}),
    }
    assert facts.keys() <= plain.keys()
    return plain | facts


def rows_of(values, **facts):
    """Give the rows of values ``{method: [one an image]}`` of one metric, NaN for undefined."""
    return [
        row(method=method, image=f"{place:03d}.jpg", value=None if np.isnan(value) else float(value), **facts)
        for method, own in values.items()
        for place, value in enumerate(own)
    ]


def results(*rows, plan=None):
    """Give the results of lists of rows."""
    return results_of(pd.DataFrame([one for listed in rows for one in listed]), plan)


def apart(*shifts, images=40, spread=0.1, seed=0):
    """Give values of methods that lie so far apart on every image, but for a little noise."""
    rng = np.random.default_rng(seed)
    base = rng.normal(0.5, 0.1, images)
    return [base + shift + rng.normal(0, spread, images) for shift in shifts]


def save(folder, rows, plan=None):
    """Write a run's folder."""
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    (folder / "plan.json").write_text(json.dumps(plan or {}))
    return folder


def stored_row(image="a", method="grad-cam", metric="increase", value=0.5, error=None, **facts):
    """Give a row as the journal stores it, with all columns."""
    whole = dict.fromkeys(COLUMNS)
    known = {"model": "m", "image": image, "method": method, "metric": metric, "value": value, "error": error}
    return whole | known | {"versions": "{}"} | facts


TIMES = ["seconds", "metric_seconds"]


def same(first, second):
    """Check that rows are equal but for times."""
    pd.testing.assert_frame_equal(first.drop(columns=TIMES), second.drop(columns=TIMES))

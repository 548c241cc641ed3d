"""Rows of invented runs with known results."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from fusioncam.report.results import results_of
from fusioncam.utils.stored_files import COLUMNS

ERROR = {"method": "", "metric": "", "value": None, "error": "torn.jpg: truncated", "image": "torn.jpg"}


def row(**columns):
    """Return a row with all columns; columns not given have plain defaults."""
    metric = columns.get("metric", "insertion")
    defaults = {
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
    assert columns.keys() <= defaults.keys()
    return defaults | columns


def rows_of(values, **columns):
    """Return rows of one metric for values ``{method: [one per image]}``; NaN is undefined."""
    return [
        row(method=method, image=f"{n:03d}.jpg", value=None if np.isnan(value) else float(value), **columns)
        for method, method_values in values.items()
        for n, value in enumerate(method_values)
    ]


def results(*rows, plan=None):
    """Return the results of lists of rows."""
    return results_of(pd.DataFrame([row for group in rows for row in group]), plan)


def shifted_values(*shifts, images=40, spread=0.1, seed=0):
    """Return values of methods that differ by these shifts on every image, plus a little noise."""
    rng = np.random.default_rng(seed)
    base = rng.normal(0.5, 0.1, images)
    return [base + shift + rng.normal(0, spread, images) for shift in shifts]


def save(folder, rows, plan=None):
    """Write the folder of a run."""
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    (folder / "plan.json").write_text(json.dumps(plan or {}))
    return folder


def stored_row(image="a", method="grad-cam", metric="increase", value=0.5, error=None, **columns):
    """Return a row as the journal stores it, with all columns."""
    empty = dict.fromkeys(COLUMNS)
    defaults = {"model": "m", "image": image, "method": method, "metric": metric, "value": value, "error": error}
    return empty | defaults | {"versions": "{}"} | columns


TIMES = ["seconds", "metric_seconds"]


def same(first, second):
    """Assert that rows are equal except for times."""
    pd.testing.assert_frame_equal(first.drop(columns=TIMES), second.drop(columns=TIMES))

"""The columns of a row."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
Key = tuple[str, str]

# the columns with the same value in all rows of a line of the journal
SHARED = ("model", "layer", "image", "target", "label", "versions")
COLUMNS = {
    "model": "string",
    "layer": "string",
    "image": "string",
    "target": "int64",
    "label": "int64",
    "method": "string",
    "metric": "string",
    "value": "float64",
    "curve": "list<float64>",
    "protocol": "string",
    "family": "string",
    "higher_is_better": "bool",
    "shares_objective": "bool",
    "seconds": "float64",
    "passes": "float64",
    "partial_passes": "float64",
    "metric_seconds": "float64",
    "error": "string",
    "versions": "string",
}

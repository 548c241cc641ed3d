"""Heatmaps of very many pictures, as small grids in Parquet files."""

from __future__ import annotations

from fusioncam.bulk.parquet import StoredHeatmap, read_heatmaps
from fusioncam.bulk.plan import BulkPlan
from fusioncam.bulk.runner import BulkListener, BulkResult, explain_in_bulk

__all__ = ["BulkPlan", "BulkResult", "StoredHeatmap", "BulkListener", "explain_in_bulk", "read_heatmaps"]

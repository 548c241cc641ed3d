"""Heatmaps of very many images, as small grids in Parquet files."""

from __future__ import annotations

from fusioncam.bulk.parquet import StoredHeatmap, read_heatmaps
from fusioncam.bulk.plan import BulkPlan
from fusioncam.bulk.runner import BulkListener, BulkResult, explain_in_bulk

__all__ = ["BulkListener", "BulkPlan", "BulkResult", "StoredHeatmap", "explain_in_bulk", "read_heatmaps"]

"""Explain very many images and store their heatmaps as small grids in Parquet files."""

from __future__ import annotations

from fusioncam.bulk.parquet import StoredHeatmap, read_heatmaps
from fusioncam.bulk.plan import BulkPlan
from fusioncam.bulk.runner import BulkResult, explain_in_bulk

__all__ = ["BulkPlan", "BulkResult", "StoredHeatmap", "explain_in_bulk", "read_heatmaps"]

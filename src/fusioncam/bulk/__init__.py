"""Heatmaps of very many pictures, as small grids in Parquet files."""

from __future__ import annotations

from fusioncam.bulk.plan import BulkPlan
from fusioncam.bulk.runner import Outcome, Watch, explain_in_bulk
from fusioncam.bulk.shards import StoredHeatmap, read_heatmaps

__all__ = ["BulkPlan", "Outcome", "StoredHeatmap", "Watch", "explain_in_bulk", "read_heatmaps"]

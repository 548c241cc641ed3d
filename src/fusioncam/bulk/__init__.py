"""Heatmaps of very many pictures, as small grids in Parquet files."""

from __future__ import annotations

from .plan import BulkPlan
from .runner import Outcome, Watch, explain_in_bulk
from .shards import StoredHeatmap, read_heatmaps

__all__ = ["BulkPlan", "Outcome", "StoredHeatmap", "Watch", "explain_in_bulk", "read_heatmaps"]

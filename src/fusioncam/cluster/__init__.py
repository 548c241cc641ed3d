"""Jobs done in this process or on a Ray cluster."""

from __future__ import annotations

from fusioncam.cluster.connection import LOCAL, ray_pool
from fusioncam.cluster.pool import Pool, Request
from fusioncam.cluster.work import Here, Lost, SetUp, Work, Workers

__all__ = ["LOCAL", "Here", "Lost", "Pool", "Request", "SetUp", "Work", "Workers", "ray_pool"]

"""Run jobs in this process or on a Ray cluster."""

from fusioncam.distributed.ray_connection import LOCAL, ray_pool
from fusioncam.distributed.ray_pool import Pool, Request
from fusioncam.distributed.workers import FailedJob, LocalWorkers, SetUp, Work, Workers

__all__ = ["LOCAL", "FailedJob", "LocalWorkers", "Pool", "Request", "SetUp", "Work", "Workers", "ray_pool"]

"""Run jobs in this process or on a Ray cluster, and report their progress."""

from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.ray_connection import LOCAL, ray_pool
from fusioncam.distributed.ray_pool import Pool, Request
from fusioncam.distributed.workers import FailedJob, LocalWorkers, SetUp, Work, Workers

__all__ = [
    "LOCAL",
    "FailedJob",
    "LocalWorkers",
    "Pool",
    "ProgressListener",
    "Request",
    "SetUp",
    "Work",
    "Workers",
    "ray_pool",
]

"""The way to a Ray cluster and back: one of one's own that ends with the run, or an existing one, left as found."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from fusioncam.distributed.ray_pool import Pool, Request
from fusioncam.errors import ClusterError
from fusioncam.utils.optional import extra

LOCAL = "local"
_STORE = 2**28  # bytes; jobs and rows are small
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


@contextmanager
def ray_pool(
    address: str = LOCAL, request: Request | None = None, note: Callable[[str], None] = print
) -> Iterator[Pool]:
    """Give workers on the cluster at an address: ``HOST:PORT``, ``ray://HOST:PORT``, ``auto``, or ``local``.

    ``local`` starts one on this machine, which ends with the block and tells nobody of itself. Where this process is
    connected to Ray already, that cluster is taken and stays. Raises :class:`ClusterError`.
    """
    ray, request = _ray(), request or Request()
    with _connected(ray, address):
        pool = Pool(ray, replace(request, workers=worker_capacity(ray.nodes(), request)), note)
        try:
            yield pool
        finally:
            pool.close()


def _ray() -> Any:
    # read by Ray as it is imported: what ended a worker is told once, by the pool, and not on standard output
    settings = {} if "ray" in sys.modules else {"RAY_DEDUP_LOGS_SKIP_REGEX": "."}
    with patch.dict(os.environ, settings):
        return extra("ray", "ray", "clusters")


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    _require_listener(address)
    # told to Ray before it starts: send no statistics, and leave GPUs to those who ask for them
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    if address != LOCAL:  # it would try for a quarter of an hour
        settings["RAY_gcs_server_port_wait_time_s"] = "2"
    try:
        with patch.dict(os.environ, settings):
            _init(ray, address)
    except Exception as error:  # Ray raises bare ones where a process does not start
        raise ClusterError(f"no Ray cluster at '{address}': {_why(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _why(error: BaseException) -> str:
    """Give the first line of an error, and what to do where a token is wanted, which Ray tells further down."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    if any("token" in str(one).lower() for one in causes):
        return "it lets in who has its token alone: set RAY_AUTH_MODE=token, see Ray's pages on token authentication"
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


def _init(ray: Any, address: str) -> None:
    if address == LOCAL:
        ray.init(address=LOCAL, include_dashboard=False, object_store_memory=_STORE, **_QUIET)
    else:
        ray.init(address=address, **_QUIET)


def _require_listener(address: str) -> None:
    """Tell at once where nobody listens; Ray would try for a minute."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster at '{address}': {error}. Start one by ray start --head, or leave the address out: "
            "a local one is started for the run"
        ) from None


def worker_capacity(nodes: Sequence[Mapping[str, Any]], request: Request) -> int:
    """Give how many workers there will be; raise :class:`ClusterError` where there is no room for those asked for.

    >>> two = [{"Alive": True, "Resources": {"CPU": 5.0}}, {"Alive": True, "Resources": {"CPU": 2.0}}]
    >>> worker_capacity(two, Request(cpus=2))
    3
    """
    resources = [one["Resources"] for one in nodes if one["Alive"]]
    room = sum(_fitting(one.get("CPU", 0), one.get("GPU", 0), request) for one in resources)
    if room >= (request.workers or 1):
        return request.workers or room
    has = "; ".join(f"{one.get('CPU', 0):g} CPU, {one.get('GPU', 0):g} GPU" for one in resources[:8]) or "nothing"
    raise ClusterError(
        f"the cluster has {len(resources)} nodes ({has}): room for {room} workers of {request.cpus} CPU and "
        f"{request.gpus:g} GPU, and {request.workers or 1} asked for. Ask for fewer by --workers, for less each by "
        "--cpus-per-worker and --gpus-per-worker, or add nodes"
    )


def _fitting(cpus: float, gpus: float, request: Request) -> int:
    by_gpu = gpus / request.gpus + 1e-6 if request.gpus else float("inf")
    return int(min(cpus // request.cpus, by_gpu))

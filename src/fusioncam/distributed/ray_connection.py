"""Connect to a Ray cluster: an existing one, which stays as it is, or a new local one that ends with the run."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.ray_local import open_addresses, read_environment, start_local_cluster
from fusioncam.distributed.ray_pool import Pool, Request
from fusioncam.errors import ClusterError
from fusioncam.utils.environment import environment
from fusioncam.utils.optional import extra

LOCAL = "local"
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


@contextmanager
def ray_pool(
    address: str = LOCAL, request: Request | None = None, listener: ProgressListener | None = None
) -> Iterator[Pool]:
    """Connect to the cluster at an address and yield a :class:`Pool` of workers on it.

    ``address`` is ``HOST:PORT``, ``ray://HOST:PORT``, ``auto`` or ``local``. ``local`` starts a cluster on this
    machine that ends with the block, listens on the loopback interface only, and sends no usage statistics; Ray 2.52
    and newer also require a token there. If this process is already connected to Ray, that connection is used and
    stays open. ``listener`` receives a note for each worker that is replaced.

    Raises :class:`ClusterError` if the cluster cannot be reached or is too small for the request, and
    :class:`MissingExtraError` without Ray.
    """
    ray, request, listener = _import_ray(), request or Request(), listener or ProgressListener()
    with _connected(ray, address, listener):
        sized = replace(request, workers=worker_capacity(ray.nodes(), request))
        pool = Pool(ray, sized, listener)
        try:
            yield pool
        finally:
            pool.close()


def _import_ray() -> Any:
    # Ray reads this variable at import: the pool reports why a worker ended, so Ray need not print it as well
    settings = {} if "ray" in sys.modules else {"RAY_DEDUP_LOGS_SKIP_REGEX": "."}
    with environment(settings):
        return extra("ray", "ray", "clusters")


@contextmanager
def _connected(ray: Any, address: str, listener: ProgressListener) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    _require_listener(address)
    # Ray reads these when it starts: send no statistics, and keep CUDA_VISIBLE_DEVICES of workers without GPU
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    if address != LOCAL:  # the default is to retry for a quarter of an hour
        settings["RAY_gcs_server_port_wait_time_s"] = "2"
    try:
        with environment(settings):
            _init(ray, address, listener)
    except Exception as error:  # Ray raises a bare Exception if a process does not start
        raise ClusterError(f"no Ray cluster at '{address}': {_reason(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()
        read_environment(ray)  # the next connection follows the user's variables again


def _reason(error: BaseException) -> str:
    """Return the first line of an error, or what to do if one of its causes mentions a token."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    if any("token" in str(cause).lower() for cause in causes):
        return "the cluster requires a token: set RAY_AUTH_MODE=token, see Ray's pages on token authentication"
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


def _init(ray: Any, address: str, listener: ProgressListener) -> None:
    if address != LOCAL:
        ray.init(address=address, **_QUIET)
        return
    start_local_cluster(ray, **_QUIET)
    if reachable := open_addresses(ray):  # a Ray newer than those that were tested
        listener.note(f"this version of Ray listens on {', '.join(reachable)}, which other machines may reach")


def _require_listener(address: str) -> None:
    """Raise :class:`ClusterError` at once if nothing listens at ``HOST:PORT``; Ray would retry for a minute."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster at '{address}': {error}. Start one with ray start --head, or leave out the address to "
            "start a local cluster for this run"
        ) from None


def worker_capacity(nodes: Sequence[Mapping[str, Any]], request: Request) -> int:
    """Return the number of workers to start: those requested, or as many as the active nodes have room for.

    Raises :class:`ClusterError` if there is no room for the requested workers.

    >>> two = [{"Alive": True, "Resources": {"CPU": 5.0}}, {"Alive": True, "Resources": {"CPU": 2.0}}]
    >>> worker_capacity(two, Request(cpus=2))
    3
    """
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    capacity = sum(_workers_on_node(one.get("CPU", 0), one.get("GPU", 0), request) for one in resources)
    if capacity >= (request.workers or 1):
        return request.workers or capacity
    has = "; ".join(f"{one.get('CPU', 0):g} CPU, {one.get('GPU', 0):g} GPU" for one in resources[:8]) or "nothing"
    raise ClusterError(
        f"the cluster has {len(resources)} nodes ({has}): room for {capacity} workers of {request.cpus} CPU and "
        f"{request.gpus:g} GPU, but {request.workers or 1} were requested. Request fewer with --workers, smaller "
        "ones with --cpus-per-worker and --gpus-per-worker, or add nodes"
    )


def _workers_on_node(cpus: float, gpus: float, request: Request) -> int:
    by_gpu = gpus / request.gpus + 1e-6 if request.gpus else float("inf")  # 1e-6 absorbs rounding
    return int(min(cpus // request.cpus, by_gpu))

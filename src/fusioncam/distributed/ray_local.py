"""Start a Ray cluster for one run: on the loopback interface, with a token, and with little memory."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from fusioncam.utils.environment import environment

_OBJECT_STORE_BYTES = 2**28  # jobs and rows are small
_OFFERS_CLUSTERS = "ENABLE_RAY_CLUSTER"


def start_local_cluster(ray: Any, **settings: Any) -> None:
    """Start a cluster that only processes of this machine can connect to, with further settings of ``ray.init``."""
    with environment(_token_settings()), _on_loopback(ray):
        read_environment(ray)
        ray.init(address="local", include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES, **settings)


def read_environment(ray: Any) -> None:
    """Let Ray read its environment variables, which it otherwise does once, often at import."""
    ray._raylet.Config.initialize("")


def _token_settings() -> dict[str, str]:
    """Return the variables by which Ray 2.52 and newer require a token of every connection to a new cluster.

    What the user has set stays. If the user has no token, one is made for this process: Ray would write one to the
    home folder, which may not be writable, and from then on require it of the user's own clusters.
    """
    settings = {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "token")}
    own = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if own or Path("~/.ray/auth_token").expanduser().exists():
        return settings
    return settings | {"RAY_AUTH_TOKEN": _token()}


@cache
def _token() -> str:
    return secrets.token_hex(32)  # one for the process, because Ray keeps the first that it reads


@contextmanager
def _on_loopback(ray: Any) -> Iterator[None]:
    """Let Ray use 127.0.0.1 as the address of nodes that it starts in the block.

    Ray replaces 127.0.0.1 by the machine's address in the network, except where it offers no clusters, as on macOS.
    The variable is read by the processes that Ray starts, the constant by this process, which may have imported Ray.
    """
    constants = ray._private.ray_constants
    before = getattr(constants, _OFFERS_CLUSTERS, True)
    setattr(constants, _OFFERS_CLUSTERS, False)
    try:
        with environment({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}):
            yield
    finally:
        setattr(constants, _OFFERS_CLUSTERS, before)


def open_addresses(ray: Any) -> list[str]:
    """Return the addresses of the cluster's nodes that other machines may reach."""
    addresses = [node["NodeManagerAddress"] for node in ray.nodes()]
    return [address for address in addresses if not ip_address(address).is_loopback]

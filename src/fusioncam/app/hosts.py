"""The names by which visitors may reach the server.

A page of another site can let a visitor's browser send requests to a server on the visitor's own machine. The browser
states the site in ``Origin``. If the site's name leads to that machine, then ``Host`` is the site's name.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from fusioncam.utils.addresses import is_numeric

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARDS = ("0.0.0.0", "::", "")


class AllowedHosts:
    """The hosts that requests may name, for a server that listens at ``host``; ``names`` are further ones.

    A server that listens at all addresses of its machine allows every numeric address, as other sites have names,
    and the name of the machine.
    """

    def __init__(self, host: str, names: Collection[str] = ()) -> None:
        self.any_address = host in _WILDCARDS
        own = {socket.gethostname()} if self.any_address else {host}
        self.names = {_plain(name) for name in (*_LOOPBACK, *own, *names)}

    def allow(self, host: str | None, origin: str | None) -> bool:
        """Return whether the headers ``Host`` and ``Origin`` of a request name this server; ``Origin`` may be absent.

        >>> hosts = AllowedHosts("127.0.0.1", ["heatmaps.example"])
        >>> hosts.allow("localhost:7860", None), hosts.allow("heatmaps.example", "https://heatmaps.example")
        (True, True)
        >>> hosts.allow("evil.example", None), hosts.allow("localhost:7860", "http://evil.example")
        (False, False)
        """
        if not self._knows(host):
            return False
        return origin is None or ("://" in origin and self._knows(urlsplit(origin).netloc))

    def _knows(self, location: str | None) -> bool:
        name = _plain(re.sub(r":\d*$", "", location or ""))
        return name in self.names or (self.any_address and is_numeric(name))


def _plain(host: str) -> str:
    return host.strip().strip("[]").rstrip(".").lower()

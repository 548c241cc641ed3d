"""Check the address at which a server is to listen."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading

from fusioncam.errors import AddressError

_SECONDS = 5  # for the resolution of a name


def is_numeric(host: str) -> bool:
    """Return whether this is an IP address.

    >>> is_numeric("127.0.0.1"), is_numeric("::1"), is_numeric("localhost"), is_numeric("999.1.1.1")
    (True, True, False, False)
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def require_own_address(host: str) -> None:
    """Raise :class:`AddressError` at once unless ``host`` is an address of this machine, or a name of one.

    Gradio would try a hundred ports, and ask for the address of each name every time.
    """
    if re.fullmatch(r"[\d.]+", host) and not is_numeric(host):
        raise AddressError(f"cannot serve at '{host}': it is no IP address: choose another --host, such as 127.0.0.1")
    found: list[object] = []
    # getaddrinfo has no time limit of its own
    resolution = threading.Thread(target=lambda: found.append(_problem(host)), daemon=True)
    resolution.start()
    resolution.join(_SECONDS)
    problem = found[0] if found else "its address is not found"
    if problem is not None:
        raise AddressError(f"cannot serve at '{host}': {problem}: choose another --host, such as 127.0.0.1")


def _problem(host: str) -> object:
    """Return why the machine cannot listen at a host, or None."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        with socket.socket(family, kind, protocol) as server:
            server.bind(address)
    except (OSError, ValueError) as error:  # a name that is too long or empty is a UnicodeError
        return getattr(error, "strerror", None) or error
    return None

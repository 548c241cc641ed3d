"""Ports for servers of tests that run at the same time."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port that is not in use. Gradio finds the same one in two processes that look at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])

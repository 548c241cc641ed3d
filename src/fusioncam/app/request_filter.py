"""Reject requests that are too long, or that make the server fetch an address.

Gradio opens no file of the server that a visitor names, but it fetches addresses: as the image of an event, and as a
proxy. A page that shows heatmaps needs neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1_000_000  # of requests other than uploads
_FETCHING_PATH = re.compile(r"/(proxy=|file=\w\w+:)")


class RequestFilter:
    """ASGI middleware that answers requests which are rejected, and passes the others to the app."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request."""
        if scope["type"] == "http":
            if _FETCHING_PATH.search(scope["path"]):
                await PlainTextResponse("addresses are not fetched", 403)(scope, receive, send)
                return
            if scope["method"] == "POST" and not scope["path"].endswith("/upload"):
                body = await _read_body(receive)
                rejection = _rejection(body)
                if rejection is not None:
                    await rejection(scope, receive, send)
                    return
                receive = _replay(body, receive)
        await self.app(scope, receive, send)


async def _read_body(receive: Receive) -> bytes:
    """Return the body, or its beginning once it is longer than ``MAX_BODY_BYTES``."""
    body = b""
    while len(body) <= MAX_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _rejection(body: bytes) -> PlainTextResponse | None:
    """Return the response to a body that is rejected, or None."""
    if len(body) > MAX_BODY_BYTES:
        return PlainTextResponse(f"a request must have at most {MAX_BODY_BYTES:,} bytes: upload images", 413)
    try:
        has_address = any("://" in str(file.get("path")) for file in _file_entries(json.loads(body)))
    except ValueError:  # not JSON, so Gradio finds no file in it
        return None
    except RecursionError:
        return PlainTextResponse("the request is nested too deeply", 400)
    return PlainTextResponse("an image must be uploaded: addresses are not fetched", 403) if has_address else None


def _file_entries(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all dictionaries with a path, at any depth."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if "path" in node:
                yield node
            stack += node.values()
        elif isinstance(node, list):
            stack += node


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a receive function that yields a body which was already read, and then later messages."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay

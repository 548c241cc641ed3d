"""What a request may ask of the page's server: something short, and nothing to be fetched from elsewhere.

Gradio opens no file of the server that a visitor names, but it would fetch an address, for an image or for whoever
asks. Nobody who is shown heatmaps needs that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 1_000_000  # bytes of a request that uploads nothing
_FETCHING = re.compile(r"/(proxy=|file=\w\w+:)")


class Door:
    """Stands before the server's own app and lets in what it needs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused, and hand on the rest."""
        if scope["type"] == "http":
            if _FETCHING.search(scope["path"]):
                await PlainTextResponse("addresses are not fetched", 403)(scope, receive, send)
                return
            if scope["method"] == "POST" and not scope["path"].endswith("/upload"):
                body = await _read(receive)
                refusal = _refusal(body)
                if refusal is not None:
                    await refusal(scope, receive, send)
                    return
                receive = _again(body, receive)
        await self.app(scope, receive, send)


async def _read(receive: Receive) -> bytes:
    """Give the body, or so much of it that it is known to be too long."""
    body = b""
    while len(body) <= MOST:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _refusal(body: bytes) -> PlainTextResponse | None:
    if len(body) > MOST:
        return PlainTextResponse(f"a request is at most {MOST:,} bytes: images are uploaded", 413)
    try:
        named = [one for one in _files(json.loads(body)) if "://" in str(one.get("path"))]
    except ValueError:  # no JSON: nothing that Gradio takes for a file
        return None
    except RecursionError:
        return PlainTextResponse("cannot read so deep a request", 400)
    return PlainTextResponse("an image must be uploaded: addresses are not fetched", 403) if named else None


def _files(value: Any) -> Iterator[dict[str, Any]]:
    """Give all that names a file, however deep."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if "path" in one:
                yield one
            left += one.values()
        elif isinstance(one, list):
            left += one


def _again(body: bytes, receive: Receive) -> Receive:
    """Give what hands out a body that was read, and then whatever comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay

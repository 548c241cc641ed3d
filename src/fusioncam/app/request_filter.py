"""Reject requests that the page does not need: other addresses, other sites, too much, or an address to fetch.

Gradio opens no file of the server that a visitor names, but it fetches addresses: as the image of an event, and as a
proxy. A page that shows heatmaps needs neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fusioncam.app.hosts import AllowedHosts
from fusioncam.app.limits import Limits
from fusioncam.app.routes import fetches, is_offered, is_upload

MAX_BODY_BYTES = 1_000_000  # of requests other than uploads


class RequestFilter:
    """ASGI middleware that answers requests which are rejected, and passes the others to the app.

    Without ``hosts`` or ``limits`` these are not checked.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts | None = None, limits: Limits | None = None) -> None:
        self.app = app
        self.hosts = hosts
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # the page uses none
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        rejection = self._reject(scope["method"], scope["path"], Headers(scope=scope))
        if rejection is None and scope["method"] == "POST" and not is_upload(scope["path"]):
            body = await _read_body(receive)
            rejection = self._reject_body(body, scope)
            receive = _replay(without_marks(body), receive)
        if rejection is not None:
            await rejection(scope, receive, send)
        elif is_upload(scope["path"]):
            await self._store(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _reject(self, method: str, path: str, headers: Headers) -> Response | None:
        """Return the response to a request that is rejected without its body, or None."""
        if self.hosts is not None and not self.hosts.allow(headers.get("host"), headers.get("origin")):
            return PlainTextResponse("this server is not known by that name: see fusioncam app --allowed-host", 403)
        if fetches(path):
            return PlainTextResponse("addresses are not fetched", 403)
        if not is_offered(method, path):
            return PlainTextResponse("the page has no such address", 404)
        if is_upload(path) and self.limits is not None:
            return self.limits.reject_upload(headers.get("content-length"))
        return None

    def _reject_body(self, body: bytes, scope: Scope) -> Response | None:
        """Return the response to a body that is rejected, or None."""
        if len(body) > MAX_BODY_BYTES:
            return PlainTextResponse(f"a request must have at most {MAX_BODY_BYTES:,} bytes: upload images", 413)
        try:
            content = json.loads(body)
        except ValueError:  # not JSON, so Gradio finds no file in it
            return None
        except RecursionError:
            return PlainTextResponse("the request is nested too deeply", 400)
        if any("://" in str(file.get("path")) for file in _file_entries(content)):
            return PlainTextResponse("an image must be uploaded: addresses are not fetched", 403)
        if self.limits is None or not scope["path"].endswith("/queue/join") or not isinstance(content, dict):
            return None
        address = (scope.get("client") or ("", 0))[0]
        return self.limits.reject_event(content.get("session_hash"), address)

    async def _store(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on an upload, whose bytes count from its start."""
        if self.limits is None:
            await self.app(scope, receive, send)
            return
        self.limits.arriving(id(scope), int(Headers(scope=scope)["content-length"]))
        try:
            await self.app(scope, receive, send)
        finally:
            self.limits.arriving(id(scope), 0)


async def _read_body(receive: Receive) -> bytes:
    """Return the body, or its beginning once it is longer than ``MAX_BODY_BYTES``."""
    body = b""
    while len(body) <= MAX_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def without_marks(body: bytes) -> bytes:
    """Return a body in which no file is marked for Gradio, which ends events with unknown files without a reason.

    The handlers of the page check the paths themselves, and say what is wrong.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return body
    marked = [file for file in _file_entries(content) if "meta" in file]
    for file in marked:
        del file["meta"]
    return json.dumps(content).encode() if marked else body


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

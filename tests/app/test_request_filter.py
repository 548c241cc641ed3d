"""Requests that the server rejects before Gradio receives them."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from fusioncam.app.files import MAX_BYTES
from fusioncam.app.limits import MAX_REQUEST, Limits
from fusioncam.app.request_filter import MAX_BODY_BYTES, RequestFilter


async def echo(request) -> PlainTextResponse:
    """Return the body of the request."""
    return PlainTextResponse(await request.body())


FILTERED = TestClient(RequestFilter(Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])))


@pytest.mark.parametrize(
    "body",
    [
        {"data": [{"path": "https://example.org/cat.png"}]},
        {"data": [[{"a": {"b": [{"path": "file:///etc/passwd"}]}}]]},
    ],
)
def test_requests_with_addresses_are_rejected(body):
    """Addresses are found at any depth."""
    answer = FILTERED.post("/gradio_api/queue/join", json=body)

    assert answer.status_code == 403
    assert "addresses are not fetched" in answer.text


@pytest.mark.parametrize(
    "path", ["file=https://example.org/a.png", "file=HTTP://10.0.0.1/", "proxy=https://a.hf.space/x"]
)
def test_paths_that_fetch_addresses_are_rejected(path):
    """Gradio would fetch and return what is at the address."""
    assert FILTERED.get(f"/gradio_api/{path}").status_code == 403


def test_long_and_deep_requests_are_rejected():
    """Uploads have a limit of their own."""
    assert FILTERED.post("/gradio_api/queue/join", content=b"x" * (MAX_BODY_BYTES + 1)).status_code == 413
    assert FILTERED.post("/gradio_api/queue/join", content=b"[" * 100_000).status_code == 400


@pytest.mark.parametrize("body", [b"", b"no JSON", b'{"data": [{"path": "/tmp/x", "url": "http://127.0.0.1/x"}]}'])
def test_other_requests_pass_unchanged(body):
    """The body, which the filter has read, is replayed."""
    assert FILTERED.post("/gradio_api/queue/join", content=body).content == body
    assert FILTERED.post("/gradio_api/upload", content=body * 100_000).content == body * 100_000
    assert FILTERED.get("/gradio_api/file=/tmp/cat.png").status_code == 200


def test_several_images_may_be_sent_together(tmp_path):
    """Their sum is bounded; Gradio bounds each of them."""
    limits = Limits(tmp_path, list)
    assert limits.reject_upload(str(2 * MAX_BYTES)) is None
    assert limits.reject_upload(str(MAX_REQUEST + 20_000)).status_code == 413

"""The page's camera in a browser with a fake camera: frames are explained, bounded and not kept."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fusioncam.app import run_server
from fusioncam.app.request_filter import MAX_BODY_BYTES
from fusioncam.app.session import Session
from ports import free_port
from visitors import TIMEOUT, expect, wait_until_loaded

pytestmark = [pytest.mark.slow, pytest.mark.serial]

FAKE = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Let the server keep its files in a folder of the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def site(folder) -> Iterator[str]:
    """Return the address of a page that is served."""
    with run_server(Session.open(["samples:small"], device="cpu"), port=free_port()) as address:
        yield address


@pytest.fixture
def page(browser, site: str) -> Iterator[object]:
    """Open the page in a browser whose camera shows a moving pattern."""
    started = browser.browser_type.launch(executable_path=shutil.which("chromium"), args=FAKE, timeout=TIMEOUT)
    context = started.new_context(permissions=["camera"])
    context.set_default_timeout(TIMEOUT)
    page, page_errors = context.new_page(), []
    page.on("pageerror", lambda error: page_errors.append(str(error)))
    page.goto(site)
    yield page
    started.close()
    assert page_errors == []


def images_in(folder: Path) -> list[Path]:
    """Return the files of the server that hold an image."""
    return [path for path in folder.rglob("*") if path.suffix in (".jpg", ".jpeg", ".png", ".webp")]


def test_camera_frames_are_explained_and_not_kept(page, site, folder, monkeypatch):
    """Heatmaps follow the camera until it is stopped; no frame is stored, and requests stay small."""
    sizes: list[int] = []
    begun, ended, explain = [], [], Session.explain_frame

    def counting(*args):
        begun.append(args)
        try:
            return explain(*args)
        finally:
            ended.append(args)

    monkeypatch.setattr(Session, "explain_frame", counting)
    examples = images_in(folder)
    page.on(
        "request", lambda request: sizes.append(len(request.post_data or "")) if "/stream/" in request.url else None
    )
    page.get_by_role("tab", name="Camera").click()
    page.get_by_role("button", name="Click to Access Webcam").click()
    page.click("#fc-camera .capture-button")  # record
    view = page.locator("#fc-camera-view img.fc-frame")
    expect(view).to_be_visible()
    first = view.get_attribute("src")
    expect(view).not_to_have_attribute("src", first)
    wait_until_loaded(page, "img.fc-frame")
    expect(page.locator("#fc-camera-view .fc-facts")).to_contain_text("fusion-cam(budget=16) at act")

    with page.expect_response(lambda response: response.url.endswith("/close")):
        page.click("#fc-camera .capture-button")  # stop
    while len(ended) < len(begun):
        page.wait_for_timeout(100)
    explained = len(begun)
    page.wait_for_timeout(2000)  # frames would come every fifth of a second
    assert len(begun) == explained
    assert images_in(folder) == examples
    assert sizes
    assert max(sizes) < MAX_BODY_BYTES / 2


def test_the_stream_is_bounded(site):
    """Frames of an unknown stream, and frames that are too large, are refused, as other sites are."""
    address = f"{site}gradio_api/stream/{'0' * 32}"
    body = {"data": [None], "fn_index": 0, "session_hash": "s"}
    assert httpx.post(address, json=body, timeout=60).status_code == 404
    assert httpx.post(f"{address}/close", json=body, timeout=60).status_code == 404
    assert httpx.post(f"{address}/open", json=body, timeout=60).status_code == 404
    assert httpx.get(f"{address}/playlist.m3u8", timeout=60).status_code == 404
    large = json.dumps(body | {"data": ["x" * MAX_BODY_BYTES]})
    assert httpx.post(address, content=large, timeout=60).status_code == 413
    foreign = {"Origin": "http://evil.example"}
    assert httpx.post(address, json=body, headers=foreign, timeout=60).status_code == 403

"""The web page offers only what it needs, to its own visitors, within limits, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from command_line import start_program
from fusioncam.app import limits as limits_module
from fusioncam.app import run_server
from fusioncam.app.hosts import AllowedHosts
from fusioncam.app.limits import MAX_WAITING, MAX_WAITING_AT_ADDRESS, Limits, stored_bytes
from fusioncam.app.request_filter import RequestFilter, without_marks
from fusioncam.app.routes import is_offered
from fusioncam.app.session import Session
from fusioncam.errors import AddressError
from ports import free_port
from samples import CAT

JOIN = "/gradio_api/queue/join"


async def echo(request) -> PlainTextResponse:
    """Return the body of the request."""
    return PlainTextResponse(await request.body())


def filtered(**checks):
    """Return a client of an app behind the filter that would answer any request."""
    methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]
    app = Starlette(routes=[Route("/{path:path}", echo, methods=methods)])
    return TestClient(RequestFilter(app, **checks), base_url="http://localhost")


# -- addresses -------------------------------------------------------------------------------------------------

NOT_OFFERED = [
    *("/.env", "/.git/config", "/nope", "/gradio_api/nope", "/monitoring", "/monitoring/summary", "/runs", "/token"),
    *("/gradio_api/file/tmp/x", "/gradio_api/vibe-code/", "/gradio_api/token", "/custom_component/1/client/a/b.js"),
    *("/gradio_api/stream/a/1/2/playlist.m3u8", "/openapi.json", "/docs", "/gradio_api/call/explain/1", "/login"),
    *("/gradio_api/deep_link", "/dev/reload", "/gradio_api/dev/reload", "/gradio_api/profiling/traces", "/static"),
    *("/gradio_api/file=", "/config/..", "//config", "/config\n", "/Config", "/gradio_api/heartbeat/a/b", ""),
]


@pytest.mark.parametrize("path", NOT_OFFERED)
def test_other_addresses_are_not_offered(path):
    """Neither files of the server nor what Gradio has besides the page."""
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"):
        assert not is_offered(method, path)


@pytest.mark.parametrize(
    "path",
    ["process_recording", "run/explain", "api/explain", "call/explain", "component_server", "reset"],
)
def test_what_gradio_keeps_or_runs_is_not_offered(path):
    """``process_recording`` keeps what it receives for ever, and starts ffmpeg with it."""
    answer = filtered().post(f"/gradio_api/{path}", content=b"x")
    assert (answer.status_code, answer.text) == (404, "the page has no such address")


@pytest.mark.parametrize("path", ["file/http://127.0.0.1:1/x", "file=ftp://a/b", "proxy=http://a", "file/HTTPS://a"])
def test_addresses_are_not_fetched(path):
    """In the older form of paths too."""
    answer = filtered().get(f"/gradio_api/{path}")
    assert (answer.status_code, answer.text) == (403, "addresses are not fetched")


# -- sites -----------------------------------------------------------------------------------------------------

LOCAL = AllowedHosts("127.0.0.1", ["heatmaps.example"])
OPEN = AllowedHosts("0.0.0.0")


@pytest.mark.parametrize(
    ("hosts", "host", "origin", "allowed"),
    [
        (LOCAL, "127.0.0.1:7860", None, True),
        (LOCAL, "localhost:7860", "http://localhost:7860", True),
        (LOCAL, "LOCALHOST", "http://127.0.0.1", True),
        (LOCAL, "[::1]:7860", None, True),
        (LOCAL, "heatmaps.example", "https://heatmaps.example", True),
        (LOCAL, "localhost:7860", "https://heatmaps.example", True),
        (LOCAL, "evil.example:7860", None, False),
        (LOCAL, "localhost.evil.example", None, False),
        (LOCAL, "192.168.0.7:7860", None, False),
        (LOCAL, "localhost:7860", "http://evil.example", False),
        (LOCAL, "localhost:7860", "http://localhost.evil.example:7860", False),
        (LOCAL, "localhost:7860", "null", False),
        (LOCAL, "localhost:7860", "", False),
        (LOCAL, None, None, False),
        (LOCAL, "", None, False),
        (OPEN, "192.168.0.7:7860", "http://192.168.0.7:7860", True),
        (OPEN, "[fe80::1]:7860", None, True),
        (OPEN, socket.gethostname(), None, True),
        (OPEN, "evil.example", None, False),
        (OPEN, "192.168.0.7:7860", "http://evil.example", False),
    ],
)
def test_requests_must_name_the_server(hosts, host, origin, allowed):
    """Pages of other sites can send a visitor's browser here, but their requests state the site."""
    assert hosts.allow(host, origin) == allowed


def test_other_sites_are_answered_by_a_sentence():
    """Before anything else is looked at."""
    client = filtered(hosts=LOCAL)
    assert client.get("/config").status_code == 200
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "null"}):
        answer = client.post(JOIN, json={}, headers=headers)
        assert answer.status_code == 403
        assert "--allowed-host" in answer.text


@pytest.mark.parametrize(
    "host", ["999.1.1.1", "1.2.3", "203.0.113.7", "no.such.host.invalid", "x" * 300, "", "a b", "::zz"]
)
def test_other_hosts_fail_at_once(host, monkeypatch):
    """The error names the host before the page is built; Gradio would try a hundred ports at it."""
    monkeypatch.setattr("fusioncam.app.server.build_page", lambda *arguments: pytest.fail("the page was built"))
    if host in ("", "1.2.3"):  # all addresses, and an old way to write 1.2.0.3
        host = host or "256"
    with pytest.raises(AddressError, match="choose another --host"), run_server(None, host):
        pass


# -- limits ----------------------------------------------------------------------------------------------------


def test_uploads_have_a_limit_in_all(tmp_path, monkeypatch):
    """Of one file, of all that are stored, and of those that arrive at the same time."""
    monkeypatch.setattr(limits_module, "MAX_STORED", 100_000)
    limits = Limits(tmp_path, lambda: ())
    client = filtered(limits=limits)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old.png").write_bytes(bytes(60_000))
    assert stored_bytes(tmp_path) == 60_000
    assert client.post("/gradio_api/upload", content=bytes(30_000)).status_code == 200
    assert client.post("/gradio_api/upload", content=bytes(50_000)).status_code == 507
    limits.arriving(1, 20_000)
    assert client.post("/gradio_api/upload", content=bytes(30_000)).status_code == 507
    limits.arriving(1, 0)
    assert client.post("/gradio_api/upload", content=bytes(30_000)).status_code == 200
    (tmp_path / "a" / "old.png").unlink()
    assert client.post("/gradio_api/upload", content=bytes(50_000)).status_code == 200
    assert client.post("/gradio_api/upload", content=iter([b"a", b"b"])).status_code == 411
    assert client.post("/gradio_api/upload", content=b"", headers={"content-length": "9" * 11}).status_code == 413


def test_requests_of_one_visitor_have_a_limit():
    """Others are served although one of them sends many requests."""
    waiting = [("a", "1.1.1.1")] * MAX_WAITING
    client = filtered(limits=Limits(Path(), lambda: waiting))
    answer = client.post(JOIN, json={"session_hash": "a"})
    assert answer.status_code == 429
    assert "requests are waiting" in answer.json()["detail"]
    assert client.post(JOIN, json={"session_hash": "b"}).status_code == 200
    waiting[:] = [(str(n), "testclient") for n in range(MAX_WAITING_AT_ADDRESS)]
    assert client.post(JOIN, json={"session_hash": "b"}).status_code == 429


def test_marks_of_files_are_removed():
    """The handlers of the page check paths themselves, and answer by a sentence."""
    body = {"data": [{"path": "/tmp/x", "meta": {"_type": "gradio.FileData"}}, {"meta": 1}], "n": 1}
    assert json.loads(without_marks(json.dumps(body).encode())) == {"data": [{"path": "/tmp/x"}, {"meta": 1}], "n": 1}
    for unchanged in (b"", b"no JSON", b'{"data":  1}', b"[" * 100_000):
        assert without_marks(unchanged) == unchanged


# -- a server --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site():
    """Return the address of a page that is served."""
    with run_server(Session.open(["samples:small"], device="cpu"), port=free_port()) as address:
        yield address


def join(site, path, visitor):
    """Send the event that lists the classes of an image."""
    config = httpx.get(f"{site}config", timeout=60).json()
    event = next(one["id"] for one in config["dependencies"] if one["api_name"] == "update_choices")
    image = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [image, "samples:small", None], "fn_index": event, "session_hash": visitor}
    return httpx.post(f"{site}gradio_api/queue/join", json=body, timeout=60)


def answer(site, visitor):
    """Return the last message to a visitor."""
    with httpx.stream("GET", f"{site}gradio_api/queue/data", params={"session_hash": visitor}, timeout=60) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                return message["output"]
    raise AssertionError("the server closed the connection")


def uploaded(site, name):
    """Upload an image under a name and return its path on the server."""
    with CAT.open("rb") as file:
        return httpx.post(f"{site}gradio_api/upload", files={"files": (name, file)}, timeout=60).json()[0]


@pytest.mark.slow
def test_hidden_and_unknown_files_are_answered_by_a_sentence(site):
    """A dotfile that was uploaded is an image like others."""
    hidden = uploaded(site, ".cat.png")
    for n, (path, note) in enumerate(
        [
            (hidden, ""),
            (f"{hidden}x", "choose the image again"),
            ("/etc/passwd", "must be uploaded"),
            ("x", "uploaded"),
        ]
    ):
        join(site, path, f"hidden-{n}").raise_for_status()
        shown = answer(site, f"hidden-{n}")["data"][0]
        assert (note in shown) if note else shown == ""


@pytest.mark.slow
def test_one_visitor_holds_up_no_others(site, monkeypatch):
    """Of sixty requests, sent while the first one runs, few may wait: the next visitor's turn comes after these."""
    path = uploaded(site, "cat.png")
    released, predict = threading.Event(), Session.predict_classes

    def held(*arguments):
        released.wait(60)
        return predict(*arguments)

    monkeypatch.setattr(Session, "predict_classes", held)
    codes = [join(site, path, "impatient").status_code for _ in range(60)]
    join(site, path, "patient").raise_for_status()
    released.set()
    assert answer(site, "patient")["data"][0] == ""
    assert set(codes) == {200, 429}
    assert codes.count(200) <= MAX_WAITING + 1


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 0)])
def test_signals_leave_nothing_behind(name, code, tmp_path):
    """Neither uploads nor child processes nor the port, also while an explanation runs; Ctrl-C is not an error."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = start_program("app", "--model", "samples:small", "--port", port, TMPDIR=str(tmp_path))
    try:
        site = f"http://127.0.0.1:{port}/"
        assert server.stdout.readline() == f"fusioncam app: {site} (Ctrl-C stops it)\n"
        assert httpx.get(site, timeout=60).status_code == 200
        path = uploaded(site, "cat.png")
        for n in range(3):
            join(site, path, f"visitor-{n}").raise_for_status()
        assert Path(path).is_relative_to(tmp_path)
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        started = children.read_text().split() if children.exists() else []
        server.send_signal(getattr(signal, name))
        out, err = server.communicate(timeout=30)
    finally:
        server.kill()
    assert (server.returncode, out) == (code, "stopped\n" if name == "SIGINT" else "")
    assert "Traceback" not in err
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith("fusioncam")] == []
    assert not any(Path("/proc", child).exists() for child in started)
    socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.slow
def test_the_command_fails_at_once_for_a_wrong_host():
    """With a sentence, before a model is served."""
    words = [sys.executable, "-m", "fusioncam", "app", "--model", "samples:small", "--host", "999.1.1.1"]
    ended = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: cannot serve at '999.1.1.1': it is no IP address")
    assert not list(Path(tempfile.gettempdir()).glob("fusioncam-999*"))

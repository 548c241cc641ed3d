"""The server: its answers to visitors and programs, and what it rejects."""

from __future__ import annotations

import json
import re
import socket
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from fusioncam.app import html, run_server
from fusioncam.app.files import MAX_BYTES
from fusioncam.app.request_filter import MAX_BODY_BYTES
from fusioncam.app.session import Session
from fusioncam.errors import AddressError
from ports import free_port
from samples import CAT, COFFEE, LABELS, ROCKET, photo

MODEL = "samples:small"


@pytest.fixture(scope="module")
def session() -> Session:
    """Open a session of the small network."""
    return Session.open([MODEL], device="cpu")


def same_heatmap(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two heatmaps are equal within rounding."""
    return torch.allclose(one, other, atol=1e-5)


CROPS = [photo(path, (64 + 8 * n, 64)) for n in range(4) for path in (CAT, COFFEE, ROCKET)][:10]


@pytest.fixture(scope="module")
def site(session):
    """Return the address of a page that is served."""
    with run_server(session, port=free_port()) as address:
        yield address


@pytest.fixture(scope="module")
def client(site, tmp_path_factory):
    """Return a client of the page's API."""
    return connect(site, tmp_path_factory.mktemp("client"))


def connect(site: str, folder: Path) -> Client:
    """Connect a client to the page."""
    return Client(site, download_files=str(folder), analytics_enabled=False, verbose=False)


def upload_file(site: str, path: Path) -> str:
    """Upload a file and return its path on the server."""
    with path.open("rb") as file:
        (there,) = httpx.post(f"{site}gradio_api/upload", files={"files": (path.name, file)}, timeout=60).json()
    return there


def event_number(site: str, name: str) -> int:
    """Return the number of one of the page's events."""
    config = httpx.get(f"{site}config", timeout=60).json()
    return next(one["id"] for one in config["dependencies"] if one["api_name"] == name)


def send_event(site: str, event: int, data: list[object], visitor: str = "s") -> dict[str, object]:
    """Send an event as the page does, with any data, and return the last message."""
    body = {"data": data, "fn_index": event, "session_hash": visitor}
    joined = httpx.post(f"{site}gradio_api/queue/join", json=body, timeout=60)
    joined.raise_for_status()
    with httpx.stream("GET", f"{site}gradio_api/queue/data", params={"session_hash": visitor}, timeout=60) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                return message
    raise AssertionError("the server closed the connection")


@pytest.mark.slow
def test_the_api_returns_facts_and_files(client, session):
    """The heatmap is that of the page's own method for the same image."""
    facts, archive = client.predict(handle_file(CAT), api_name="/explain", target="birch", theta=30.0)
    own = session.explain(photo(), "", model=MODEL, target="birch", theta=30)

    assert facts["image"] == "chelsea.png"
    assert facts["method"] == "fusion-cam(budget=64, theta=30)"
    with zipfile.ZipFile(archive) as files:
        (name,) = (one for one in files.namelist() if one.endswith(".npy"))
        assert same_heatmap(torch.from_numpy(np.load(files.open(name))), own.explanation.heatmap)


@pytest.mark.slow
def test_the_documented_example_runs(site, tmp_path, monkeypatch):
    """Only the address and the image are replaced."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    page = (Path(__file__).parents[2] / "docs" / "app.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    exec(block.replace("http://127.0.0.1:7860", site).replace("cat.jpg", str(CAT)), names)

    assert names["facts"]["method"] == "fusion-cam(budget=64, theta=20)"
    assert zipfile.is_zipfile(names["archive"])


@pytest.mark.slow
def test_the_api_has_one_endpoint(client):
    """The page's own events are private."""
    assert list(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == ["/explain"]


INVALID_BY_API = [
    ({"method": "rise"}, "this page does not offer the method &#x27;rise&#x27;"),
    ({"model": "timm:resnet50"}, "this page does not offer the model &#x27;timm:resnet50&#x27;"),
    ({"layer": "fc"}, "this page does not offer the layer &#x27;fc&#x27;"),
    ({"target": "unicorn"}, "the network has no class &#x27;unicorn&#x27;"),
    ({"theta": 300.0}, "theta must be a percentile"),
    ({"method": {"path": "/etc/passwd"}}, "does not offer the method"),
    ({"target": ["birch"]}, "target must be a class index or a class name"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "message"), INVALID_BY_API, ids=[str(case[0]) for case in INVALID_BY_API])
def test_the_api_reports_invalid_choices(client, capfd, settings, message):
    """The message is escaped, and neither side shows a traceback."""
    with pytest.raises(AppError, match=re.escape(message)):
        client.predict(handle_file(CAT), api_name="/explain", **settings)

    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("path", [__file__, "/etc/passwd", "../../etc/passwd", "{folder}/../../etc/passwd"])
def test_the_server_opens_no_path(site, path, marked):
    """Neither the API nor the page's events open paths, whether or not Gradio recognises them."""
    folder = str(Path(upload_file(site, CAT)).parent)
    image = {"path": path.format(folder=folder)} | ({"meta": {"_type": "gradio.FileData"}} if marked else {})
    ended = send_event(site, event_number(site, "explain"), [image, "", "grad-cam", "", "", -1])

    assert not ended["success"]
    assert "root:" not in json.dumps(ended)
    assert "def test" not in json.dumps(ended)

    ended = send_event(site, event_number(site, "update_choices"), [image, MODEL, None])
    assert not ended["success"] or "must be uploaded" in ended["output"]["data"][0]


@pytest.mark.slow
@pytest.mark.parametrize("address", ["https://example.org/a.png", "http://127.0.0.1:1/a.png", "file:///etc/passwd"])
def test_the_server_fetches_no_address(site, address):
    """Addresses are rejected as images and as paths."""
    image = {"path": address, "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        send_event(site, event_number(site, "update_choices"), [image, MODEL, None])

    assert httpx.get(f"{site}gradio_api/file={address}", timeout=60).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/etc/passwd", __file__, "pyproject.toml", ".git/config"])
def test_the_server_returns_no_file_of_its_own(site, path):
    """This includes the folder in which it was started."""
    assert httpx.get(f"{site}gradio_api/file={path}", timeout=60).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize("place", range(1, 9))
@pytest.mark.parametrize("value", [None, 7, "x", [], {"a": [{"b": 1}]}, "../../etc/passwd"])
def test_events_accept_any_values(site, capfd, place, value):
    """Invalid values are answered by a note, without a traceback."""
    path = {"path": upload_file(site, CAT), "meta": {"_type": "gradio.FileData"}}
    data = [path, MODEL, "act", "fusion-cam", "0", 0.6, "turbo", [], 10]
    data[place] = value
    config = httpx.get(f"{site}config", timeout=60).json()
    own = (one for one in config["dependencies"] if one["api_visibility"] == "private")
    event = next(one["id"] for one in own if len(one["inputs"]) == len(data))
    ended = send_event(site, event, data)

    assert ended["success"]
    fine = (place, value) in ((2, None), (4, None), (7, []), (8, 7), (8, None))
    assert ("fc-note" in ended["output"]["data"][0]) != fine
    assert html.SERVER_ERROR not in ended["output"]["data"][0]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_the_server_rejects_long_requests(site):
    """So are uploads over the limit."""
    long = httpx.post(f"{site}gradio_api/queue/join", json={"data": ["x" * MAX_BODY_BYTES]}, timeout=60)
    large = httpx.post(f"{site}gradio_api/upload", files={"files": ("a.jpg", b"x" * (MAX_BYTES + 1))}, timeout=60)

    assert (long.status_code, large.status_code) == (413, 413)


@pytest.mark.slow
def test_ten_visitors_at_once_get_their_own_heatmaps(site, session, tmp_path):
    """Simultaneous requests are answered one after the other."""

    def visit(number: int) -> tuple[dict[str, object], np.ndarray]:
        path = tmp_path / f"visitor{number}.png"
        CROPS[number].save(path)
        settings = {"target": LABELS[number % 5].split(",")[0], "theta": 10.0 * number}
        facts, archive = connect(site, tmp_path / str(number)).predict(
            handle_file(path), api_name="/explain", **settings
        )
        with zipfile.ZipFile(archive) as files:
            (name,) = (one for one in files.namelist() if one.endswith(".npy"))
            return facts, np.load(files.open(name))

    with ThreadPoolExecutor(10) as crowd:
        answers = list(crowd.map(visit, range(10)))

    for number, (facts, heatmap) in enumerate(answers):
        settings = {"target": LABELS[number % 5], "theta": 10 * number}
        own = session.explain(CROPS[number], "", model=MODEL, **settings).explanation
        assert facts["image"] == f"visitor{number}.png"
        assert facts["label"] == LABELS[number % 5]
        assert same_heatmap(torch.from_numpy(heatmap), own.heatmap)


@pytest.mark.slow
def test_the_page_loads_nothing_from_other_servers(site):
    """Scripts, styles and fonts come from this server."""
    page = httpx.get(site, timeout=60).text
    loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=[\"']([^\"']+)", page)
    theme = httpx.get(f"{site}theme.css", timeout=60).text
    config = httpx.get(f"{site}config", timeout=60).json()

    assert loaded
    assert [one for one in loaded if "//" in one] == []
    assert "url(http" not in theme
    assert "@import" not in theme
    assert [sheet for sheet in config.get("stylesheets") or [] if "//" in sheet] == []


@pytest.mark.slow
def test_uploads_are_deleted_when_the_server_stops(session):
    """Their folder is readable by its owner only."""
    with run_server(session, port=free_port()) as address:
        path = Path(upload_file(address, CAT))
        root = next(one for one in path.parents if one.name.startswith("fusioncam-"))
        assert path.exists()
        assert root.stat().st_mode & 0o077 == 0
    assert not root.exists()


@pytest.mark.slow
def test_a_used_port_is_reported(session):
    """The message says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        page = run_server(session, port=taken.getsockname()[1])
        with pytest.raises(AddressError, match="another --host or --port"):
            page.__enter__()

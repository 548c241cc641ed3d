"""The web page without a browser: what it computes, refuses and says, and how its server answers visitors."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import httpx
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from fusioncam import explain
from fusioncam.app import html, served, session
from fusioncam.app.handlers import SAME, Desk, noted
from fusioncam.app.request_filter import MOST, Door
from fusioncam.app.session import (
    MAX_BYTES,
    MAX_PIXELS,
    OFFERED,
    CachedExplanation,
    CachedMethod,
    Studio,
    open_upload,
    packed,
)
from fusioncam.cli.main import main
from fusioncam.errors import AddressError, ImageError, MethodError, NonFiniteError, TargetError, UnknownNameError
from fusioncam.methods.fusion import FusionCAM
from fusioncam.methods.registry import METHODS
from fusioncam.trust.card import Question, TrustCard
from samples import CAT, COFFEE, LABELS, ROCKET, photo

MODEL = "samples:small"


@pytest.fixture(scope="module")
def small() -> Studio:
    """Offer the small network."""
    return Studio.open([MODEL], device="cpu")


@pytest.fixture(scope="module")
def made(small: Studio) -> CachedExplanation:
    """The cat, explained by the page's own method."""
    return small.explain(photo(), "cat.png", model=MODEL)


@pytest.fixture
def desk(small: Studio, tmp_path: Path) -> Desk:
    """The desk of a page whose visitors have sent nothing yet."""
    return Desk(small, tmp_path)


def sent(folder: Path, image: Image.Image, name: str = "cat.png") -> dict[str, object]:
    """Put an image where Gradio puts what is uploaded, and name it as the page does."""
    image.save(folder / name)
    return {"path": str(folder / name), "meta": {"_type": "gradio.FileData"}}


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Say whether two heatmaps are the same but for rounding."""
    return torch.allclose(one, other, atol=1e-5)


@dataclass(frozen=True, eq=False)
class Counted:
    """A method that counts how often it is asked."""

    method: object
    asked: list[int] = field(default_factory=list)

    def __call__(self, model, x, target):
        """Count, and ask it."""
        self.asked.append(1)
        return self.method(model, x, target)


# -- explaining ------------------------------------------------------------------------------------------------


def test_the_page_gives_what_the_library_gives(small, made):
    """The same heatmap as of the same SPEC, and the same facts."""
    own = explain(photo(), model=small.models[MODEL], method="fusion-cam(budget=64)")

    assert same(made.explanation.heatmap, own.heatmap)
    assert made.explanation.source == "cat.png"
    drop = {"image", "seconds"}
    ours, theirs = ({k: v for k, v in one.facts().items() if k not in drop} for one in (made.explanation, own))
    for facts in (ours, theirs):
        facts |= {"gains": {name: round(gain, 5) for name, gain in facts["gains"].items()}}
    assert ours == theirs


@pytest.mark.parametrize("theta", [0, 10, 55.5, 100])
def test_another_theta_gives_what_asking_anew_gives_and_takes_four_passes(small, made, theta):
    """Denoised and fused again; nothing is masked but for the gains."""
    again = made.at_theta(theta)
    anew = explain(photo(), model=small.models[MODEL], method=again.explanation.method)

    assert again.explanation.method == f"fusion-cam(budget=64, theta={theta:g})"
    assert same(again.explanation.heatmap, anew.heatmap)
    assert again.explanation.gains == pytest.approx(anew.gains, abs=1e-6)
    assert again.explanation.passes == 4
    assert again.theta == theta


def test_partners_are_asked_once(small):
    """Neither map is made again for another theta."""
    counted = Counted(METHODS["grad-cam"]), Counted(METHODS["score-cam"])
    with patch.object(session, "as_method", lambda spec: (spec, FusionCAM(gradient=counted[0], region=counted[1]))):
        one = small.explain(photo(), "cat.png", model=MODEL)
    one.at_theta(30).at_theta(60)

    assert [len(each.asked) for each in counted] == [1, 1]


def test_theta_stays_where_the_visitor_put_it(small):
    """Explained at once with it, as another class or layer is."""
    one = small.explain(photo(), "cat.png", model=MODEL, theta=40)

    assert one.theta == 40
    assert one.explanation.method == "fusion-cam(budget=64, theta=40)"
    assert same(one.explanation.heatmap, small.explain(photo(), "", model=MODEL).at_theta(40).explanation.heatmap)


def test_layers_of_both_signs_get_a_larger_budget(small):
    """A convolution's channels have both, a ReLU's one."""
    assert small.explain(photo(), "", model=MODEL, layer="conv").explanation.method == "fusion-cam(budget=128)"
    assert small.explain(photo(), "", model=MODEL, layer="act").explanation.method == "fusion-cam(budget=64)"


@pytest.mark.parametrize("method", OFFERED)
def test_every_method_on_offer_works(small, method):
    """A map of the right size by each; only fusions have a theta."""
    one = small.explain(photo(), "cat.png", model=MODEL, method=method, target="birch")

    assert one.explanation.heatmap.shape == (32, 32)
    assert one.explanation.class_name == "birch"
    assert (one.theta is not None) == (method == "fusion-cam")


def test_only_a_fusion_has_a_theta(small):
    """Whoever asks it of another method is told."""
    with pytest.raises(MethodError, match="grad-cam has no theta: choose fusion-cam"):
        small.explain(photo(), "cat.png", model=MODEL, method="grad-cam").at_theta(20)


def test_guesses_are_the_most_probable_classes(small):
    """Five at most, in order, by the first of their names."""
    guesses = small.guesses(photo(), MODEL)
    probabilities = [one.probability for one in guesses]

    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    assert {one.name for one in guesses} == {label.split(",")[0] for label in LABELS}
    assert explain(photo(), model=small.models[MODEL]).target == guesses[0].index


def test_layers_begin_with_the_default(small):
    """Then from the last to the first."""
    assert small.layers(MODEL) == ["act", "conv"]


# -- refusing --------------------------------------------------------------------------------------------------

WRONG = [
    ({"model": "timm:resnet50"}, UnknownNameError, "unknown model of this page 'timm:resnet50'"),
    ({"model": "os:getcwd"}, UnknownNameError, "no model of this page"),
    ({"model": {"path": "/etc/passwd"}}, UnknownNameError, "no model of this page"),
    ({"layer": "fc"}, UnknownNameError, "unknown layer of this page 'fc'"),
    ({"layer": ["act"]}, UnknownNameError, "no layer of this page"),
    ({"method": "rise"}, UnknownNameError, "unknown method of this page 'rise'"),
    ({"method": "fusion-cam(budget=9999)"}, UnknownNameError, "no method of this page"),
    ({"method": None}, UnknownNameError, "no method of this page"),
    ({"target": "unicorn"}, TargetError, "no class 'unicorn'"),
    ({"target": 5}, TargetError, "class 5 of 5"),
    ({"target": "top3"}, MethodError, "choose one class"),
    ({"theta": 101}, UnknownNameError, "theta is a percentile"),
    ({"theta": "10"}, UnknownNameError, "theta is a percentile"),
    ({"theta": float("nan")}, UnknownNameError, "theta is a percentile"),
]


@pytest.mark.parametrize(("asked", "kind", "message"), WRONG, ids=[str(case[0]) for case in WRONG])
def test_what_is_not_on_offer_is_refused(small, asked, kind, message):
    """By name, before anything is loaded or run."""
    with pytest.raises(kind, match=re.escape(message)):
        small.explain(photo(), "cat.png", **{"model": MODEL} | asked)


def test_a_wrong_offer_is_told_at_the_start():
    """Not when the first visitor comes."""
    with pytest.raises(UnknownNameError, match="gradcam"):
        Studio.open([MODEL], ["gradcam"])
    with pytest.raises(UnknownNameError, match="no model"):
        Studio.open(["resnet50"])


def test_a_network_that_gives_nan_is_told():
    """It has no most probable class."""
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        Studio.open(["samples:nan"]).guesses(photo(), "samples:nan")


def file_of(path: Path, kind: str) -> Path:
    """Write a file that must not be opened, or cannot be."""
    if kind == "large":
        with path.open("wb") as file:
            file.truncate(MAX_BYTES + 1)
    elif kind == "wide":
        Image.new("1", (MAX_PIXELS // 4000 + 1, 4000)).save(path, "PNG")
    elif kind == "program":  # PIL would have Ghostscript run it
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) print\n")
    elif kind == "torn":
        photo().save(path, "PNG")
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "text":
        path.write_text("I am no image")
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("large", "cat.jpg: over 20 MB, make it smaller first"),
        ("wide", "cat.jpg: it has over 40,000,000 pixels: resize it first"),
        ("program", "cat.jpg: not an image in a known format"),
        ("torn", "cat.jpg: damaged or truncated"),
        ("text", "cat.jpg: not an image in a known format (15 bytes)"),
        ("empty", "cat.jpg: the file is empty"),
        ("gone", "cat.jpg: no longer here, choose the image again"),
    ],
)
def test_bad_files_are_told_by_their_name_alone(tmp_path, kind, message):
    """Where the server keeps them is nobody's business."""
    path = tmp_path / "cat.jpg"
    if kind == "empty":
        path.touch()
    else:
        file_of(path, kind)

    with pytest.raises(ImageError) as told:
        open_upload(path)

    assert str(told.value).startswith(message)
    assert str(tmp_path) not in str(told.value)


def test_pixels_are_counted_before_they_are_decoded(tmp_path):
    """A small file may hold a huge image."""
    with patch("PIL.ImageFile.ImageFile.load", side_effect=AssertionError("decoded")), pytest.raises(ImageError):
        open_upload(file_of(tmp_path / "bomb.png", "wide"))


@pytest.mark.parametrize(
    "form", ["/etc/hostname", "relative", "above", "link", "folder", "text", "address", "list", "nul", "long"]
)
def test_no_path_of_the_server_is_opened(desk, tmp_path, form):
    """Only what was uploaded, however the path is written."""
    outside = tmp_path.parent / f"{tmp_path.name}-secret.png"
    photo().save(outside)
    (tmp_path / "link.png").symlink_to(outside)
    forms = {
        "relative": {"path": os.path.relpath(outside)},
        "above": {"path": f"{tmp_path}/../{outside.name}"},
        "link": {"path": f"{tmp_path}/link.png"},
        "folder": {"path": str(tmp_path)},
        "text": str(outside),
        "address": {"path": "https://example.org/cat.png"},
        "list": [{"path": str(outside)}],
        "nul": {"path": f"{tmp_path}/a\0b"},
        "long": {"path": f"{tmp_path}/{'a' * 5000}"},
    }

    with pytest.raises(ImageError, match=r"must be uploaded|a folder|no longer here"):
        desk.explain(forms.get(form, {"path": form}), MODEL, "act", "grad-cam", None)


# -- what the page says ----------------------------------------------------------------------------------------


def test_answers_fill_the_page(desk, tmp_path):
    """Classes and layers, then the heatmap with its facts, a theta, and a card that is to come."""
    image = sent(tmp_path, photo())
    classes, layers = desk.look(image, MODEL)
    overlay, facts, card, theta, made, *_ = desk.explain(image, MODEL, "act", "fusion-cam", classes["value"])

    assert [value for _, value in classes["choices"]] == [
        str(one.index) for one in desk.studio.guesses(photo(), MODEL)
    ]
    assert layers["choices"] == [("act (default)", "act"), "conv"]
    assert overlay.size == made.explanation.image.size
    assert "fusion-cam(budget=64)" in facts
    assert "Measuring" in card
    assert theta["value"] == 10
    assert theta["visible"]


def test_a_card_is_of_the_map_that_is_shown(desk, small):
    """It is measured once, kept with its map, and not shown beside another."""
    made = small.explain(photo(), "cat.png", model=MODEL)
    before = desk.present(made, "old")
    desk.check(made)
    card = made.explanation.card
    desk.check(made)

    assert before == "old"
    assert made.explanation.card is card
    assert "How far to trust it" in desk.present(made, "old")
    assert desk.present(made.at_theta(70), "old") == "old"
    assert (desk.check(None), desk.present(None, "old")) == (None, "old")


@pytest.mark.parametrize("theta", [10, 60])
def test_a_card_is_what_checking_the_same_method_gives(small, theta):
    """What is kept is kept for one question alone: other images and networks get maps of their own."""
    made = small.explain(photo(), "cat.png", model=MODEL).at_theta(theta)
    own = explain(photo(), model=small.models[MODEL], method=made.explanation.method)
    ours, theirs = made.explanation.check(), own.check()

    assert [one.level for one in ours.questions] == [one.level for one in theirs.questions]
    for one, other in zip(ours.questions, theirs.questions, strict=True):
        assert one.figures == pytest.approx(other.figures, abs=1e-4)
    assert made.at_theta(20).explanation.passes == 4


def test_the_same_theta_changes_nothing(desk, made):
    """So that a card which is being measured stays that of the map."""
    assert desk.fuse(made, 10) is None
    assert desk.fuse(made, 30)[-1].theta == 30


def test_nothing_is_asked_of_no_image(desk):
    """Of an empty page nothing is shown, and touching it does no harm."""
    assert desk.look(None, MODEL)[0]["choices"] == []
    assert desk.explain(None, MODEL, "act", "fusion-cam", None)[0] is None
    with pytest.raises(ImageError, match="no longer here"):
        desk.fuse(None, 10)
    assert [note for note, *_ in desk.compare(None, ["grad-cam"])] == [
        html.note("Drop an image, and choose the methods that are to be compared.")
    ]
    with pytest.raises(UnknownNameError, match="nothing to download"):
        desk.pack(None, ())


def test_methods_side_by_side_come_one_by_one(desk, small):
    """Of the same class; one that fails is told and does not stop the others, and the map that is there stays."""
    made = small.explain(photo(), "cat.png", model=MODEL, target="birch", theta=30)
    steps = list(desk.compare(made, ["fusion-cam", "rise", "layer-cam"]))
    own = explain(photo(), model=small.models[MODEL], method="layer-cam", target="birch")

    first = "fusion-cam(budget=64, theta=30)"
    assert [[name for _, name in shown] for _, shown, _ in steps] == [[first], [first], [first, "layer-cam"]]
    assert "rise" in steps[-1][0]
    assert steps[-1][2][0] is made.explanation
    assert same(steps[-1][2][1].heatmap, own.heatmap)
    assert steps[-1][2][1].class_name == "birch"


def test_wrong_requests_become_notes(capsys):
    """What the library refuses is told; what breaks is kept for the server's log."""

    def wrong():
        raise TargetError("<b>class</b> 7 of 5")

    def broken():
        raise KeyError("secret")

    told, *rest = noted(wrong, SAME)()
    assert told == html.note("<b>class</b> 7 of 5")
    assert "<b>" not in told
    assert len(rest) == len(SAME)
    assert capsys.readouterr().err == ""

    told, *_ = noted(broken, SAME)()
    assert "secret" not in told
    assert "KeyError: 'secret'" in capsys.readouterr().err


def test_names_stay_text(tmp_path):
    """Of files, classes and methods: what looks like markup is shown, not obeyed."""
    name = "samples:marked"
    odd = Studio.open([name], ["grad-cam", "fusion-cam"])
    one = odd.explain(photo(), "<script>.png", model=name)
    card = TrustCard("<i>", "<b>words</b>", (Question("<b>", "<b>", "<b>", "<b>", {"<b>": 1.0}),), 1.0, 3, 0)

    for text in (html.facts(one), html.card(card), html.note("<script>")):
        assert not re.search(r"<(script|i>|b>)", text.replace("<i></i>", ""))


def test_a_zip_holds_all_that_was_made(small):
    """For each map the overlay, the numbers and the facts, with the card if there is one."""
    made = small.explain(photo(), "cat.png", model=MODEL)
    card = made.explanation.check()
    archive = zipfile.ZipFile(io.BytesIO(packed([made.explanation, made.at_theta(50).explanation])))
    stems = ("cat.fusion-cam_budget=64", "cat.fusion-cam_budget=64_theta=50")
    facts, other = (json.loads(archive.read(f"{stem}.json")) for stem in stems)

    assert set(archive.namelist()) == {f"{stem}.{end}" for stem in stems for end in ("png", "npy", "json")}
    assert np.array_equal(np.load(archive.open(f"{stems[0]}.npy")), made.explanation.heatmap.numpy())
    assert facts["gains"] == made.explanation.gains
    assert facts["check"]["words"] == card.words
    assert "check" not in other
    assert Image.open(archive.open(f"{stems[1]}.png")).size == made.explanation.image.size


def test_what_is_kept_is_the_first_answer(small):
    """For the same question; any other goes to the method."""
    counted = Counted(METHODS["grad-cam"])
    kept, model = CachedMethod(counted), small.models[MODEL]
    x = model.preprocessing(photo())[None]
    first = kept(model, x, 1)

    assert kept(model, x.clone(), torch.tensor([1])) is first
    assert not same(kept(model, x, 2), first)
    assert not same(kept(model, x.flip(3), 1), first)
    assert not same(kept(model.with_layer("conv"), x, 1), first)
    assert kept(model, x, 1) is first
    assert (len(counted.asked), len(kept.first)) == (4, 1)
    assert replace(kept, method=METHODS["grad-cam"]).first == []


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "resnet50"], "unknown model 'resnet50'"),
        (["--model", MODEL, "-m", "gradcam"], "unknown method 'gradcam'"),
    ],
)
def test_a_wrong_command_is_told(monkeypatch, capsys, words, message):
    """With exit code 2, and nothing is served."""
    monkeypatch.setattr(sys, "argv", ["fusioncam", "app", *words])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_without_gradio_the_command_says_what_to_install(monkeypatch, capsys):
    """It is an extra."""
    for name in [name for name in sys.modules if name.startswith("fusioncam.app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr(sys, "argv", ["fusioncam", "app"])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert capsys.readouterr().err == 'error: web pages need gradio: pip install "fusioncam[app]"\n'


# -- the door --------------------------------------------------------------------------------------------------


async def echo(request) -> PlainTextResponse:
    """Give back what came."""
    return PlainTextResponse(await request.body())


DOOR = TestClient(Door(Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])))


@pytest.mark.parametrize(
    "body",
    [
        {"data": [{"path": "https://example.org/cat.png"}]},
        {"data": [[{"a": {"b": [{"path": "file:///etc/passwd"}]}}]]},
    ],
)
def test_the_door_lets_no_address_in(body):
    """However deep it lies."""
    answer = DOOR.post("/gradio_api/queue/join", json=body)

    assert answer.status_code == 403
    assert "addresses are not fetched" in answer.text


@pytest.mark.parametrize(
    "path", ["file=https://example.org/a.png", "file=HTTP://10.0.0.1/", "proxy=https://a.hf.space/x"]
)
def test_the_door_fetches_nothing(path):
    """Gradio would hand on what is elsewhere."""
    assert DOOR.get(f"/gradio_api/{path}").status_code == 403


def test_the_door_refuses_what_is_long_or_deep():
    """Images are uploaded, and have a limit of their own."""
    assert DOOR.post("/gradio_api/queue/join", content=b"x" * (MOST + 1)).status_code == 413
    assert DOOR.post("/gradio_api/queue/join", content=b"[" * 100_000).status_code == 400


@pytest.mark.parametrize("body", [b"", b"no JSON", b'{"data": [{"path": "/tmp/x", "url": "http://127.0.0.1/x"}]}'])
def test_the_door_hands_on_the_rest_as_it_came(body):
    """The body too, which it has read."""
    assert DOOR.post("/gradio_api/queue/join", content=body).content == body
    assert DOOR.post("/gradio_api/upload", content=body * 100_000).content == body * 100_000
    assert DOOR.get("/gradio_api/file=/tmp/cat.png").status_code == 200


# -- the server ------------------------------------------------------------------------------------------------

CROPS = [photo(path, (64 + 8 * n, 64)) for n in range(4) for path in (CAT, COFFEE, ROCKET)][:10]


@pytest.fixture(scope="module")
def site(small):
    """The address of a page that is served."""
    with served(small) as address:
        yield address


@pytest.fixture(scope="module")
def client(site, tmp_path_factory):
    """Somebody who calls the page by its API."""
    return caller(site, tmp_path_factory.mktemp("client"))


def caller(site: str, folder: Path) -> Client:
    """Connect to the page."""
    return Client(site, download_files=str(folder), analytics_enabled=False, verbose=False)


def uploaded(site: str, path: Path) -> str:
    """Upload an image and give its path there."""
    with path.open("rb") as file:
        (there,) = httpx.post(f"{site}gradio_api/upload", files={"files": (path.name, file)}, timeout=60).json()
    return there


def event_of(site: str, name: str) -> int:
    """Give the number by which the page itself asks for something."""
    config = httpx.get(f"{site}config", timeout=60).json()
    return next(one["id"] for one in config["dependencies"] if one["api_name"] == name)


def asked(site: str, event: int, data: list[object], session: str = "s") -> dict[str, object]:
    """Ask as the page does, but with anything, and give how it ended."""
    body = {"data": data, "fn_index": event, "session_hash": session}
    joined = httpx.post(f"{site}gradio_api/queue/join", json=body, timeout=60)
    joined.raise_for_status()
    with httpx.stream("GET", f"{site}gradio_api/queue/data", params={"session_hash": session}, timeout=60) as stream:
        for line in stream.iter_lines():
            told = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if told.get("msg") == "process_completed":
                return told
    raise AssertionError("the server closed the connection")


@pytest.mark.slow
def test_the_api_gives_facts_and_files(client, small):
    """What the page's own method gives of the same image."""
    facts, archive = client.predict(handle_file(CAT), api_name="/explain", target="birch", theta=30.0)
    own = small.explain(photo(), "", model=MODEL, target="birch", theta=30)

    assert facts["image"] == "chelsea.png"
    assert facts["method"] == "fusion-cam(budget=64, theta=30)"
    with zipfile.ZipFile(archive) as files:
        (name,) = (one for one in files.namelist() if one.endswith(".npy"))
        assert same(torch.from_numpy(np.load(files.open(name))), own.explanation.heatmap)


@pytest.mark.slow
def test_the_page_of_the_documentation_shows_what_runs(site, tmp_path, monkeypatch):
    """Its lines as they stand there, but for the address and the image."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    page = (Path(__file__).parents[2] / "docs" / "app.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    exec(block.replace("http://127.0.0.1:7860", site).replace("cat.jpg", str(CAT)), names)

    assert names["facts"]["method"] == "fusion-cam(budget=64, theta=20)"
    assert zipfile.is_zipfile(names["archive"])


@pytest.mark.slow
def test_the_api_offers_nothing_else(client):
    """What the page asks for itself is not for programs."""
    assert list(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == ["/explain"]


REFUSED = [
    ({"method": "rise"}, "unknown method of this page &#x27;rise&#x27;"),
    ({"model": "timm:resnet50"}, "unknown model of this page &#x27;timm:resnet50&#x27;"),
    ({"layer": "fc"}, "unknown layer of this page &#x27;fc&#x27;"),
    ({"target": "unicorn"}, "&#x27;unicorn&#x27; is no class"),
    ({"theta": 300.0}, "theta is a percentile"),
    ({"method": {"path": "/etc/passwd"}}, "no method of this page"),
    ({"target": ["birch"]}, "a class is an index or a name"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("wish", "message"), REFUSED, ids=[str(case[0]) for case in REFUSED])
def test_the_api_refuses_what_is_not_on_offer(client, capfd, wish, message):
    """In words, escaped, and without a traceback on either side."""
    with pytest.raises(AppError, match=re.escape(message)):
        client.predict(handle_file(CAT), api_name="/explain", **wish)

    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("path", [__file__, "/etc/passwd", "../../etc/passwd", "{folder}/../../etc/passwd"])
def test_the_server_opens_no_path_that_is_sent(site, path, marked):
    """By the API and by the page's own requests, whether Gradio knows the path for one or not."""
    folder = str(Path(uploaded(site, CAT)).parent)
    image = {"path": path.format(folder=folder)} | ({"meta": {"_type": "gradio.FileData"}} if marked else {})
    ended = asked(site, event_of(site, "explain"), [image, "", "grad-cam", "", "", -1])

    assert not ended["success"]
    assert "root:" not in json.dumps(ended)
    assert "def test" not in json.dumps(ended)

    ended = asked(site, event_of(site, "look"), [image, MODEL])
    assert not ended["success"] or "must be uploaded" in ended["output"]["data"][0]


@pytest.mark.slow
@pytest.mark.parametrize("address", ["https://example.org/a.png", "http://127.0.0.1:1/a.png", "file:///etc/passwd"])
def test_the_server_fetches_no_address(site, address):
    """Not as an image, and not for whoever asks for it."""
    image = {"path": address, "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        asked(site, event_of(site, "look"), [image, MODEL])

    assert httpx.get(f"{site}gradio_api/file={address}", timeout=60).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/etc/passwd", __file__, "pyproject.toml", ".git/config"])
def test_the_server_hands_out_no_file_of_its_own(site, path):
    """Not even from the folder in which it was started."""
    assert httpx.get(f"{site}gradio_api/file={path}", timeout=60).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize("place", range(1, 6))
@pytest.mark.parametrize("value", [None, 7, "x", [], {"a": [{"b": 1}]}, "../../etc/passwd"])
def test_the_page_itself_may_be_asked_anything(site, capfd, place, value):
    """Its events take whatever comes, and answer in words."""
    path = {"path": uploaded(site, CAT), "meta": {"_type": "gradio.FileData"}}
    data = [path, MODEL, "act", "fusion-cam", "0", 10]
    data[place] = value
    config = httpx.get(f"{site}config", timeout=60).json()
    own = (one for one in config["dependencies"] if one["api_visibility"] == "private")
    event = next(one["id"] for one in own if len(one["inputs"]) == 6)
    ended = asked(site, event, data)

    assert ended["success"]
    fine = (place, value) in ((2, None), (4, None), (5, 7), (5, None))
    assert ("fc-note" in ended["output"]["data"][0]) != fine
    assert html.BROKEN not in ended["output"]["data"][0]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_long_requests_are_refused(site):
    """As uploads over the limit are."""
    long = httpx.post(f"{site}gradio_api/queue/join", json={"data": ["x" * MOST]}, timeout=60)
    large = httpx.post(f"{site}gradio_api/upload", files={"files": ("a.jpg", b"x" * (MAX_BYTES + 1))}, timeout=60)

    assert (long.status_code, large.status_code) == (413, 413)


@pytest.mark.slow
def test_ten_visitors_at_once_each_get_their_own_answer(site, small, tmp_path):
    """Who comes together is answered one after the other, and never with another's map."""

    def visit(number: int) -> tuple[dict[str, object], np.ndarray]:
        path = tmp_path / f"visitor{number}.png"
        CROPS[number].save(path)
        wish = {"target": LABELS[number % 5].split(",")[0], "theta": 10.0 * number}
        facts, archive = caller(site, tmp_path / str(number)).predict(handle_file(path), api_name="/explain", **wish)
        with zipfile.ZipFile(archive) as files:
            (name,) = (one for one in files.namelist() if one.endswith(".npy"))
            return facts, np.load(files.open(name))

    with ThreadPoolExecutor(10) as crowd:
        answers = list(crowd.map(visit, range(10)))

    for number, (facts, heatmap) in enumerate(answers):
        wish = {"target": LABELS[number % 5], "theta": 10 * number}
        own = small.explain(CROPS[number], "", model=MODEL, **wish).explanation
        assert facts["image"] == f"visitor{number}.png"
        assert facts["label"] == LABELS[number % 5]
        assert same(torch.from_numpy(heatmap), own.heatmap)


@pytest.mark.slow
def test_the_page_names_nothing_from_elsewhere(site):
    """No script, no style, no font: whatever is loaded comes from this server."""
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
def test_what_was_sent_is_gone_when_the_server_ends(small):
    """It lay in a folder that nobody else may look into."""
    with served(small) as address:
        path = Path(uploaded(address, CAT))
        root = next(one for one in path.parents if one.name.startswith("fusioncam-"))
        assert path.exists()
        assert root.stat().st_mode & 0o077 == 0
    assert not root.exists()


@pytest.mark.slow
def test_a_port_that_is_taken_is_told(small):
    """Which one, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        page = served(small, port=taken.getsockname()[1])
        with pytest.raises(AddressError, match="another --host or --port"):
            page.__enter__()


@pytest.mark.slow
def test_the_command_serves_until_it_is_stopped(tmp_path):
    """At this machine's own address alone; Ctrl-C is its regular end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("fusioncam")
    command = [str(program)] if program.exists() else [sys.executable, "-c", "from fusioncam.cli import main; main()"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which background jobs of a shell ignore
    try:
        server = subprocess.Popen(
            [*command, "app", "--model", MODEL, "--port", str(port)],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        assert server.stdout.readline() == f"fusioncam app: http://127.0.0.1:{port}/ (Ctrl-C ends it)\n"
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=60).status_code == 200
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=60)
    finally:
        server.kill()
    assert (server.returncode, out) == (0, "ended\n")
    assert "Traceback" not in err

"""The camera of the page: what is decoded, explained and refused, and that nothing is kept."""

from __future__ import annotations

import base64
import io

import gradio as gr
import pytest
import torch
from PIL import Image

from fusioncam.app import html
from fusioncam.app.camera import CameraHandler, decode
from fusioncam.app.session import RunningMean, Session
from fusioncam.errors import ImageError
from samples import CAT, COFFEE, photo

MODEL, OTHER = "samples:small", "samples:alike"


@pytest.fixture(scope="module")
def session() -> Session:
    """Open a session of two small networks."""
    return Session.open([MODEL, OTHER], device="cpu")


def sent(image: Image.Image | bytes, kind: str = "jpeg") -> dict[str, object]:
    """Return a frame as browsers send it."""
    if isinstance(image, Image.Image):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        image = buffer.getvalue()
    return {"path": None, "url": f"data:image/{kind};base64,{base64.b64encode(image).decode()}"}


def test_a_frame_is_explained(session):
    """The view has the overlay as data and the facts; the class is the most probable one."""
    view, mean = CameraHandler(session).explain_frame(sent(photo(size=(64, 48))), MODEL, "fusion-cam", None)
    predicted = session.predict_classes(decode(sent(photo(size=(64, 48)))), MODEL)[0]

    assert '<img class="fc-frame" src="data:image/jpeg;base64,' in view
    assert f"<strong>{predicted.name}</strong>" in view
    assert "fusion-cam(budget=16)" in view
    assert mean.probabilities[predicted.index] == pytest.approx(predicted.probability, abs=1e-5)


def test_the_class_follows_the_mean_of_the_last_frames(session):
    """One frame of another class does not change it; another network starts again."""
    handler, state = CameraHandler(session), None
    for _ in range(3):
        _, state = handler.explain_frame(sent(photo(CAT, (64, 48))), MODEL, "grad-cam", state)
    before = state.probabilities
    _, state = handler.explain_frame(sent(photo(COFFEE, (64, 48))), MODEL, "grad-cam", state)
    (now,) = {one for one in [RunningMean.after(None, MODEL, before)] if one}
    assert now.probabilities is before
    assert torch.allclose(state.probabilities.sum(), torch.tensor(1.0), atol=1e-5)
    assert not torch.equal(state.probabilities, before)
    _, other = handler.explain_frame(sent(photo(COFFEE, (64, 48))), OTHER, "grad-cam", state)
    assert other.model == OTHER
    assert RunningMean.after(state, OTHER, before).probabilities is before
    assert torch.allclose(
        RunningMean.after(state, MODEL, before).probabilities, 0.7 * state.probabilities + 0.3 * before
    )


@pytest.mark.parametrize(
    "frame",
    [
        7,
        "x",
        [],
        {},
        {"url": None},
        {"url": 5},
        {"path": "/etc/passwd"},
        {"url": "/etc/passwd"},
        {"url": "file:///etc/passwd"},
        {"url": "https://example.org/cat.png"},
        {"url": "data:text/html;base64,AAAA"},
        {"url": "data:image/svg+xml;base64,AAAA"},
        {"url": "data:image/jpeg;base64,"},
        {"url": "data:image/jpeg;base64,A"},
        {"url": "data:image/jpeg;base64,AAAA"},
        sent(CAT.read_bytes()[:2000], "png"),
        sent(b"not an image"),
    ],
    ids=str,
)
def test_anything_else_is_refused(frame, session, capsys):
    """The note says what is wrong, and nothing else changes."""
    with pytest.raises(ImageError):
        decode(frame)
    view, state = CameraHandler(session).explain_frame(frame, MODEL, "grad-cam", None)
    assert "fc-note" in view
    assert html.SERVER_ERROR not in view
    assert state == gr.skip()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "values", [("no", "grad-cam", None), (MODEL, "rise", None), (None, 3, None), (MODEL, ["grad-cam"], 5)]
)
def test_only_what_is_offered_is_used(values, session):
    """Names are looked up, never loaded, and foreign states are ignored."""
    view, _ = CameraHandler(session).explain_frame(sent(photo(size=(64, 48))), *values)
    assert "this page does not offer the" in view


def test_large_frames_are_refused(session):
    """A small file may contain a huge image."""
    with pytest.raises(ImageError, match="over 2,000,000 pixels"):
        decode(sent(Image.new("L", (2001, 1000)), "png"))


def test_an_ended_stream_changes_nothing(session):
    """Browsers send no image at the end."""
    assert CameraHandler(session).explain_frame(None, MODEL, "grad-cam", None) == (gr.skip(), gr.skip())

"""Handlers of the page's events: what they show, reject and escape."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from fusioncam import explain
from fusioncam.app import html
from fusioncam.app.cached_explanation import CachedExplanation
from fusioncam.app.files import store_image, thumbnail
from fusioncam.app.handlers import UNCHANGED, PageHandlers, no_choices
from fusioncam.app.messages import with_error_note
from fusioncam.app.session import Session
from fusioncam.errors import ImageError, LayerError, TargetError
from fusioncam.trust.card import Question, TrustCard
from samples import photo

MODEL = "samples:small"


@pytest.fixture(scope="module")
def session() -> Session:
    """Open a session of the small network."""
    return Session.open([MODEL], device="cpu")


@pytest.fixture(scope="module")
def explained(session: Session) -> CachedExplanation:
    """Explain the cat by the page's default method."""
    return session.explain(photo(), "cat.png", model=MODEL)


@pytest.fixture
def handlers(session: Session, tmp_path: Path, monkeypatch) -> PageHandlers:
    """Return the handlers of a page without uploads."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return PageHandlers(session, tmp_path)


def upload(folder: Path, image: Image.Image, name: str = "cat.png") -> dict[str, object]:
    """Store an image where Gradio stores uploads, and refer to it as the page does."""
    image.save(folder / name)
    return {"path": str(folder / name), "meta": {"_type": "gradio.FileData"}}


def same_heatmap(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two heatmaps are equal within rounding."""
    return torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    "form", ["/etc/hostname", "relative", "above", "link", "folder", "text", "address", "list", "nul", "long"]
)
def test_only_uploads_are_opened(handlers, tmp_path, form):
    """No other path is opened, however it is written."""
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

    with pytest.raises(ImageError, match=r"must be uploaded|a folder|was deleted"):
        handlers.explain(forms.get(form, {"path": form}), MODEL, "act", "grad-cam", None)


def test_handlers_fill_the_page(handlers, tmp_path):
    """Classes and layers come first, then the heatmap with facts, theta and a placeholder of the card."""
    image = upload(tmp_path, photo())
    classes, layers, _ = handlers.update_choices(image, MODEL)
    overlay, facts, card, theta, *_ = handlers.explain(image, MODEL, "act", "fusion-cam", classes["value"])

    assert [value for _, value in classes["choices"]] == [
        str(one.index) for one in handlers.session.predict_classes(photo(), MODEL)
    ]
    assert [value for _, value in layers["choices"]] == ["act", "conv"]
    assert re.fullmatch(r"act, \d+ x \d+ \(default\)", layers["choices"][0][0])
    assert Image.open(overlay).convert("RGB").size == photo().size
    assert "fusion-cam(budget=64)" in facts
    assert "Measuring" in card
    assert theta["value"] == 10
    assert theta["visible"]


def test_a_card_belongs_to_the_heatmap_that_is_shown(handlers, session):
    """The card is measured once, kept with its explanation, and not shown for another."""
    explained = session.explain(photo(), "cat.png", model=MODEL)
    before = handlers.show_card(explained)
    handlers.check(explained)
    card = explained.explanation.card
    handlers.check(explained)

    assert before == gr.skip()
    assert explained.explanation.card is card
    assert "How far to trust it" in handlers.show_card(explained)
    assert handlers.show_card(explained.at_theta(70)) == gr.skip()
    assert (handlers.check(None), handlers.show_card(None)) == (None, gr.skip())


def test_the_same_theta_changes_nothing(handlers, explained):
    """A card that is being measured stays valid."""
    assert handlers.change_theta(explained, 10) is None
    assert handlers.change_theta(explained, 30)[-1].theta == 30


def test_an_empty_page_does_nothing(handlers):
    """Without an image, events show nothing or a note."""
    assert handlers.update_choices(None, MODEL)[0]["choices"] == []
    assert handlers.explain(None, MODEL, "act", "fusion-cam", None)[0] is None
    with pytest.raises(ImageError, match="has expired"):
        handlers.change_theta(None, 10)
    assert [note for note, *_ in handlers.compare(None, ["grad-cam"])] == [
        html.note("Drop an image, and choose the methods to compare.")
    ]
    with pytest.raises(ImageError, match="no heatmap to download"):
        handlers.pack(None, ())


def test_compare_yields_methods_one_by_one(handlers, session):
    """A method that fails is reported and does not stop the others; the current explanation is reused."""
    explained = session.explain(photo(), "cat.png", model=MODEL, target="birch", theta=30)
    steps = list(handlers.compare(explained, ["fusion-cam", "rise", "layer-cam"]))
    own = explain(photo(), model=session.models[MODEL], method="layer-cam", target="birch")

    first = "fusion-cam(budget=64, theta=30)"
    assert [[name for _, name in gallery] for _, gallery, _ in steps] == [[first], [first], [first, "layer-cam"]]
    assert "rise" in steps[-1][0]
    assert steps[-1][2][0] is explained.explanation
    assert same_heatmap(steps[-1][2][1].heatmap, own.heatmap)
    assert steps[-1][2][1].class_name == "birch"


def test_comparison_and_download_are_drawn_as_chosen(handlers, session):
    """In the opacity, colours and drawing of the page."""
    explained, style = session.explain(photo(), "cat.png", model=MODEL, method="grad-cam"), (1, "magma", ["boxes"])
    (_, ((path, _),), compared), *_ = handlers.compare(explained, ["grad-cam"], *style)
    (packed,) = handlers.pack(explained, compared, *style)
    overlay = explained.explanation.overlay(1, colormap="magma", fade=False, boxes=True)

    with zipfile.ZipFile(packed) as archive:
        drawn = Image.open(archive.open("cat.grad-cam.png")).convert("RGB")
    assert np.array_equal(np.asarray(drawn), np.asarray(overlay))
    assert path == store_image(thumbnail(overlay, 512))


def test_errors_become_notes(capsys):
    """Errors of the library are shown; others are written to the log of the server."""

    def invalid():
        raise TargetError("<b>class</b> 7 of 5")

    def broken():
        raise KeyError("secret")

    note, *rest = with_error_note(invalid, UNCHANGED)()
    assert note == html.note("<b>class</b> 7 of 5")
    assert "<b>" not in note
    assert len(rest) == len(UNCHANGED)
    assert capsys.readouterr().err == ""

    note, *_ = with_error_note(broken, UNCHANGED)()
    assert "secret" not in note
    assert "KeyError: 'secret'" in capsys.readouterr().err


def test_names_are_escaped(tmp_path):
    """Markup in the names of files, classes and methods is shown as text."""
    name = "samples:marked"
    marked = Session.open([name], ["grad-cam", "fusion-cam"])
    explained = marked.explain(photo(), "<script>.png", model=name)
    card = TrustCard("<i>", "<b>words</b>", (Question("<b>", "<b>", "<b>", "<b>", {"<b>": 1.0}),), 1.0, 3, 0)

    for text in (html.facts(explained), html.card(card), html.note("<script>")):
        assert not re.search(r"<(script|i>|b>)", text.replace("<i></i>", ""))


def test_a_handler_with_the_note_as_its_only_output_returns_no_tuple():
    """Gradio shows a tuple of one as its text, which would replace the message of an earlier error."""
    assert with_error_note(lambda: None, ())() == gr.skip()
    assert with_error_note(lambda explained: (), ())("explained") == ""
    assert "no heatmap" in with_error_note(raising(ImageError("no heatmap")), ())()


def test_an_image_that_cannot_be_opened_is_removed_and_its_message_stays():
    """The events that follow have no image: they hide the results and leave the note."""
    note, _, _, image = with_error_note(raising(ImageError("damaged")), no_choices)()
    assert "damaged" in note
    assert image is None
    note, *_ = with_error_note(lambda image: ("",), no_choices)(None)
    assert note == gr.skip()
    *_, image = with_error_note(raising(LayerError("no maps")), no_choices)()
    assert image == gr.skip()


def raising(error):
    """Return a handler that raises an error."""

    def handler():
        raise error

    return handler

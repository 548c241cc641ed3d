"""The gallery of the layers by stage: whose heatmaps it shows, and which layer a click chooses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from fusioncam import explain
from fusioncam.app.session import Session
from fusioncam.app.stages import StageHandlers, choose_stage, select_stage
from fusioncam.errors import ImageError, MethodError
from samples import photo

MODEL, OTHER = "samples:staged", "samples:small"


@pytest.fixture(scope="module")
def session() -> Session:
    """Open a session of a network with maps of two sizes, and one with maps of one size."""
    return Session.open([MODEL, OTHER], device="cpu")


@pytest.fixture
def handlers(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StageHandlers:
    """Return the handlers of a page whose files are in a temporary folder."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return StageHandlers(session)


def test_each_stage_is_drawn_once(handlers, session):
    """The default layer comes first; the layer of the page's heatmap has the frame."""
    explained = session.explain(photo(), "cat.png", model=MODEL, layer="early", method="grad-cam", target="birch")
    gallery, layers = handlers.draw(explained)

    assert layers == ("act", "early")
    assert [name for _, name in gallery["value"]] == ["8 x 8", "32 x 32"]
    assert (gallery["visible"], gallery["selected_index"]) == (True, 1)
    paths = [path for path, _ in gallery["value"]]
    assert paths[0] != paths[1]
    for path in paths:
        with Image.open(path) as image:
            assert max(image.size) == 160


@pytest.mark.parametrize("layer", ["act", "early"])
def test_the_heatmap_of_a_stage_is_that_of_layer_cam(session, layer):
    """It is of the class of the page's heatmap, whatever its layer and method."""
    explained = session.explain(photo(), "cat.png", model=MODEL, layer="early", method="grad-cam", target="birch")
    own = explain(photo(), model=session.models[MODEL], layer=layer, method="layer-cam", target="birch")
    assert torch.allclose(session.stage_heatmap(explained, layer), own.heatmap, atol=1e-5)


def test_one_stage_is_no_choice(handlers, session):
    """Nor is a page without an image."""
    explained = session.explain(photo(), "cat.png", model=OTHER, method="grad-cam")
    for gallery, layers in (handlers.draw(explained), handlers.draw(None)):
        assert gallery["visible"] is False
        assert layers == ()


def test_a_layer_without_gradients_is_left_out(handlers, session, monkeypatch):
    """The list of layers still offers it."""

    def heatmap(self, explained, layer):
        if layer == "early":
            raise MethodError("no gradients")
        return explained.explanation.heatmap

    monkeypatch.setattr(Session, "stage_heatmap", heatmap)
    explained = session.explain(photo(), "cat.png", model=MODEL, method="grad-cam")
    assert handlers.draw(explained)[1] == ()


def test_the_frame_follows_the_list_of_layers():
    """A layer that is the last of no size has no frame."""
    assert select_stage(("b", "a"), "a")["selected_index"] == 1
    assert select_stage(("b", "a"), "c")["selected_index"] is None


@pytest.mark.parametrize("index", [-1, 2, None, "0"])
def test_a_click_chooses_a_layer_of_the_gallery_only(index):
    """A browser may send anything."""
    assert choose_stage(("b", "a"), SimpleNamespace(index=1)) == "a"
    with pytest.raises(ImageError, match="has expired"):
        choose_stage(("b", "a"), SimpleNamespace(index=index))

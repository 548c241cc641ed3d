"""How the page shows a heatmap, what a place matters, and the link that holds what was chosen."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from unittest.mock import patch

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from fusioncam.app import html
from fusioncam.app.display import DEFAULT_DRAWN, WIPE, probe, restyle, show_view
from fusioncam.app.files import store_image
from fusioncam.app.handlers import PageHandlers, supersede
from fusioncam.app.link import EXAMPLES, Link, store_examples
from fusioncam.app.session import Session
from fusioncam.errors import ImageError, SettingError, ShapeError
from fusioncam.explanations.region_effect import disc, region_effect
from samples import photo

MODEL = "samples:small"


@pytest.fixture(autouse=True)
def server_folder(monkeypatch, tmp_path_factory):
    """Let the images that are shown be stored in a temporary folder."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("shown")))


@pytest.fixture(scope="module")
def session():
    """Open a session of the small network."""
    return Session.open([MODEL], device="cpu")


@pytest.fixture
def explained(session):
    """Explain the cat by Grad-CAM."""
    return session.explain(photo(), "cat.png", model=MODEL, method="grad-cam")


def click(x, y):
    """Return the event of a click."""
    return SimpleNamespace(index=[x, y])


def test_colours_and_opacity_change_the_overlay(explained):
    """Opacity 0 shows the image alone; values that the page does not offer are refused."""
    overlay, facts = restyle(explained, 0.9, "viridis")
    assert overlay == store_image(explained.explanation.overlay(0.9, colormap="viridis"))
    assert facts != restyle(explained, 0.9, "turbo")[1]
    assert restyle(None, 0.5, "turbo") is None
    for opacity, colormap in (("1", "turbo"), (2, "turbo"), (0.5, "hot"), (0.5, ["turbo"])):
        with pytest.raises(SettingError):
            restyle(explained, opacity, colormap)


@pytest.mark.parametrize(
    ("drawn", "settings"),
    [
        ("line at half heat", {"contour": 0.5, "fade": False}),
        ("boxes", {"boxes": True, "fade": False}),
        ("fades with the heat", {"fade": True}),
        ("colour bar", {"colorbar": True, "fade": False}),
    ],
)
def test_heatmaps_are_drawn_as_chosen(explained, drawn, settings):
    """As by the arguments of an overlay; what the page does not offer is refused."""
    overlay, _ = restyle(explained, 0.6, "turbo", [drawn])
    assert overlay == store_image(explained.explanation.overlay(0.6, **settings))
    assert overlay != restyle(explained, 0.6, "turbo", [])[0]
    for bad in (["text"], drawn, [[drawn]], None):
        with pytest.raises(SettingError):
            restyle(explained, 0.6, "turbo", bad)


def test_before_and_after_have_one_size(explained):
    """The slider has the image and its overlay; without a heatmap it is hidden."""
    heatmap, wipe = show_view(WIPE, explained, 0.6, "turbo")
    before, after = wipe["value"]
    with_bar = show_view(WIPE, explained, 0.6, "turbo", [*DEFAULT_DRAWN, "colour bar"])[1]["value"]

    assert with_bar == (before, after)
    assert (heatmap["visible"], wipe["visible"]) == (False, True)
    assert before == store_image(photo())
    assert after == store_image(explained.explanation.overlay(0.6, colormap="turbo"))
    assert Image.open(after).convert("RGB").size == photo().size
    assert show_view(WIPE, None, 0.6, "turbo")[1]["visible"] is False


def test_a_place_is_measured_where_it_was_clicked(explained):
    """The disc is at the same share of what the network received, and a ring is drawn there."""
    explanation = explained.explanation
    (left, top, right, bottom), size = explanation.frame
    x, y = left + 0.25 * (right - left), top + 0.75 * (bottom - top)
    stored, text = probe(explained, 0.6, "turbo", DEFAULT_DRAWN, click(x, y))
    overlay = Image.open(stored).convert("RGB")
    with_bar, same = probe(explained, 0.6, "turbo", [*DEFAULT_DRAWN, "colour bar"], click(x, y))
    effect = region_effect(explanation, disc(tuple(explanation.heatmap.shape), 0.25, 0.75, 0.125))

    assert overlay.size == size
    assert f"without this place {effect.without:.1%} · this place alone {effect.alone:.1%}" in text
    without = Image.open(store_image(explanation.overlay())).convert("RGB")
    # more than the noise of JPEG
    changed = np.abs(np.asarray(overlay, int) - np.asarray(without, int)).max(axis=2) > 60
    rows, columns = np.nonzero(changed)
    assert (columns.mean(), rows.mean()) == pytest.approx((x, y), abs=2)
    assert same == text
    assert Image.open(with_bar).convert("RGB").size == explanation.overlay(colorbar=True).size


@pytest.mark.parametrize("index", [None, 3, [1], ["a", "b"], {"x": 1}])
def test_other_events_than_clicks_are_refused(explained, index):
    """A browser may send anything."""
    with pytest.raises(ImageError, match="click on a place"):
        probe(explained, 0.6, "turbo", [], SimpleNamespace(index=index))


def test_places_that_the_network_did_not_receive_are_refused(explained):
    """So is a heatmap that has expired; one that is being replaced stays as it is."""
    with pytest.raises(ImageError, match="did not receive this part"):
        probe(explained, 0.6, "turbo", [], click(-5, 10))
    with pytest.raises(ImageError, match="has expired"):
        probe(None, 0.6, "turbo", [], click(1, 1))
    explained.superseded.set()
    assert probe(explained, 0.6, "turbo", [], click(200, 100)) is None


def test_effect_of_regions_by_hand(explained):
    """Without nothing, or with everything alone, the probability is that of the image."""
    explanation = explained.explanation
    nothing = torch.zeros_like(explanation.heatmap)
    effect = region_effect(explanation, nothing)
    assert effect.without == pytest.approx(explanation.probability, abs=1e-5)
    assert region_effect(explanation, 1 - nothing).alone == pytest.approx(explanation.probability, abs=1e-5)
    assert region_effect(explanation, 1 - nothing).without == pytest.approx(effect.alone, abs=1e-6)
    with pytest.raises(ShapeError, match="the region must have the size of the heatmap"):
        region_effect(explanation, torch.zeros(2, 3))


def test_progress_of_the_card(session, tmp_path):
    """Each question is counted, and the line disappears at the end; an error becomes a note."""
    explained = session.explain(photo(), "cat.png", model=MODEL, method="grad-cam")
    steps = list(PageHandlers(session, tmp_path).check_steps(explained))

    assert [text for _, text in steps[:2]] == [
        f'<p class="fc-progress" role="status">{number} of 6 questions answered</p>' for number in (1, 2)
    ]
    assert len(steps) == 7
    assert steps[-1] == ("", "")
    assert explained.explanation.card is not None
    note, text = list(
        PageHandlers(session, tmp_path).check_steps(SimpleNamespace(explanation=None, superseded=Event()))
    )[-1]
    assert "error occurred" in note
    assert text == ""


def test_another_heatmap_ends_the_check(session, tmp_path):
    """The check ends at its next answer, without a card and without a note; it can be made again."""
    explained = session.explain(photo(), "cat.png", model=MODEL, method="grad-cam")
    handlers, answered = PageHandlers(session, tmp_path), []

    def check(report):
        for number in range(1, 7):
            report(number)
            answered.append(number)
            supersede(explained)

    with patch.object(type(explained.explanation), "check", lambda self, report: check(report)):
        assert list(handlers.check_steps(explained))[-1] == (gr.skip(), "")
    assert answered == [1]
    assert list(handlers.check_steps(explained)) == [(gr.skip(), "")]
    assert handlers.show_card(explained) == html.SUPERSEDED


def test_another_theta_ends_the_check_of_the_old_heatmap_only(session, tmp_path):
    """The same theta leaves it."""
    explained, handlers = session.explain(photo(), "cat.png", model=MODEL), PageHandlers(session, tmp_path)
    handlers.change_theta(explained, explained.theta)
    assert not explained.superseded.is_set()
    fused = handlers.change_theta(explained, 50)[-1]
    assert explained.superseded.is_set()
    assert not fused.superseded.is_set()
    assert handlers.show_card(fused) == gr.skip()
    assert supersede(None) == html.PLACE


def test_a_link_restores_what_was_chosen(session, tmp_path):
    """Names that the page does not offer are ignored."""
    examples = store_examples(tmp_path)
    link = Link(session, tuple(examples))
    given = {"image": "coffee.jpg", "method": "grad-cam", "opacity": "0.8", "colormap": "magma", "layer": "conv"}
    given["drawn"] = "boxes,text"
    image, model, *chosen, wanted = link.read(SimpleNamespace(query_params=given))
    assert image == str(tmp_path / "examples" / "coffee.jpg")
    assert model == gr.skip()
    assert chosen == ["grad-cam", 0.8, "magma", ["boxes"]]

    handlers = PageHandlers(session, tmp_path)
    upload = {"path": image}
    assert handlers.update_choices(upload, MODEL, wanted)[1]["value"] == "conv"
    assert handlers.update_choices(upload, MODEL, wanted | {"layer": "none", "target": "9"})[1]["value"] == "act"
    assert handlers.update_choices(upload, MODEL, wanted | {"image": "other.png"})[1]["value"] == "act"
    odd = {"image": "../etc", "model": "x", "method": "rise", "opacity": "nan", "colormap": "hot"}
    assert link.read(SimpleNamespace(query_params=odd)) == (*[gr.skip()] * 6, {})


def test_examples_are_those_of_the_demo(tmp_path):
    """Three free images, copied to where the server may open them."""
    paths = store_examples(tmp_path)
    assert [path.name for path in paths] == list(EXAMPLES)
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "JPEG"

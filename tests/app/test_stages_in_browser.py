"""The layers by stage, and the old heatmap while another one is computed, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from time import sleep
from unittest.mock import patch

import pytest

from fusioncam.app import session as session_module
from fusioncam.app.session import Session
from fusioncam.explanations.explanation import Explanation
from samples import CAT, COFFEE
from visitors import expect, visiting, wait_until_it_fits, wait_until_loaded

pytestmark = [pytest.mark.slow, pytest.mark.serial]

# the lowest opacity of the heatmap from now on
WATCH = """() => {
    window.lowest = 1;
    const look = () => {
        const image = document.querySelector("#fc-view img");
        if (image) window.lowest = Math.min(window.lowest, getComputedStyle(image).opacity);
        requestAnimationFrame(look);
    };
    look();
}"""


@pytest.fixture(scope="module")
def session() -> Session:
    """Open a session of a network with maps of two sizes."""
    return Session.open(["samples:staged"], ["fusion-cam", "grad-cam"], device="cpu")


@contextmanager
def held() -> Iterator[None]:
    """Hold explanations until the block ends."""
    release, explain = Event(), session_module.explain_batches
    with patch.object(session_module, "explain_batches", lambda *args: release.wait(120) and explain(*args)):
        try:
            yield
        finally:
            release.set()


def test_a_stage_is_chosen_by_its_heatmap(visitor):
    """The list of layers, the heatmap and its facts follow a click, and the frame follows the list."""
    page = visitor.page
    visitor.upload(CAT)
    visitor.wait_for("fusion-cam(budget=64) at act")
    stages = page.locator("#fc-stages")
    expect(stages.locator(".caption-label")).to_have_text(["8 x 8", "32 x 32"])
    expect(stages.locator(".thumbnail-item.selected .caption-label")).to_have_text("8 x 8")
    wait_until_loaded(page, "#fc-stages img")

    with visitor.expecting_another_heatmap():
        stages.locator(".thumbnail-item").nth(1).click()
    visitor.wait_for("fusion-cam(budget=64) at early")
    expect(page.locator("#fc-layer input")).to_have_value("early, 32 x 32")
    visitor.wait_for_card()
    visitor.choose("#fc-layer", "act, 8 x 8 (default)")
    visitor.wait_for("at act")
    expect(stages.locator(".thumbnail-item.selected .caption-label")).to_have_text("8 x 8")

    page.click("#fc-image button[aria-label='Remove Image']")
    expect(stages).to_be_hidden()


def test_the_stages_come_after_the_heatmap(visitor):
    """While they are drawn, the heatmap is shown."""
    drawn, draw = Event(), Session.stage_heatmap
    with patch.object(Session, "stage_heatmap", lambda *args: drawn.wait(120) and draw(*args)):
        visitor.upload(COFFEE)
        visitor.wait_for("fusion-cam(budget=64) at act")
        expect(visitor.page.locator("#fc-stages")).to_be_hidden()
        drawn.set()
        expect(visitor.page.locator("#fc-stages")).to_be_visible()


def test_the_old_heatmap_is_dimmed_meanwhile(visitor):
    """Facts and card are dimmed too; all of them are clear when the new heatmap is shown."""
    page = visitor.page
    visitor.upload(CAT)
    visitor.wait_for_card()
    image, facts = page.locator("#fc-view img"), page.locator("#fc-facts")
    before = image.get_attribute("src")
    expect(image).to_have_css("opacity", "1")
    with held():
        visitor.choose("#fc-method", "grad-cam")
        expect(image).to_have_css("opacity", "0.35")
        expect(facts).to_have_css("opacity", "0.35")
        expect(image).to_have_attribute("src", before)
    visitor.wait_for("grad-cam at act")
    expect(image).not_to_have_attribute("src", before)
    expect(image).to_have_css("opacity", "1")
    expect(facts).to_have_css("opacity", "1")

    page.locator("#fc-view-choice label", has_text="before and after").click()
    wipe = page.locator("#fc-wipe img").first
    expect(wipe).to_have_css("opacity", "1")
    with held():
        visitor.choose("#fc-method", "fusion-cam")
        expect(wipe).to_have_css("opacity", "0.35")
    expect(wipe).to_have_css("opacity", "1")


def test_another_class_does_not_wait_for_the_card(visitor):
    """The check of the old heatmap ends early, and the new one gets a card."""
    page, started, finished = visitor.page, [], []

    def long_check(explanation, report=None):
        if not started:  # of the first heatmap
            started.append(explanation)
            for _ in range(2000):  # longer than a test waits
                report(1)  # raises when the click has reached the server
                sleep(0.1)
            finished.append(explanation)
        return check(explanation, report)

    check = Explanation.check
    with patch.object(Explanation, "check", long_check):
        visitor.upload(CAT)
        visitor.wait_for("fusion-cam(budget=64) at act")
        expect(page.locator(".fc-progress")).to_have_text("1 of 6 questions answered")
        with visitor.expecting_another_heatmap():
            page.locator("#fc-class label").nth(1).click()
        visitor.wait_for_card()
    assert (len(started), finished) == (1, [])
    expect(page.locator("#fc-note .fc-note")).to_have_count(0)


def test_fusions_do_not_flicker(visitor):
    """Theta changes the heatmap without dimming it."""
    visitor.upload(CAT)
    visitor.wait_for_card()
    expect(visitor.page.locator("#fc-view img")).to_have_css("opacity", "1")
    visitor.page.evaluate(WATCH)
    visitor.drag_theta(70)
    visitor.wait_for("theta=")
    visitor.wait_for_card()
    assert visitor.page.evaluate("window.lowest") == 1


@pytest.mark.parametrize("width", [360, 1280])
def test_lists_of_images_and_stages_fit(browser, site, width):
    """No thumbnail or caption is cut off; on a phone the heatmap is above the choices."""
    with visiting(browser, site, viewport={"width": width, "height": 800}) as visitor:
        page = visitor.page
        page.set_input_files("#fc-several input[type=file]", [CAT, COFFEE])
        expect(page.locator("#fc-stages .thumbnail-item")).to_have_count(2)
        expect(page.locator("#fc-list .thumbnail-item")).to_have_count(2)
        page.wait_for_function(f"document.documentElement.scrollWidth <= {width}")
        # the longest caption of usual networks
        page.locator("#fc-stages .caption-label").first.evaluate("label => { label.textContent = '112 x 112' }")
        for selector in ("#fc-list .grid-wrap", "#fc-stages .grid-wrap", "#fc-stages .caption-label"):
            wait_until_it_fits(page, selector)
        top = "document.querySelector('{}').getBoundingClientRect().top".format
        page.wait_for_function(f"{top('#fc-view')} < {top('#fc-method')}")

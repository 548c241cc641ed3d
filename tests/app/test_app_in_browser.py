"""The web page in a browser: what a visitor does and sees, and what the browser requests."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from fusioncam.app.session import Session
from samples import CAT, COFFEE, ROCKET, photo
from visitors import expect, visiting, wait_until_it_fits, wait_until_loaded

pytestmark = [pytest.mark.slow, pytest.mark.serial]

MODEL, OTHER = "samples:small", "samples:alike"


@pytest.fixture(scope="module")
def session() -> Session:
    """Open a session of two networks."""
    return Session.open([MODEL, OTHER], device="cpu")


def read_heatmap(archive: zipfile.ZipFile, stem: str) -> torch.Tensor:
    """Return a heatmap of a zip file."""
    return torch.from_numpy(np.load(archive.open(f"{stem}.npy")))


def test_an_image_is_explained_and_checked(visitor, session):
    """Classes, heatmap, facts and card appear without a click."""
    visitor.upload(CAT)
    visitor.wait_for("fusion-cam(budget=64) at act")
    page = visitor.page

    names = [one.name for one in session.predict_classes(photo(), MODEL)]
    expect(page.locator("#fc-class label")).to_contain_text([f"{name} · " for name in names])
    wait_until_loaded(page, "#fc-view img")
    visitor.wait_for(f"{names[0]} ")
    assert visitor.wait_for_card() in ("good", "mixed", "poor")
    expect(page.locator(".fc-card .question")).to_have_count(6)
    page.locator(".fc-card .question summary").first.click()
    expect(page.locator(".fc-card .question p").first).to_be_visible()


def test_everything_can_be_chosen(visitor, session):
    """Class, method, layer and network change the heatmap; only fusion-cam has a theta."""
    visitor.upload(CAT)
    visitor.wait_for("cedar")
    theta = visitor.page.locator("#fc-theta")
    expect(theta).to_be_visible()
    visitor.page.locator("#fc-class label", has_text="birch").click()
    visitor.wait_for("birch")
    visitor.choose("#fc-method", "grad-cam")
    visitor.wait_for("grad-cam at act")
    expect(theta).to_be_hidden()
    visitor.choose("#fc-layer", f"conv, {session.layer_sizes(MODEL)['conv']}")
    visitor.wait_for("grad-cam at conv")
    visitor.wait_for("birch")
    visitor.choose("#fc-model", OTHER)
    visitor.wait_for(f"of {OTHER}")
    visitor.choose("#fc-method", "fusion-cam")
    visitor.wait_for("fusion-cam(budget=64) at act")
    expect(theta).to_be_visible()


def test_theta_changes_the_fusion_in_four_passes(visitor, session, tmp_path):
    """The new heatmap gets a card when theta is released; the download contains what is shown."""
    visitor.upload(CAT)
    visitor.wait_for_card()
    with visitor.expecting_another_heatmap():
        visitor.drag_theta(70)
        theta = float(visitor.page.locator("#fc-theta input[type=range]").input_value())
        visitor.wait_for(f"theta={theta:g})")
    visitor.wait_for("4 passes")
    visitor.wait_for_card()
    assert 60 <= theta <= 80

    archive = visitor.download()
    stem = f"chelsea.fusion-cam_budget=64_theta={theta:g}"
    own = session.explain(photo(), "", model=MODEL, theta=theta).explanation
    assert {name.rpartition(".")[0] for name in archive.namelist()} == {stem}
    assert torch.allclose(read_heatmap(archive, stem), own.heatmap, atol=1e-5)
    assert '"check"' in archive.read(f"{stem}.json").decode()


def test_theta_can_be_changed_by_keyboard(visitor):
    """The number and the arrow keys work without a mouse."""
    visitor.upload(CAT)
    visitor.wait_for("fusion-cam(budget=64) at act")
    visitor.page.fill("#fc-theta input[type=number]", "35")
    visitor.page.keyboard.press("Tab")
    visitor.wait_for("theta=35")
    visitor.wait_for_card()
    visitor.page.focus("#fc-theta input[type=range]")
    visitor.page.keyboard.press("ArrowRight")
    visitor.wait_for("theta=36")
    visitor.wait_for_card()


def test_methods_are_compared_and_downloaded(visitor, session):
    """Each method appears once, and all are in one file."""
    visitor.upload(CAT)
    visitor.wait_for("fusion-cam(budget=64) at act")
    visitor.choose("#fc-methods", "layer-cam")
    visitor.page.keyboard.press("Escape")
    visitor.page.click("#fc-compare")
    expect(visitor.page.locator("#fc-gallery .thumbnail-item img")).to_have_count(4)
    expect(visitor.page.locator("#fc-gallery")).to_contain_text("layer-cam")

    archive = visitor.download()
    stems = {name.rpartition(".")[0].removeprefix("chelsea.") for name in archive.namelist()}
    assert stems == {"fusion-cam_budget=64", "score-cam_budget=64", "grad-cam", "layer-cam"}
    own = session.explain(photo(), "", model=MODEL, method="layer-cam").explanation
    assert torch.allclose(read_heatmap(archive, "chelsea.layer-cam"), own.heatmap, atol=1e-5)


def test_an_example_and_its_place(visitor):
    """A click on an example explains it; a click on the heatmap measures the place and draws a ring around it."""
    page = visitor.page
    page.locator("#fc-examples img").nth(1).click()
    visitor.wait_for("fusion-cam(budget=64) at act")
    wait_until_loaded(page, "#fc-view img")
    before = page.locator("#fc-view img").get_attribute("src")
    page.locator("#fc-view img").click()
    expect(page.locator(".fc-place")).to_contain_text("without this place")
    expect(page.locator("#fc-view img")).not_to_have_attribute("src", before)
    visitor.wait_for_card()
    expect(page.locator(".fc-progress")).to_have_count(0)
    visitor.choose("#fc-method", "grad-cam")
    expect(page.locator(".fc-place")).to_contain_text("Click on the heatmap")


COPY = """async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 60, height: 40 });
  const drawing = canvas.getContext("2d");
  drawing.fillStyle = "red";
  drawing.fillRect(0, 0, 30, 20);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
}"""


def test_an_image_is_pasted(browser, site):
    """The button below the image takes it from the clipboard."""
    permissions = ["clipboard-read", "clipboard-write"]
    with visiting(browser, site, permissions=permissions) as visitor:
        visitor.page.evaluate(COPY)
        visitor.page.locator("#fc-image").get_by_label("Paste from clipboard").click()
        visitor.wait_for("fusion-cam(budget=64) at act")
        expect(visitor.page.locator("#fc-class label")).to_have_count(5)
        assert visitor.errors == []


def test_view_and_colours(visitor):
    """A slider over image and heatmap follows other colours, as does the scale; what is drawn is downloaded too."""
    visitor.upload(CAT)
    visitor.wait_for("fusion-cam(budget=64) at act")
    page = visitor.page
    scale = page.locator(".fc-scale i").get_attribute("style")
    page.locator("#fc-view-choice label", has_text="before and after").click()
    expect(page.locator("#fc-wipe img").first).to_be_visible()
    expect(page.locator("#fc-view")).to_be_hidden()
    wait_until_loaded(page, "#fc-wipe img")
    sources = page.locator("#fc-wipe img").evaluate_all("all => all.map(one => one.src)")
    visitor.choose("#fc-colormap", "magma")
    expect(page.locator(".fc-scale i")).not_to_have_attribute("style", scale)
    page.wait_for_function(
        "old => [...document.querySelectorAll('#fc-wipe img')].some(one => !old.includes(one.src))", arg=sources
    )
    page.locator("#fc-view-choice label").first.click()
    expect(page.locator("#fc-view")).to_be_visible()
    for name in ("fades with the heat", "line at half heat", "boxes"):
        with visitor.expecting_another_heatmap():
            page.locator("#fc-drawn label", has_text=name).click()
    page.wait_for_url("**drawn=line+at+half+heat%2Cboxes*")

    width = "image => image.naturalWidth"
    before = page.locator("#fc-view img").evaluate(width)
    with visitor.expecting_another_heatmap():
        page.locator("#fc-drawn label", has_text="colour bar").click()
    after = page.locator("#fc-view img").evaluate(width)
    archive = visitor.download()
    assert after > before
    assert Image.open(archive.open("chelsea.fusion-cam_budget=64.png")).width == after


def test_a_link_shows_the_same_again(browser, site, visitor):
    """The address holds example, method, layer, class and colours; another visitor sees the same."""
    page = visitor.page
    page.locator("#fc-examples img").first.click()
    visitor.wait_for("fusion-cam(budget=64) at act")
    visitor.choose("#fc-method", "grad-cam")
    visitor.page.locator("#fc-class label", has_text="birch").click()
    visitor.wait_for("birch")
    visitor.choose("#fc-colormap", "viridis")
    page.locator("#fc-drawn").get_by_label("fades with the heat").uncheck()
    page.wait_for_url("**/*colormap=viridis&drawn=&*")
    with visiting(browser, site) as other:
        other.page.goto(page.url)
        other.wait_for("birch")
        other.wait_for("grad-cam at act")
        expect(other.page.locator("#fc-colormap input")).to_have_value("viridis")
        expect(other.page.locator("#fc-drawn").get_by_label("fades with the heat")).not_to_be_checked()


def test_an_invalid_file_is_reported_and_the_next_one_works(visitor, tmp_path):
    """The earlier result disappears, and the file's name is shown as text."""
    bad = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    bad.write_text("not an image")
    visitor.upload(COFFEE)
    visitor.wait_for("fusion-cam(budget=64) at act")
    visitor.page.click("#fc-image button[aria-label='Remove Image']")
    expect(visitor.page.locator("#fc-some")).to_be_hidden()
    visitor.upload(bad)
    note = visitor.page.locator("#fc-note .fc-note")
    expect(note).to_contain_text("not an image in a known format (12 bytes)")
    expect(note.locator("img")).to_have_count(0)
    expect(visitor.page.locator("#fc-some")).to_be_hidden()
    visitor.upload(CAT)
    visitor.wait_for("cedar")
    expect(note).to_have_count(0)


def test_the_message_about_an_invalid_file_stays(visitor, tmp_path):
    """All events that follow leave the message, and no broken image is shown; another image replaces both."""
    bad = tmp_path / "cat.png"
    bad.write_bytes(CAT.read_bytes()[:3000])
    visitor.upload(bad)
    note = visitor.page.locator("#fc-note .fc-note")
    expect(note).to_contain_text("cat.png: damaged or truncated")
    visitor.page.wait_for_timeout(3000)
    expect(note).to_contain_text("cat.png: damaged or truncated")
    expect(visitor.page.locator("#fc-image img")).to_have_count(0)
    expect(visitor.page.locator("#fc-class")).to_be_hidden()
    visitor.upload(COFFEE)
    visitor.wait_for("fusion-cam(budget=64) at act")
    expect(note).to_have_count(0)


def test_too_many_pixels_are_reported(visitor, tmp_path):
    """A small file may contain a huge image."""
    photo().resize((9000, 9000)).convert("1", dither=0).save(tmp_path / "huge.png")
    visitor.upload(tmp_path / "huge.png")
    expect(visitor.page.locator("#fc-note .fc-note")).to_contain_text("huge.png: it has over 40,000,000 pixels")


def test_a_large_file_is_rejected(browser, site, tmp_path):
    """30 MB are not sent, and the message goes with the next image."""
    large = tmp_path / "large.jpg"
    large.write_bytes(ROCKET.read_bytes() + os.urandom(30_000_000))
    with visiting(browser, site) as visitor:
        visitor.upload(large)
        note = visitor.page.locator("#fc-too-large")
        expect(note).to_have_text("large.jpg: the file has over 20 MB: resize the image first")
        expect(note).to_be_visible()
        expect(visitor.page.locator("#fc-some")).to_be_hidden()
        visitor.upload(CAT)
        expect(note).to_be_hidden()
        visitor.wait_for("fusion-cam(budget=64) at act")
        assert visitor.foreign_requests == []


def test_two_visitors_at_once_see_their_own(browser, site, session):
    """Each has an image, a heatmap, a theta and a file of their own."""
    with visiting(browser, site) as one, visiting(browser, site) as other:
        one.upload(CAT)
        other.upload(COFFEE)
        other.choose("#fc-method", "grad-cam")
        other.wait_for("grad-cam at act")
        one.wait_for("fusion-cam(budget=64) at act")
        one.drag_theta(50)
        theta = float(one.page.locator("#fc-theta input[type=range]").input_value())
        one.wait_for(f"theta={theta:g})")
        one.wait_for_card()
        other.wait_for_card()
        archive, other_archive = one.download(), other.download()

    own = session.explain(photo(CAT), "", model=MODEL, theta=theta).explanation
    other_explanation = session.explain(photo(COFFEE), "", model=MODEL, method="grad-cam").explanation
    stem = f"chelsea.fusion-cam_budget=64_theta={theta:g}"
    assert torch.allclose(read_heatmap(archive, stem), own.heatmap, atol=1e-5)
    assert torch.allclose(read_heatmap(other_archive, "coffee.grad-cam"), other_explanation.heatmap, atol=1e-5)
    assert (one.errors, other.errors, one.foreign_requests, other.foreign_requests) == ([], [], [], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits(browser, site, tmp_path, width, scheme):
    """Nothing overflows to the side, and texts contrast with their background."""
    with visiting(browser, site, viewport={"width": width, "height": 800}, color_scheme=scheme) as visitor:
        visitor.upload(CAT)
        visitor.wait_for_card()
        visitor.page.click("#fc-compare")
        expect(visitor.page.locator("#fc-gallery .thumbnail-item img")).to_have_count(3)
        visitor.page.wait_for_function(f"document.documentElement.scrollWidth <= {width}")
        wait_until_it_fits(visitor.page, "#fc-gallery .grid-wrap")
        texts = ".fc-head p", ".fc-facts p:last-child", ".fc-card .trust > p", ".fc-card .level", ".fc-foot"
        for selector in texts:
            assert visitor.page.locator(selector).first.evaluate(CONTRAST) >= 4.5, selector


# contrast of an element's colour with the first background below it that is not transparent (WCAG 2.1)
CONTRAST = """element => {
    const numbers = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
    let back = element;
    while (back && (numbers(getComputedStyle(back).backgroundColor)[3] ?? 1) === 0) back = back.parentElement;
    const both = [getComputedStyle(element).color, getComputedStyle(back ?? document.body).backgroundColor];
    const [high, low] = both.map(text => light(numbers(text))).sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
}"""

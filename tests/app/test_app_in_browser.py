"""The web page in a real browser: what a visitor does, what he sees, and what his browser asks for."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from fusioncam.app import served
from fusioncam.app.session import Studio
from samples import CAT, COFFEE, ROCKET, photo

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

MODEL, OTHER = "samples:small", "samples:alike"
LONG = 120_000  # milliseconds: on a busy machine all takes its time


@dataclass
class Visitor:
    """Somebody at the page, and what his browser had to say and asked for."""

    page: object
    home: str
    problems: list[str] = field(default_factory=list)
    abroad: list[str] = field(default_factory=list)

    def send(self, path: Path) -> None:
        """Drop an image."""
        self.page.set_input_files("#fc-image input[type=file]", path)

    def choose(self, box: str, name: str) -> None:
        """Choose from a list by its name."""
        self.page.click(f"{box} input")
        self.page.get_by_role("option", name=name, exact=True).click()

    def shows(self, text: str) -> None:
        """Wait until the facts under the heatmap say so."""
        expect(self.page.locator(".fc-facts")).to_contain_text(text)

    def card(self) -> str:
        """Wait for the card of the heatmap, and give its level."""
        return self.page.wait_for_selector("[data-level]").get_attribute("data-level")

    def move(self, theta: int) -> None:
        """Drag theta with the mouse to about there."""
        slider = self.page.locator("#fc-theta input[type=range]")
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        middle = box["y"] + box["height"] / 2
        start = float(slider.input_value())
        self.page.mouse.move(box["x"] + box["width"] * start / 100, middle)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + box["width"] * theta / 100, middle, steps=4)
        self.page.mouse.up()

    def download(self) -> zipfile.ZipFile:
        """Click on download, and open what comes."""
        with self.page.expect_download() as download:
            self.page.click("#fc-download")
        return zipfile.ZipFile(download.value.path())


@pytest.fixture(scope="module")
def studio() -> Studio:
    """Offer two networks."""
    return Studio.open([MODEL, OTHER], device="cpu")


@pytest.fixture(scope="module")
def site(studio: Studio) -> Iterator[str]:
    """The address of a page that is served."""
    with served(studio) as address:
        yield address


@contextmanager
def visiting(browser, site: str, **settings: object) -> Iterator[Visitor]:
    """Come to the page with a browser of one's own."""
    context = browser.new_context(**settings)
    context.set_default_timeout(LONG)
    expect.set_options(timeout=LONG)
    visitor = Visitor(context.new_page(), site)
    page = visitor.page
    page.on("console", lambda said: visitor.problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: visitor.problems.append(str(error)))
    page.on("request", lambda asked: visitor.abroad.append(asked.url) if foreign(asked.url, site) else None)
    try:
        page.goto(site)
        page.wait_for_selector("#fc-image input[type=file]", state="attached")
        yield visitor
    finally:
        context.close()


def foreign(url: str, home: str) -> bool:
    """Say whether a request leaves the server that the page came from."""
    return not url.startswith((home, "data:", "blob:"))


@pytest.fixture
def visitor(browser, site: str) -> Iterator[Visitor]:
    """Somebody whose browser must stay quiet and at home."""
    with visiting(browser, site) as visitor:
        yield visitor
    assert visitor.problems == []
    assert visitor.abroad == []


def heatmap_of(archive: zipfile.ZipFile, stem: str) -> torch.Tensor:
    """Give the numbers of a map."""
    return torch.from_numpy(np.load(archive.open(f"{stem}.npy")))


def test_a_image_is_explained_and_checked(visitor, studio):
    """Without a click: the classes, the heatmap, its facts, and then the card."""
    visitor.send(CAT)
    visitor.shows("fusion-cam(budget=64) at act")
    page = visitor.page

    names = [one.name for one in studio.guesses(photo(), MODEL)]
    assert [line.split(" · ")[0] for line in page.locator("#fc-class label").all_inner_texts()] == names
    assert page.locator("#fc-view img").evaluate("image => image.naturalWidth") > 0
    visitor.shows(f"{names[0]} ")
    assert visitor.card() in ("good", "mixed", "poor")
    assert page.locator(".fc-card .question").count() == 6
    page.locator(".fc-card .question summary").first.click()
    expect(page.locator(".fc-card .question p").first).to_be_visible()


def test_everything_can_be_chosen(visitor):
    """Class, method, layer and network; each makes a new heatmap, and only a fusion has a theta."""
    visitor.send(CAT)
    visitor.shows("cedar")
    theta = visitor.page.locator("#fc-theta")
    expect(theta).to_be_visible()
    visitor.page.locator("#fc-class label", has_text="birch").click()
    visitor.shows("birch")
    visitor.choose("#fc-method", "grad-cam")
    visitor.shows("grad-cam at act")
    expect(theta).to_be_hidden()
    visitor.choose("#fc-layer", "conv")
    visitor.shows("grad-cam at conv")
    visitor.shows("birch")
    visitor.choose("#fc-model", OTHER)
    visitor.shows(f"of {OTHER}")
    visitor.choose("#fc-method", "fusion-cam")
    visitor.shows("fusion-cam(budget=64) at act")
    expect(theta).to_be_visible()


def test_theta_changes_the_fusion_and_nothing_is_masked_again(visitor, studio, tmp_path):
    """Four passes, another image, and a card for it once theta rests; what is downloaded is what is seen."""
    visitor.send(CAT)
    visitor.card()
    before = visitor.page.locator("#fc-view img").get_attribute("src")
    visitor.move(70)
    visitor.shows("theta=")
    visitor.shows("4 passes")
    visitor.card()
    theta = float(visitor.page.locator("#fc-theta input[type=range]").input_value())
    assert visitor.page.locator("#fc-view img").get_attribute("src") != before
    assert 60 <= theta <= 80

    archive = visitor.download()
    stem = f"chelsea.fusion-cam_budget=64_theta={theta:g}"
    own = studio.explain(photo(), "", model=MODEL, theta=theta).explanation
    assert {name.rpartition(".")[0] for name in archive.namelist()} == {stem}
    assert torch.allclose(heatmap_of(archive, stem), own.heatmap, atol=1e-5)
    assert '"check"' in archive.read(f"{stem}.json").decode()


def test_theta_can_be_typed(visitor):
    """For whom a mouse is of no use: by the number, or by the arrows."""
    visitor.send(CAT)
    visitor.shows("fusion-cam(budget=64) at act")
    visitor.page.fill("#fc-theta input[type=number]", "35")
    visitor.page.keyboard.press("Tab")
    visitor.shows("theta=35")
    visitor.card()
    visitor.page.focus("#fc-theta input[type=range]")
    visitor.page.keyboard.press("ArrowRight")
    visitor.shows("theta=36")
    visitor.card()


def test_methods_are_compared_and_downloaded(visitor, studio):
    """Side by side, each once, and all in one file."""
    visitor.send(CAT)
    visitor.shows("fusion-cam(budget=64) at act")
    visitor.choose("#fc-methods", "layer-cam")
    visitor.page.keyboard.press("Escape")
    visitor.page.click("#fc-compare")
    expect(visitor.page.locator("#fc-gallery .thumbnail-item img")).to_have_count(4)
    expect(visitor.page.locator("#fc-gallery")).to_contain_text("layer-cam")

    archive = visitor.download()
    stems = {name.rpartition(".")[0].removeprefix("chelsea.") for name in archive.namelist()}
    assert stems == {"fusion-cam_budget=64", "score-cam_budget=64", "grad-cam", "layer-cam"}
    own = studio.explain(photo(), "", model=MODEL, method="layer-cam").explanation
    assert torch.allclose(heatmap_of(archive, "chelsea.layer-cam"), own.heatmap, atol=1e-5)


def test_a_bad_file_is_told_and_the_next_one_works(visitor, tmp_path):
    """By name, and nothing of the last image stays beside it."""
    bad = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    bad.write_text("I am no image")
    visitor.send(COFFEE)
    visitor.shows("fusion-cam(budget=64) at act")
    visitor.page.click("#fc-image button[aria-label='Remove Image']")
    expect(visitor.page.locator("#fc-some")).to_be_hidden()
    visitor.send(bad)
    note = visitor.page.locator(".fc-note")
    expect(note).to_contain_text("not an image in a known format (15 bytes)")
    assert note.locator("img").count() == 0
    expect(visitor.page.locator("#fc-some")).to_be_hidden()
    visitor.page.click("#fc-image button[aria-label='Remove Image']")
    expect(note).to_have_count(0)
    visitor.send(CAT)
    visitor.shows("cedar")


def test_too_many_pixels_are_told(visitor, tmp_path):
    """A small file may hold a huge image."""
    photo().resize((9000, 9000)).convert("1", dither=0).save(tmp_path / "huge.png")
    visitor.send(tmp_path / "huge.png")
    expect(visitor.page.locator(".fc-note")).to_contain_text("huge.png: it has over 40,000,000 pixels")


def test_a_large_file_is_refused(browser, site, tmp_path):
    """30 MB do not even reach the server; Gradio's own script asks for the progress of what was not sent."""
    large = tmp_path / "large.jpg"
    large.write_bytes(ROCKET.read_bytes() + os.urandom(30_000_000))
    with visiting(browser, site) as visitor:
        visitor.send(large)
        expect(visitor.page.get_by_text("exceed the maximum allowed size of 20.0 Mb")).to_be_visible()
        expect(visitor.page.locator("#fc-some")).to_be_hidden()
        assert visitor.abroad == []


def test_two_visitors_at_once_see_their_own(browser, site, studio):
    """Each his own image, heatmap, theta and file."""
    with visiting(browser, site) as one, visiting(browser, site) as other:
        one.send(CAT)
        other.send(COFFEE)
        other.choose("#fc-method", "grad-cam")
        other.shows("grad-cam at act")
        one.shows("fusion-cam(budget=64) at act")
        one.move(50)
        one.shows("theta=")
        one.card()
        other.card()
        mine, hers = one.download(), other.download()
        theta = float(one.page.locator("#fc-theta input[type=range]").input_value())

    own = studio.explain(photo(CAT), "", model=MODEL, theta=theta).explanation
    her = studio.explain(photo(COFFEE), "", model=MODEL, method="grad-cam").explanation
    stem = f"chelsea.fusion-cam_budget=64_theta={theta:g}"
    assert torch.allclose(heatmap_of(mine, stem), own.heatmap, atol=1e-5)
    assert torch.allclose(heatmap_of(hers, "coffee.grad-cam"), her.heatmap, atol=1e-5)
    assert (one.problems, other.problems, one.abroad, other.abroad) == ([], [], [], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits(browser, site, tmp_path, width, scheme):
    """Nothing sticks out to the side, and words stand out from what is behind them."""
    with visiting(browser, site, viewport={"width": width, "height": 800}, color_scheme=scheme) as visitor:
        visitor.send(CAT)
        visitor.card()
        visitor.page.click("#fc-compare")
        expect(visitor.page.locator("#fc-gallery .thumbnail-item img")).to_have_count(3)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
        gallery = visitor.page.locator("#fc-gallery .grid-wrap")
        assert gallery.evaluate("box => box.scrollHeight - box.clientHeight") <= 1
        for place in (".fc-head p", ".fc-facts p:last-child", ".fc-card .trust > p", ".fc-card .level", ".fc-foot"):
            assert visitor.page.locator(place).first.evaluate(CONTRAST) >= 4.5, place


# of an element's colour and the first background behind it that is not transparent (WCAG 2.1)
CONTRAST = """element => {
    const numbers = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
    let behind = element;
    while (behind && (numbers(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
    const both = [getComputedStyle(element).color, getComputedStyle(behind ?? document.body).backgroundColor];
    const [high, low] = both.map(text => light(numbers(text))).sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
}"""

"""Several images in a browser: they are dropped, listed, chosen and refused."""

from __future__ import annotations

import base64
import os
import re
from types import SimpleNamespace

import pytest

from fusioncam.app.session import Session
from samples import CAT, COFFEE, ROCKET
from visitors import expect, visiting, wait_until_loaded

pytestmark = [pytest.mark.slow, pytest.mark.serial]

MODEL = "samples:small"
FILES = "#fc-several input[type=file]"
# drops files on an element, as a mouse does
DROP = """(element, files) => {
    const data = new DataTransfer();
    for (const [name, content] of files) {
        const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
        data.items.add(new File([bytes], name, {type: "image/png"}));
    }
    for (const kind of ["dragenter", "dragover", "drop"])
        element.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""
DROP_LARGE = """element => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(20 * 2 ** 20 + 1)], "large.png", {type: "image/png"}));
    element.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
}"""
# removes components of the page until window.appear() is called
REMOVE = """selectors => {
    const parts = selectors.map(selector => document.querySelector(selector));
    const places = parts.map(part => part.parentElement);
    parts.forEach(part => part.remove());
    window.appear = () => parts.forEach((part, number) => places[number].append(part));
}"""
# records whether the components of the page exist when drops are first handled
RECORD = """{
    const listen = document.addEventListener;
    document.addEventListener = function (kind, ...rest) {
        if (kind === "drop") window.isShownBeforeDrops ??= document.querySelector("#fc-image") !== null;
        return listen.call(this, kind, ...rest);
    };
}"""


def contents(*paths):
    """Return the name and the content of each file, as DROP takes them."""
    return [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]


@pytest.fixture(scope="module")
def session() -> Session:
    """Open a session of one network."""
    return Session.open([MODEL], ["grad-cam"], device="cpu")


def test_drops_are_handled_before_the_page_is_shown(browser, site):
    """No visitor is quicker than the script: files that were dropped before it would be lost but for one."""
    with visiting(browser, site, script=RECORD) as visitor:
        assert visitor.page.evaluate("window.isShownBeforeDrops") is False


def test_drops_before_the_page_is_complete_are_not_lost(visitor):
    """Its components appear one by one: neither several images nor a large one reach that of one image."""
    page = visitor.page
    for selector in ("#fc-several", "#fc-too-large"):
        page.wait_for_selector(selector, state="attached")
    box = page.locator("#fc-image .upload-container button")
    page.evaluate(REMOVE, ["#fc-several", "#fc-too-large"])
    box.evaluate(DROP_LARGE)
    page.evaluate("window.appear()")
    expect(page.locator("#fc-too-large")).to_have_text(re.compile("^large.png: the file has over 20 MB"))

    page.evaluate(REMOVE, ["#fc-several", "#fc-too-large"])
    box.evaluate(DROP, contents(CAT, COFFEE))
    page.evaluate("window.appear()")
    expect(page.locator("#fc-list .caption-label")).to_have_text(["chelsea.png", "coffee.png"])
    expect(page.locator("#fc-too-large")).to_be_hidden()


def test_dropped_images_are_listed_and_explained_on_choice(visitor):
    """The first one is explained at once, each other one when it is clicked."""
    page = visitor.page
    page.locator("#fc-image .upload-container button").evaluate(DROP, contents(CAT, COFFEE, ROCKET))
    names = page.locator("#fc-list .caption-label")
    expect(names).to_have_text(["chelsea.png", "coffee.png", "rocket.jpg"])
    visitor.wait_for("grad-cam at act")
    wait_until_loaded(page, "#fc-list img")
    first = page.locator("#fc-view img").get_attribute("src")
    assert visitor.download().namelist()[0].startswith("chelsea.")

    with visitor.expecting_another_heatmap():
        page.locator("#fc-list .thumbnail-item").nth(2).click()
    assert visitor.download().namelist()[0].startswith("rocket.")
    page.locator("#fc-list .thumbnail-item").nth(0).click()
    expect(page.locator("#fc-view img")).to_have_attribute("src", first)
    visitor.wait_for_card()


def test_a_bad_file_among_several_is_reported(visitor, tmp_path):
    """The message stays while the others are explained, and goes with the next list."""
    bad, torn = tmp_path / "<img src=x onerror=alert(1)>.jpg", tmp_path / "torn.png"
    bad.write_text("not an image")
    torn.write_bytes(CAT.read_bytes()[:3000])
    page, note = visitor.page, visitor.page.locator("#fc-list-note .fc-note")
    page.set_input_files(FILES, [bad, COFFEE, torn])
    visitor.wait_for("grad-cam at act")
    visitor.wait_for_card()
    expect(note).to_contain_text("not an image in a known format (12 bytes)")
    expect(note).to_contain_text("torn.png: damaged or truncated")
    expect(note.locator("img")).to_have_count(0)
    expect(page.locator("#fc-list .caption-label")).to_have_text(["coffee.png"])

    page.set_input_files(FILES, [CAT, ROCKET])
    expect(page.locator("#fc-list .caption-label")).to_have_text(["chelsea.png", "rocket.jpg"])
    expect(note).to_have_count(0)


def test_a_deleted_image_of_the_list_is_reported(visitor, monkeypatch):
    """The message is beside the list, and the heatmap that is shown stays."""
    page = visitor.page
    page.set_input_files(FILES, [CAT, COFFEE])
    visitor.wait_for("grad-cam at act")
    wait_until_loaded(page, "#fc-list img, #fc-view img")
    shown = page.locator("#fc-view img").get_attribute("src")
    # of this module alone: Gradio opens files by paths too
    monkeypatch.setattr("fusioncam.app.image_list.Path", lambda path: SimpleNamespace(is_file=lambda: False))
    page.locator("#fc-list .thumbnail-item").nth(1).click()
    expect(page.locator("#fc-list-note .fc-note")).to_contain_text("this image was deleted: drop the images again")
    expect(page.locator("#fc-view img")).to_have_attribute("src", shown)


def test_a_large_file_among_several_is_refused(browser, site, tmp_path):
    """The page says so and lists the others; several images of together more than one may have are accepted."""
    large = tmp_path / "large.jpg"
    large.write_bytes(ROCKET.read_bytes() + os.urandom(30_000_000))
    with visiting(browser, site) as visitor:
        visitor.page.set_input_files(FILES, [CAT, large, COFFEE])
        note = visitor.page.locator("#fc-too-large")
        expect(note).to_have_text("large.jpg: the file has over 20 MB: resize the image first")
        expect(visitor.page.locator("#fc-list .caption-label")).to_have_text(["chelsea.png", "coffee.png"])
        expect(note).to_be_visible()
        half = [tmp_path / f"half{number}.jpg" for number in range(2)]
        for path in half:
            path.write_bytes(ROCKET.read_bytes() + os.urandom(15_000_000))
        visitor.page.set_input_files(FILES, half)
        expect(visitor.page.locator("#fc-list .caption-label")).to_have_text(["half0.jpg", "half1.jpg"])
        expect(note).to_be_hidden()
        assert visitor.foreign_requests == []


def test_a_large_file_that_is_dropped_is_refused(visitor):
    """In the same words as one that is chosen."""
    box = visitor.page.locator("#fc-image .upload-container button")
    box.evaluate(DROP_LARGE)
    expect(visitor.page.locator("#fc-too-large")).to_have_text(re.compile("^large.png: the file has over 20 MB"))
    expect(visitor.page.locator("#fc-too-large")).to_be_visible()
    box.evaluate(DROP, contents(CAT))
    visitor.wait_for("grad-cam at act")
    expect(visitor.page.locator("#fc-too-large")).to_be_hidden()


def test_each_visitor_has_an_own_list(browser, site):
    """What one drops does not appear on another's page."""
    with visiting(browser, site) as one, visiting(browser, site) as other:
        one.page.set_input_files(FILES, [CAT, ROCKET])
        other.page.set_input_files(FILES, [COFFEE, CAT])
        for visitor, names in ((one, ["chelsea.png", "rocket.jpg"]), (other, ["coffee.png", "chelsea.png"])):
            expect(visitor.page.locator("#fc-list .caption-label")).to_have_text(names)
            visitor.wait_for("grad-cam at act")
            wait_until_loaded(visitor.page, "#fc-list img")
            with visitor.expecting_another_heatmap():
                visitor.page.locator("#fc-list .thumbnail-item").nth(1).click()
        assert one.download().namelist()[0].startswith("rocket.")
        assert other.download().namelist()[0].startswith("chelsea.")
        expect(other.page.locator("#fc-list .caption-label")).to_have_text(["coffee.png", "chelsea.png"])

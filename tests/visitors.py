"""A visitor of the web page: what one does and sees in a browser."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

TIMEOUT = 120_000  # milliseconds, for busy machines
expect.set_options(timeout=TIMEOUT)


@dataclass
class Visitor:
    """A visitor's page in a browser, with the errors of its console and its requests to other servers."""

    page: object
    home: str
    errors: list[str] = field(default_factory=list)
    foreign_requests: list[str] = field(default_factory=list)

    def upload(self, path: Path) -> None:
        """Upload an image."""
        self.page.set_input_files("#fc-image input[type=file]", path)

    def choose(self, box: str, name: str) -> None:
        """Choose an option of a list by its name."""
        self.page.click(f"{box} input")
        self.page.get_by_role("option", name=name, exact=True).click()

    def wait_for(self, text: str) -> None:
        """Wait until the facts below the heatmap contain a text."""
        expect(self.page.locator(".fc-facts")).to_contain_text(text)

    def wait_for_card(self) -> str:
        """Wait for the card of the heatmap and return its level."""
        return self.page.wait_for_selector("[data-level]").get_attribute("data-level")

    def drag_theta(self, theta: int) -> None:
        """Drag theta with the mouse to about this value."""
        wait_until_loaded(self.page, "#fc-view img")  # it moves the slider
        slider = self.page.locator("#fc-theta input[type=range]")
        start = float(slider.input_value())
        self._point_at(slider, start)
        self.page.mouse.down()
        for share in (0.5, 1):
            self._point_at(slider, start + share * (theta - start))
        self.page.mouse.up()

    def _point_at(self, slider: object, percent: float) -> None:
        """Move the mouse to a position of a slider, as soon as the slider itself no longer moves."""
        box = slider.bounding_box()
        slider.hover(position={"x": box["width"] * percent / 100, "y": box["height"] / 2})

    @contextmanager
    def expecting_another_heatmap(self) -> Iterator[None]:
        """Wait at the end of the block until another heatmap is shown, and loaded."""
        heatmap = self.page.locator("#fc-view img")
        before = heatmap.get_attribute("src")
        yield
        expect(heatmap).not_to_have_attribute("src", before)
        wait_until_loaded(self.page, "#fc-view img")

    def download(self) -> zipfile.ZipFile:
        """Click on download and open the file."""
        with self.page.expect_download() as download:
            self.page.click("#fc-download")
        return zipfile.ZipFile(download.value.path())


@contextmanager
def visiting(browser, site: str, *, script: str = "", **settings: object) -> Iterator[Visitor]:
    """Open the page in a browser context of its own; ``script`` runs before those of the page."""
    context = browser.new_context(**settings)
    context.add_init_script(script)
    context.set_default_timeout(TIMEOUT)
    visitor = Visitor(context.new_page(), site)
    page = visitor.page
    page.on("console", lambda message: visitor.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: visitor.errors.append(str(error)))
    page.on(
        "request",
        lambda request: visitor.foreign_requests.append(request.url) if is_foreign(request.url, site) else None,
    )
    try:
        page.goto(site)
        page.wait_for_selector("#fc-image input[type=file]", state="attached")
        yield visitor
    finally:
        context.close()


def wait_until_loaded(page, selector: str) -> None:
    """Wait until the images of a selector are loaded, at least one: before, they have no size."""
    page.wait_for_function(
        """selector => {
            const images = [...document.querySelectorAll(selector)];
            images.forEach(one => { one.loading = "eager"; });  // also where nobody looks
            return images.length > 0 && images.every(one => one.complete && one.naturalWidth > 0);
        }""",
        arg=selector,
    )


def wait_until_it_fits(page, selector: str) -> None:
    """Wait until the content of a box fits into it."""
    page.wait_for_function(
        """selector => {
            const box = document.querySelector(selector);
            return Math.max(box.scrollWidth - box.clientWidth, box.scrollHeight - box.clientHeight) <= 1;
        }""",
        arg=selector,
    )


def is_foreign(url: str, home: str) -> bool:
    """Return whether a request goes to another server than the page's."""
    return not url.startswith((home, "data:", "blob:"))

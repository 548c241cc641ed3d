"""The HTML report in a browser: headless Chromium of the system, driven by Playwright."""

from __future__ import annotations

import pytest

from fusioncam.report.html.page import write_html_report
from reports import TRUST_CARD, write_explanations, write_photos, write_run

pytestmark = [pytest.mark.slow, pytest.mark.serial]

NAMES = [f"{n}.png" for n in range(30)]
MARKUP_NAME = '<img src=x onerror=alert(1)>"&.png'
METHODS = ("grad-cam", "fusion-cam")
PAPER = {"light": (251, 250, 248), "dark": (21, 23, 26)}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return a report of explanations of 31 images with two classes, and one of a benchmark."""
    root = tmp_path_factory.mktemp("pages")
    classes = (("tabby", 0.8), ("tiger cat", 0.1))
    out = write_explanations(
        root / "out", [*NAMES, MARKUP_NAME], METHODS, classes, failures=[("x.png", "<b>torn")], trust_card=TRUST_CARD
    )
    few = NAMES[:4]
    methods = (*METHODS, "score-cam", "ones")
    run = write_run(root / "run", few, methods, data=write_photos(root / "photos", few), failures=[("x.png", "torn")])
    return {"explain": write_html_report(out)[-1], "benchmark": write_html_report(run)[-1]}


@pytest.fixture
def opened(browser, pages):
    """Return a function that opens a report; an error in the console or a request for another file fails the test."""
    contexts, complaints = [], []

    def open_(source="explain", width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on(
            "request",
            lambda request: complaints.append(request.url) if is_foreign(request.url, pages[source]) else None,
        )
        page.goto(pages[source].as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def is_foreign(url, path):
    """Return whether a request leaves the file."""
    return not url.startswith("data:") and url.partition("#")[0] != path.as_uri()


def visible_texts(page, selector):
    """List the texts of the visible elements."""
    return [one.inner_text() for one in page.locator(selector).all() if one.is_visible()]


def slide(page, percent, index=0):
    """Move an opacity slider."""
    page.locator(".opacity input").nth(index).evaluate(
        "(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input', {bubbles: true})); }", percent
    )


def test_slider_changes_the_opacity(opened):
    """Only the heatmap changes; at 0 the image is bare."""
    page = opened()
    heat, base = page.locator("#gallery .heatmap:visible").first, page.locator("#gallery .base").first
    opacity = "one => getComputedStyle(one).opacity"

    assert heat.evaluate(opacity) == "0.5"
    slide(page, 0)
    assert heat.evaluate(opacity) == "0"
    assert base.evaluate(opacity) == "1"
    slide(page, 100)
    assert heat.evaluate(opacity) == "1"
    assert visible_texts(page, "output") == ["100 %"]


def test_slider_works_with_the_keyboard(opened):
    """The arrow keys move it."""
    page = opened()
    page.locator(".opacity input").first.focus()
    page.keyboard.press("ArrowRight")

    assert visible_texts(page, "output") == ["51 %"]


def test_method_switch_changes_all_heatmaps(opened):
    """Heatmaps and captions change; each image shows one heatmap."""
    page = opened()
    visible = page.locator("#gallery .heatmap:visible")
    before = visible.first.get_attribute("src")
    assert visible.count() == 24

    page.get_by_label("fusion-cam", exact=True).check(force=True)
    assert visible.count() == 24
    assert {heatmap.get_attribute("data-method") for heatmap in visible.all()} == {"fusion-cam"}
    assert visible.first.get_attribute("src") != before
    assert "gains D +0.100" in page.locator("#gallery .caption:visible").first.inner_text()


def test_class_button_changes_one_image(opened):
    """The other images keep their class."""
    page = opened()
    page.locator("#gallery .classes button").nth(1).click()
    groups = [one.get_attribute("data-class") for one in page.locator("#gallery .heatmap:visible").all()]

    assert groups == ["1", *["0"] * 23]
    assert page.locator("#gallery .classes button").nth(1).get_attribute("aria-pressed") == "true"


def test_gallery_has_pages(opened):
    """There are 24 images per page, and the buttons stop at both ends."""
    page = opened()
    assert visible_texts(page, "#count") == ["1 to 24 of 31 images"]
    assert page.locator("#previous").is_disabled()
    page.locator("#next").click()

    assert visible_texts(page, "#count") == ["25 to 31 of 31 images"]
    assert visible_texts(page, "#gallery h3") == [*NAMES[24:], MARKUP_NAME]
    assert page.locator("#next").is_disabled()
    assert not page.locator("#previous").is_disabled()


def test_search_finds_names_and_classes(opened):
    """It filters images and table rows by all words, and shows the first page."""
    page = opened()
    page.locator("#next").click()
    page.locator("#search").fill("tabby")
    assert visible_texts(page, "#count") == ["1 to 24 of 31 matching, of 31 images"]
    page.locator("#search").fill("TIGER 17")

    assert visible_texts(page, "#gallery h3") == ["17.png"]
    assert visible_texts(page, "#count") == ["1 matching, of 31 images"]
    assert {row.split("\t")[0] for row in visible_texts(page, "table.listing tbody tr")} == {"17.png"}
    page.locator("#search").fill("no such name")
    assert visible_texts(page, "#gallery h3") == []
    page.locator("#search").fill("<img")
    assert visible_texts(page, "#gallery h3") == [MARKUP_NAME]


def test_tables_are_sorted(opened):
    """A click sorts by number, the best first; another click reverses the order."""
    page = opened("benchmark")
    table = page.locator("#tables table").first
    numbers = "table => [...table.tBodies[0].rows].map(row => Number(row.cells[1].dataset.key))"
    header = table.locator("thead button").nth(1)
    header.click()

    down = table.evaluate(numbers)
    assert down == sorted(down, reverse=True)
    assert header.locator("xpath=..").get_attribute("aria-sort") == "descending"
    header.click()
    assert table.evaluate(numbers) == sorted(down)
    assert table.locator("tbody.footer th").inner_text() == "ones"


def test_names_are_sorted_naturally(opened):
    """Numbers in names sort by value, and case is ignored."""
    page = opened()
    table = page.locator("table.listing")
    table.locator("thead button").first.click()
    table.locator("thead button").first.click()

    assert table.locator("tbody th").first.inner_text() == "29.png"


def test_heatmaps_are_compared_side_by_side(opened):
    """A dialog shows all heatmaps of an image with its own slider; Escape closes it."""
    page = opened()
    page.locator("#gallery .stack").nth(2).click()
    assert visible_texts(page, "#compare-title") == ["2.png"]
    assert visible_texts(page, "#compare figcaption:not(.curve *)") == [
        "grad-cam tabby 80.0%", "fusion-cam tabby 80.0%", "grad-cam tiger cat 10.0%", "fusion-cam tiger cat 10.0%",
    ]  # fmt: skip
    slide(page, 20, index=1)
    assert page.locator("#compare .heatmap").first.evaluate("one => getComputedStyle(one).opacity") == "0.2"

    page.keyboard.press("Escape")
    assert not page.locator("#compare").is_visible()
    assert visible_texts(page, "output") == ["20 %"]


def test_markup_in_names_is_escaped_everywhere(opened):
    """Card, dialog and table show it as text: no image is requested and no script runs."""
    page = opened()
    page.locator("#next").click()
    page.locator("#gallery .stack").last.click()

    assert visible_texts(page, "#compare-title") == [MARKUP_NAME]
    assert page.locator("img[src='x']").count() == 0


def test_trust_card_opens(opened):
    """Its summary is always visible, questions and curves once it is opened."""
    page = opened()
    card = page.locator("#gallery .trust:visible").first
    assert "mixed" in card.inner_text()
    assert not card.locator("polyline").first.is_visible()
    card.locator("summary").first.click()

    assert card.locator("polyline").first.is_visible()
    assert "Does the score follow the heatmap?" in card.inner_text()


@pytest.mark.parametrize("source", ["explain", "benchmark"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_light_or_dark(opened, source, scheme):
    """The page follows the system until the button is pressed; text has contrast in both."""
    page = opened(source, scheme=scheme)
    other = {"light": "dark", "dark": "light"}[scheme]

    assert colour(page, "background-color") == PAPER[scheme]
    assert abs(sum(colour(page, "color")) - sum(colour(page, "background-color"))) > 500
    page.locator("#theme").click()
    assert colour(page, "background-color") == PAPER[other]
    page.locator("#theme").click()
    assert colour(page, "background-color") == PAPER[scheme]


def test_drawings_are_readable_on_a_dark_page(opened):
    """The text of figures is light on a dark page and dark on a light page."""
    fills = "() => [...document.querySelectorAll('.drawing svg text')].map(one => getComputedStyle(one).fill)"
    dark = [sum(parts_of(one)) for one in opened("benchmark", scheme="dark").evaluate(fills)]
    light = [sum(parts_of(one)) for one in opened("benchmark").evaluate(fills)]

    assert min(dark) > 480
    assert max(light) < 280


@pytest.mark.parametrize("source", ["explain", "benchmark"])
def test_phone_scrolls_only_vertically(opened, source):
    """At 390 pixels neither page nor dialog is wider than the screen; wide tables scroll in their frame."""
    page = opened(source, width=390)
    wide = "() => document.documentElement.scrollWidth"
    assert page.evaluate(wide) == 390
    assert page.locator("#tables .wide").first.evaluate("one => { one.scrollLeft = 99; return one.scrollLeft; }") > 0
    page.locator("#gallery .stack").first.click()

    assert page.evaluate(wide) == 390
    assert page.locator("#compare").evaluate("one => one.scrollWidth <= one.clientWidth")
    assert page.locator("#gallery .card").first.bounding_box()["width"] > 340


def test_page_prints(opened):
    """The tools are hidden and folded parts are open."""
    page = opened("benchmark", scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert not page.locator(".tools").is_visible()
    assert page.locator(".fine li").first.is_visible()
    assert colour(page, "background-color") == (255, 255, 255)
    assert page.pdf(format="A4").startswith(b"%PDF")


def colour(page, name):
    """Return a colour of the body."""
    return parts_of(page.evaluate(f"() => getComputedStyle(document.body).getPropertyValue('{name}')"))


def parts_of(value):
    """Parse rgb(…)."""
    return tuple(int(part) for part in value.removeprefix("rgb(").removesuffix(")").split(","))

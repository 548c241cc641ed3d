"""The page of an audit in a browser: click, filter, sort."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusioncam.audit import AuditPlan, audit
from fusioncam.audit.files import FILE
from fusioncam.report.html.page import write_html_report
from stamps import write_masks, write_squares
from visitors import TIMEOUT

pytestmark = [pytest.mark.slow, pytest.mark.serial]
COUNT = 10


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The page of an audit of thirty images with masks, against another network."""
    root = tmp_path_factory.mktemp("audit")
    data, masks = write_squares(root / "data", COUNT), write_masks(root / "masks", COUNT)
    plan = AuditPlan(str(data), "stamps:reader", "grad-cam", masks=str(masks), against="stamps:honest")
    audit(plan, root / "out")
    distrust_and_change(root / "out" / FILE)
    return write_html_report(root / "out")[0]


def distrust_and_change(path):
    """Give the first image of an audit a low trust, and the second another decision by the other network."""
    stored = json.loads(path.read_text())
    first, second = stored["images"][:2]
    first["low_trust"] = True
    stored["against"]["changed"] = [
        {name: second[name] for name in ("image", "target", "label", "probability", "right")}
        | {
            "target_other": 1,
            "label_other": "green",
            "probability_other": 0.75,
            "right_other": False,
            "similarity": 0.5,
        }
    ]
    path.write_text(json.dumps(stored))


@pytest.fixture(params=[1280, 390])
def page(request, browser, path):
    """The page in a wide and in a narrow window; errors and requests for other files fail the test."""
    context, complaints = browser.new_context(viewport={"width": request.param, "height": 900}), []
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if is_foreign(request.url, path) else None)
    page.goto(path.as_uri())
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= request.param
    context.close()
    assert complaints == []


def is_foreign(url, path):
    """Return whether a request leaves the file."""
    return not url.startswith("data:") and url.partition("#")[0] != path.as_uri()


def captions(page):
    """Return the captions of the images that are shown."""
    return page.locator("#gallery .class").all_inner_texts()


def slide(page, percent):
    """Move the limit of the heat on the object."""
    page.locator("#on-object").evaluate(
        "(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input', {bubbles: true})); }", percent
    )


def test_filters(page):
    """By class, decision, heat on the object and text; a button shows all again."""
    assert (len(captions(page)), page.inner_text("#count")) == (24, "30 images")
    page.click("#next")
    assert len(captions(page)) == 6
    page.select_option("[data-filter=class]", "red")
    assert page.inner_text("#count") == "10 of 30 images"
    assert all(text.startswith("red") for text in captions(page))
    page.select_option("[data-filter=decision]", "wrong")
    assert captions(page) == []
    page.click("#clear")
    slide(page, 50)
    assert {text.split(",")[0] for text in captions(page)} == {"red"}
    assert page.inner_text(".limit output") == "50 %"
    page.click("#clear")
    page.select_option("[data-filter=trust]", "low")
    assert page.locator("#gallery .level.poor").count() == len(captions(page)) == 1
    page.select_option("[data-filter=trust]", "other")
    assert page.inner_text("#count") == "29 of 30 images"
    page.click("#clear")
    page.fill("#search", "green 03")
    assert len(captions(page)) == 1


def test_order(page):
    """Images are sorted by any measure in both directions; the order of the data has none."""
    assert not page.locator("#order").is_visible()
    for direction, sign in (("1", 1), ("-1", -1)):
        page.select_option("#measure", "probability")
        page.select_option("#order", direction)
        found = [sign * int(text.split(", ")[1].rstrip("%")) for text in captions(page)]
        assert found == sorted(found)
    page.select_option("#measure", "on-object")
    page.select_option("#order", "1")
    assert [text.split(",")[0] for text in captions(page)[:COUNT]] == ["red"] * COUNT


def test_table_is_sorted_by_a_column(page):
    """A click on a header sorts the classes, another one reverses the order."""
    header = page.locator("#classes thead button", has_text="on object").first
    rows = page.locator("#classes tbody th")
    header.click()
    assert rows.first.inner_text() == "red"
    header.click()
    assert rows.last.inner_text() == "red"


def test_clicks_lead_to_images(page):
    """A class shows its images, an image its numbers, and arrow keys the next image."""
    page.locator(".class-card[data-show-class=green]").first.click()
    assert {text.split(",")[0] for text in captions(page)} == {"green"}
    page.locator("#gallery .stack").first.click()
    assert page.inner_text("#detail-title").startswith("00.png: green")
    assert page.locator("#detail .heatmap").count() == 1
    assert "heat on the object" in page.inner_text("#detail-facts")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#detail-title").startswith("01.png: green")
    page.keyboard.press("Escape")
    page.locator(".suspect .thumbnail").first.click()
    assert ": red" in page.inner_text("#detail-title")


def test_differences_lead_to_images(page):
    """Of the other network: a class shows its images, a column sorts its table, and a changed decision opens."""
    card = page.locator("#against .class-card").first
    name = card.locator("strong").inner_text()
    assert card.locator(".quiet").inner_text().startswith("similarity \N{MINUS SIGN}0.")
    card.click()
    assert {text.split(",")[0] for text in captions(page)} == {name}
    header = page.locator("#against thead button", has_text="similarity")
    rows = page.locator("#against tbody tr")
    header.click()
    column = "rows => rows.map(row => Number(row.cells[2].dataset.key))"
    values = rows.evaluate_all(column)
    assert values == sorted(values)
    header.click()
    assert rows.evaluate_all(column) == sorted(values, reverse=True)
    page.locator("#against tbody th", has_text="blue").click()
    assert {text.split(",")[0] for text in captions(page)} == {"blue"}
    changed = page.locator("#against .changes figure")
    assert changed.locator("figcaption").inner_text().endswith("→ green 75.0%")
    name = Path(changed.locator(".thumbnail").get_attribute("data-open")).name
    changed.locator(".thumbnail").click()
    assert page.inner_text("#detail-title").startswith(f"{name}: ")

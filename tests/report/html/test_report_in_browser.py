"""The HTML report in a browser: headless Chromium of the system, driven by Playwright."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from fusioncam.cli.main import main
from fusioncam.report.html.disagreement import disagreement
from fusioncam.report.html.page import write_html_report
from reports import TRUST_CARD, smooth_heatmap, write_explanations, write_photos, write_run
from scans import write_nifti
from visitors import TIMEOUT, expect

pytestmark = [pytest.mark.slow, pytest.mark.serial]

NAMES = [f"{n}.png" for n in range(30)]
MARKUP_NAME = '<img src=x onerror=alert(1)>"&.png'
METHODS = ("grad-cam", "fusion-cam")
BENCHMARKED = (*METHODS, "score-cam", "ones")
TEXTS = "elements => elements.map(element => element.textContent)"
POINTS = "box => echarts.getInstanceByDom(box).getOption().series[0].data"
PIXEL = "(box, point) => echarts.getInstanceByDom(box).convertToPixel({gridIndex: 0}, point)"
LEVELS = {"0.png": "mixed", "1.png": "poor", "2.png": "good", "3.png": "unknown"}
PAPER = {"light": (251, 250, 248), "dark": (21, 23, 26)}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return a report of explanations of 31 images with two classes, and one of a benchmark."""
    root = tmp_path_factory.mktemp("pages")
    classes = (("tabby", 0.8), ("tiger cat", 0.1))
    out = write_explanations(
        root / "out", [*NAMES, MARKUP_NAME], METHODS, classes, failures=[("x.png", "<b>torn")], trust_card=TRUST_CARD
    )
    few = NAMES[:14]
    run = write_run(
        root / "run", few, BENCHMARKED, data=write_photos(root / "photos", few), failures=[("x.png", "torn")]
    )
    graded = write_explanations(root / "graded", NAMES[:4], METHODS, trust_card=TRUST_CARD)
    grade(graded / "explanations.json", LEVELS)
    folders = {"explain": out, "benchmark": run, "graded": graded}
    return {name: write_html_report(folder)[-1] for name, folder in folders.items()}


def grade(path, levels):
    """Change the levels of the trust cards in a file of explanations, image by image."""
    facts = json.loads(path.read_text())
    for explanation in facts["explanations"]:
        explanation["check"] = TRUST_CARD | {"level": levels[explanation["image"]]}
    path.write_text(json.dumps(facts))


def insertion_values(images=14):
    """Return the values of insertion that `write_run` draws, by method and image."""
    rng, values = np.random.default_rng(0), {method: {} for method in BENCHMARKED}
    for index in range(images):
        for method in BENCHMARKED:
            values[method][f"{index}.png"] = rng.random()
            rng.random(5)
    return values


VALUES = insertion_values()


@pytest.fixture
def opened(browser, pages):
    """Return a function that opens a report; an error in the console or a request for another file fails the test."""
    contexts, complaints = [], []

    def open_(source="explain", width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
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

    assert heat.evaluate(opacity) == "0.6"
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

    assert visible_texts(page, "output") == ["61 %"]


def test_method_switch_changes_all_heatmaps(opened):
    """The page opens on Fusion-CAM; heatmaps and captions change; each image shows one heatmap."""
    page = opened()
    visible = page.locator("#gallery .heatmap:visible")
    before = visible.first.get_attribute("src")
    assert visible.count() == 24

    assert {heatmap.get_attribute("data-method") for heatmap in visible.all()} == {"fusion-cam"}
    assert "gains D +0.100" in page.locator("#gallery .caption:visible").first.inner_text()

    page.get_by_label("grad-cam", exact=True).check(force=True)
    assert visible.count() == 24
    assert {heatmap.get_attribute("data-method") for heatmap in visible.all()} == {"grad-cam"}
    assert visible.first.get_attribute("src") != before


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
        "original",
        "grad-cam tabby 80.0%", "fusion-cam tabby 80.0%", "grad-cam tiger cat 10.0%", "fusion-cam tiger cat 10.0%",
    ]  # fmt: skip
    assert page.locator("#compare figure").first.locator(".heatmap").count() == 0
    slide(page, 20, index=1)
    assert page.locator("#compare .heatmap").first.evaluate("one => getComputedStyle(one).opacity") == "0.2"

    page.keyboard.press("Escape")
    expect(page.locator("#compare")).to_be_hidden()
    assert visible_texts(page, "output") == ["20 %"]


def test_arrow_keys_show_the_next_image(opened):
    """They stop at both ends of the images that match, and move a slider that has the focus."""
    page = opened()
    page.locator("#search").fill("2")
    names = visible_texts(page, "#gallery h3")
    page.locator("#gallery .stack").first.click()
    assert page.locator("#earlier").is_disabled()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    assert visible_texts(page, "#compare-title") == [names[1]]
    assert visible_texts(page, "#position") == [f"2 of {len(names)}"]

    page.locator("#compare .opacity input").focus()
    page.keyboard.press("ArrowRight")
    assert visible_texts(page, "#compare-title") == [names[1]]
    assert visible_texts(page, "#compare output") == ["61 %"]
    page.locator("#compare [value=boxes]").check()
    page.keyboard.press("ArrowRight")
    assert visible_texts(page, "#compare-title") == [names[2]]


def test_two_heatmaps_lie_under_a_slider(opened):
    """Left of the edge is the original, right of it the heatmap; the mouse and the keyboard move the edge."""
    page = opened("benchmark")
    page.locator("#gallery .stack").first.click()
    page.locator("#views [value=wipe]").click()
    left, right = page.locator("#stage .stack").all()
    assert left.locator(".heatmap").count() == 0
    assert right.locator(".heatmap").get_attribute("data-method") == "fusion-cam"
    assert right.evaluate("one => getComputedStyle(one).clipPath") == "inset(0px 0px 0px 50%)"

    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60, steps=3)
    page.mouse.up()
    assert right.evaluate("one => getComputedStyle(one).clipPath") == "inset(0px 0px 0px 25%)"
    page.locator("#wipe").focus()
    page.keyboard.press("ArrowRight")
    assert right.evaluate("one => getComputedStyle(one).clipPath") == "inset(0px 0px 0px 26%)"

    page.locator("#pair select").first.select_option("grad-cam")
    assert page.locator("#stage .heatmap").first.get_attribute("data-method") == "grad-cam"
    page.keyboard.press("Escape")


def test_difference_is_red_where_the_second_is_hotter(opened):
    """The colours of its pixels follow the sign of the difference; equal heatmaps have none."""
    page = opened("benchmark")
    page.locator("#gallery .stack").first.click()
    page.locator("#views [value=difference]").click()
    stage = page.locator("#stage")
    first, second = (smooth_heatmap(100 * 0 + number) for number in range(2))
    slide(page, 100, index=1)
    row, column = np.unravel_index((second - first).argmax(), first.shape)

    hottest = pixel(stage, column / 47, row / 47)
    assert hottest[0] > hottest[2] + 60
    page.locator("#pair select").first.select_option("fusion-cam")
    page.locator("#pair select").last.select_option("grad-cam")
    coldest = pixel(stage, column / 47, row / 47)
    assert coldest[2] > coldest[0] + 60
    page.locator("#pair select").first.select_option("grad-cam")
    red, green, blue = pixel(stage, column / 47, row / 47)
    assert max(red, green, blue) - min(red, green, blue) < 12


def test_images_are_sorted_by_a_metric(opened):
    """The best or the worst of the selected method come first; "best 12" leaves out the others."""
    page = opened("benchmark")
    values = VALUES["fusion-cam"]
    page.locator("#measure").select_option(label="by insertion")
    assert visible_texts(page, "#gallery h3") == sorted(values, key=values.get, reverse=True)
    assert page.locator("#order option").all_inner_texts()[2:] == [
        "best 12 for fusion-cam",
        "worst 12 for fusion-cam",
    ]

    page.locator("#order").select_option("last-few")
    assert visible_texts(page, "#gallery h3") == sorted(values, key=values.get)[:12]
    assert visible_texts(page, "#count") == ["12 shown, of 14 images"]
    page.get_by_label("grad-cam", exact=True).check(force=True)
    others = VALUES["grad-cam"]
    assert visible_texts(page, "#gallery h3") == sorted(others, key=others.get)[:12]


def test_images_are_sorted_by_trust_and_disagreement(opened):
    """Both are among the orders of explanations."""
    page = opened()
    assert page.locator("#measure option").all_inner_texts() == [
        "order of the run", "by trust", "by disagreement of the methods", "by probability",
    ]  # fmt: skip
    page.locator("#measure").select_option(label="by disagreement of the methods")
    first = page.locator("#gallery h3").first.inner_text()
    index = int(first.removesuffix(".png"))
    expected = max(range(30), key=lambda n: disagreement([smooth_heatmap(100 * n), smooth_heatmap(100 * n + 1)]))
    assert index == expected


def test_levels_of_trust_sort_and_filter(opened):
    """The best level comes first, unknown ones last; a filter leaves the images and rows of its level."""
    page = opened("graded")
    page.locator("#measure").select_option(label="by trust")
    assert visible_texts(page, "#gallery h3") == ["2.png", "0.png", "1.png", "3.png"]
    page.locator("#order").select_option("last")
    assert visible_texts(page, "#gallery h3") == ["1.png", "0.png", "2.png", "3.png"]

    page.locator("[data-filter=level]").select_option("poor")
    assert visible_texts(page, "#gallery h3") == ["1.png"]
    assert {row.split("\t")[0] for row in visible_texts(page, "table.listing tbody tr")} == {"1.png"}


def test_images_and_rows_are_filtered(opened):
    """By the class, which then is the one that is shown, and by the method."""
    page = opened()
    page.locator("[data-filter=class]").select_option("tiger cat")
    shown = {one.get_attribute("data-class") for one in page.locator("#gallery .heatmap:visible").all()}
    visible = page.locator("table.listing tbody tr:visible")
    classes = visible.evaluate_all("rows => rows.map(row => row.cells[1].textContent)")
    assert shown == {"1"}
    assert classes == ["tiger cat"] * 62

    page.locator("[data-filter=only]").select_option("grad-cam")
    assert visible.count() == 31
    assert page.get_by_label("grad-cam", exact=True).is_checked()


def test_a_row_and_a_dot_open_their_image(opened):
    """A cell of the table of heatmaps, a cell of the table of values, and a dot."""
    page = opened()
    page.locator("table.listing tbody tr", has_text="17.png").first.locator("td").nth(1).click()
    assert visible_texts(page, "#compare-title") == ["17.png"]

    page = opened("benchmark")
    points = page.locator("#charts .chart").nth(1)
    position = place_of(points, [VALUES["grad-cam"]["3.png"], VALUES["fusion-cam"]["3.png"]])
    points.hover(position=position)
    assert page.locator("#charts .chart-tip").nth(1).inner_text().startswith("3.png\n")
    points.click(position=position)
    assert visible_texts(page, "#compare-title") == ["3.png"]
    page.keyboard.press("Escape")
    page.get_by_text("All values of this metric").click()
    page.locator("#value-table tbody tr").nth(2).locator("button").first.click()
    assert visible_texts(page, "#compare-title") == ["2.png"]
    page.keyboard.press("Escape")
    page.locator("#value-table thead button", has_text="grad-cam").click()
    worst = min(VALUES["grad-cam"], key=VALUES["grad-cam"].get)
    assert page.locator("#value-table tbody th").first.inner_text() == worst


def test_two_methods_are_compared_image_by_image(opened):
    """The sentence, the histogram and the dots follow the metric, the methods and the filters."""
    page = opened("benchmark")
    first, second = VALUES["grad-cam"], VALUES["fusion-cam"]
    wins = sum(second[name] > first[name] for name in first)
    sentence = f"fusion-cam is better on {wins} of 14 images, grad-cam on {14 - wins}"
    assert page.locator("#pairs").inner_text().startswith(sentence)
    differences, points = page.locator("#charts .chart").all()
    bars = differences.evaluate(POINTS)
    largest = max(abs(second[name] - first[name]) for name in first)
    assert sum(count for _, count in bars) == 14
    assert sum(count for middle, count in bars if middle > 0) == wins
    assert bars[-1][0] + bars[0][0] == pytest.approx(0)
    assert bars[-1][0] * len(bars) / (len(bars) - 1) == pytest.approx(largest, rel=1e-4)
    tallest = max(bars, key=lambda bar: bar[1])
    differences.hover(position=place_of(differences, [tallest[0], tallest[1] / 2]))
    assert f": {tallest[1]} of 14 images" in page.locator("#charts .chart-tip").first.inner_text()

    page.locator("#search").fill("3.png")
    assert len(points.evaluate(POINTS)) == 2
    ticks = differences.locator("text[text-anchor=end]").evaluate_all(TEXTS)
    assert ticks == ["0", "1"]  # two images are not counted in halves
    page.locator("#values select").nth(1).select_option("score-cam")
    assert "score-cam" in page.locator("#pairs").inner_text()
    assert page.locator("#charts figcaption").first.inner_text() == "insertion: fusion-cam minus score-cam"
    assert differences.get_attribute("role") == "img"
    assert "fusion-cam minus score-cam" in differences.get_attribute("aria-label")
    page.locator("#search").fill("no such name")
    assert not differences.is_visible()


def test_curves_show_values_beside_the_pointer(opened):
    """The mean of each method at the pointer, the highest first; a click on a name highlights it."""
    page = opened("benchmark")
    plot = page.locator(".curves .chart").first
    plot.hover(position=place_of(plot, [0.5, 0.5]))
    lines = page.locator(".curves .chart-tip").first.inner_text().split("\n")
    assert lines[0] == "share of pixels shown: 0.5"
    assert sorted(line.split()[1] for line in lines[1:]) == ["fusion-cam", "grad-cam", "ones", "score-cam"]
    means = [float(line.split()[0]) for line in lines[1:]]
    assert means == sorted(means, reverse=True)
    button = page.locator(".curves .legend button", has_text="ones")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert page.locator(".curves .chart").first.locator('path[stroke="var(--series)"]').count() == 1
    assert page.locator(".curves .chart").first.locator('path[stroke^="var(--series-"]').count() == 3

    page = opened()
    page.locator("#gallery .trust:visible summary").first.click()
    page.locator("#gallery .curve > svg:visible").first.hover()
    assert "50 % of the axis" in page.locator("#tip").inner_text()


def test_colours_of_heatmaps_are_chosen(opened):
    """Another colour map changes the filter of all heatmaps, and the heat may set the opacity."""
    page = opened()
    heatmap = page.locator("#gallery .heatmap:visible").first
    page.locator("#colours").select_option("viridis")
    assert heatmap.evaluate("one => getComputedStyle(one).filter") == 'url("#cm-viridis-fade")'
    page.locator("#fade").uncheck()
    assert heatmap.evaluate("one => getComputedStyle(one).filter") == 'url("#cm-viridis")'
    assert page.locator("#cm-viridis-fade").count() == 1


@pytest.mark.parametrize("name", ["contour", "boxes"])
def test_outlines_are_switched_on(opened, name):
    """They lie over the heatmap that is shown, in the gallery and in the dialog; both switches are one."""
    page = opened()
    card = page.locator("#gallery .card").first
    shown, dialog = (page.locator(f"{place} path.{name}:visible") for place in ("#gallery", "#compare"))
    assert shown.count() == 0
    page.locator(f".tools [value={name}]").check()
    assert shown.count() == 24

    place, image = (card.locator(one).bounding_box() for one in (".heatmap:visible", f"path.{name}:visible"))
    assert image["width"] > 0.3 * place["width"]
    before = card.locator(f"path.{name}:visible").get_attribute("d")
    page.get_by_label("grad-cam", exact=True).check(force=True)
    assert shown.count() == 24
    assert card.locator(f"path.{name}:visible").get_attribute("d") != before

    card.locator(".stack").click()
    assert dialog.count() == 4
    page.locator("#views [value=wipe]").click()
    assert dialog.count() == 1
    page.locator("#views [value=difference]").click()
    assert dialog.count() == 0
    page.locator("#views [value=all]").click()
    page.locator(f"#compare [value={name}]").uncheck()
    assert dialog.count() == 0
    page.keyboard.press("Escape")
    assert not page.locator(f".tools [value={name}]").is_checked()
    assert shown.count() == 0


def test_colour_bar_has_the_colours_of_heatmaps(opened):
    """It follows the choice of colours, beside the images and in the dialog."""
    page = opened()
    assert visible_texts(page, ".bar") == []
    page.locator(".tools [value=bar]").check()
    bar = page.locator(".tools .bar")
    assert bar.inner_text().split() == ["0", "1"]
    page.locator("#colours").select_option("viridis")
    page.locator("#fade").uncheck()
    assert bar.locator(".scale").evaluate("one => getComputedStyle(one).filter") == 'url("#cm-viridis")'
    low, high = (pixel(bar.locator(".scale"), x, 0.5) for x in (0.02, 0.98))
    assert low[2] > low[1]
    assert high[0] > 200 > high[2]
    page.locator("#gallery .stack").first.click()
    assert page.locator("#compare .bar").is_visible()


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


@pytest.mark.parametrize("width", [390, 1280])
def test_long_names_in_tables_are_not_cut_off(opened, width):
    """They continue in the next line: settings at the end of a name distinguish methods."""
    page = opened("benchmark", width=width)
    name = page.locator("#tables tbody th").first
    name.evaluate(
        "cell => { cell.textContent = 'fusion-cam:multiscale(base=fusion-cam(region=group-cam),theta=10)' }"
    )
    assert name.evaluate("cell => [cell.scrollWidth - cell.clientWidth, getComputedStyle(cell).overflow]") == [
        0,
        "visible",
    ]


def test_page_prints(opened):
    """The tools are hidden and folded parts are open."""
    page = opened("benchmark", scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert not page.locator(".tools").is_visible()
    assert page.locator(".fine li").first.is_visible()
    assert colour(page, "background-color") == (255, 255, 255)
    assert page.pdf(format="A4").startswith(b"%PDF")


def place_of(chart, point):
    """Return where a point of a chart is within its box, in pixels."""
    x, y = chart.evaluate(PIXEL, point)
    return {"x": x, "y": y}


def pixel(locator, x, y):
    """Return the colour of an element at a position, each from 0 to 1, once its images are decoded."""
    locator.evaluate("one => Promise.all([...one.querySelectorAll('img')].map(image => image.decode()))")
    image = Image.open(io.BytesIO(locator.screenshot())).convert("RGB")
    return image.getpixel((round(x * (image.width - 1)), round(y * (image.height - 1))))


def colour(page, name):
    """Return a colour of the body."""
    return parts_of(page.evaluate(f"() => getComputedStyle(document.body).getPropertyValue('{name}')"))


def parts_of(value):
    """Parse rgb(…)."""
    return tuple(int(part) for part in value.removeprefix("rgb(").removesuffix(")").split(","))


# -- volumes ---------------------------------------------------------------------------------------------------------


def test_a_slider_moves_through_a_volume(browser, tmp_path, monkeypatch):
    """It starts at the hottest slice; the comparison has a slider of its own."""
    pytest.importorskip("nibabel", reason='volumes need pip install "fusioncam[volumes]"')
    path = write_nifti(tmp_path / "scan.nii.gz")
    words = f"fusioncam explain {path} --model scans:model -m grad-cam -m eigen-cam --out {tmp_path / 'out'}"
    monkeypatch.setattr("sys.argv", words.split())
    with pytest.raises(SystemExit, match="0"):
        main()
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT)
    page.goto((tmp_path / "out" / "report.html").as_uri())
    shown, stack = page.locator(".card img.base").first, page.locator(".card .stack")

    def slices_above():
        boxes = [one.bounding_box() for one in (stack, shown)]
        return (boxes[0]["y"] - boxes[1]["y"]) / boxes[0]["height"]

    assert slices_above() == pytest.approx(5, abs=0.05)
    assert page.locator(".card .slice output").text_content() == "6"
    page.locator(".card .slice input").fill("0")
    assert page.locator(".card .slice output").text_content() == "1"
    assert slices_above() == pytest.approx(0, abs=0.05)
    stack.click()
    page.locator("#slice input").fill("7")
    assert page.locator("#slice output").text_content() == "8"
    page.close()

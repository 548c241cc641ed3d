"""The HTML report: its content, that it needs no other file, and that names in it are escaped."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusioncam.errors import OutputError, ResultsError
from fusioncam.report.html import page_model
from fusioncam.report.html.benchmark_page import side_by_side_methods
from fusioncam.report.html.disagreement import disagreement
from fusioncam.report.html.page import write_html_report
from fusioncam.report.html.stored_explanations import read_explanations
from fusioncam.report.manifest import remove_stale_files
from fusioncam.visualization import colourise, remove_overlay
from reports import TRUST_CARD, smooth_heatmap, smooth_image, write_explanations, write_photos, write_run
from runs import results, rows_of, save, shifted_values

MARKUP_NAME = '<script>alert("1")<img src=x onerror=alert(2)>.png'


class ParsedPage(HTMLParser):
    """Parses a page into its elements, with their attributes and direct text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict, list[str]]] = []
        self._open: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Start an element."""
        self.elements.append((tag, dict(attrs), []))
        if tag not in ("img", "meta", "input", "path", "polyline", "link"):
            self._open.append(self.elements[-1][2])

    def handle_endtag(self, tag):
        """End the current element."""
        if self._open:
            self._open.pop()

    def handle_data(self, data):
        """Add text to the current element."""
        if self._open:
            self._open[-1].append(data)

    def all(self, tag, **wanted):
        """List the attributes of the elements of a tag that have the ``wanted`` attributes."""
        return [a for name, a, _ in self.elements if name == tag and wanted.items() <= a.items()]

    def texts(self, tag):
        """List the texts of the elements of a tag."""
        return ["".join(text).strip() for name, _, text in self.elements if name == tag]


def page_of(folder):
    """Write the report of a folder, and return its text and the parsed page."""
    path = write_html_report(folder)[-1]
    assert path == folder / "report.html"
    text = path.read_text(encoding="utf-8")
    return text, ParsedPage(text)


def decoded(uri):
    """Open a data URI as an image."""
    kind, _, data = uri.partition(",")
    assert kind in ("data:image/webp;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture(scope="module", params=["explain", "benchmark"])
def folder(request, tmp_path_factory):
    """Return a folder of either source, with three images and a failure."""
    root = tmp_path_factory.mktemp(request.param)
    names, failures = ["cat.png", "dog.png", "a cup.png"], [("torn.jpg", "torn.jpg: truncated")]
    if request.param == "explain":
        return write_explanations(root / "out", names, failures=failures, trust_card=TRUST_CARD)
    return write_run(root / "run", names, data=write_photos(root / "photos", names), failures=failures)


@pytest.fixture(scope="module")
def rendered(folder):
    """Return the page of that folder, as text and parsed."""
    return page_of(folder)


@pytest.fixture
def run(tmp_path):
    """Return a small run of one metric and two methods."""
    return save(tmp_path / "run", rows_of({"fusion-cam": [0.1, 0.2], "grad-cam": [0.3, 0.1]}))


@pytest.fixture
def without_charts(monkeypatch):
    """Draw no charts of the results, which take most of the time, for tests that look at the rest of a page."""
    monkeypatch.setattr("fusioncam.report.write.draw_figures", lambda results: ())


# -- both sources ----------------------------------------------------------------------------------------------


def test_page_has_images_tables_failures_and_settings(rendered):
    """All sections exist for either source."""
    text, page = rendered

    assert [a["alt"] for a in page.all("img", **{"class": "base"})] == ["cat.png", "dog.png", "a cup.png"]
    assert {"grad-cam", "fusion-cam"} <= {a["data-method"] for a in page.all("img", **{"class": "heatmap"})}
    assert page.all("table")
    assert "torn.jpg: truncated" in page.texts("dd")
    assert "0.1.0" in page.texts("dd")
    assert "color-scheme: light dark" in text
    assert '[data-theme="dark"]' in text
    assert "@media print" in text


def test_nothing_is_fetched(rendered):
    """All resources of elements and styles are in the file, and its policy forbids to load others."""
    text, page = rendered

    for name, attributes, _ in page.elements:
        for key in ("src", "srcset", "href", "xlink:href", "data", "poster", "action"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:image/", "#")), (name, key, value[:80])
        assert not re.search(r"url\((?!#)", attributes.get("style", ""))
    assert not page.all("link")
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", "".join(page.texts("style")))
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_policy_allows_the_page_s_scripts_only(rendered):
    """Its hashes are those of the texts between the tags; the library is there if there are charts."""
    text, page = rendered
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]

    assert policy.endswith("script-src " + " ".join(f"'sha256-{digest}'" for digest in digests))
    assert len(page.all("script")) == len(scripts) == (2 if 'class="chart"' in text else 1)
    assert ("Apache ECharts" in scripts[0]) == (len(scripts) == 2)


def test_library_evaluates_no_text_and_carries_its_licences():
    """The policy would forbid the first; the second is what the licences demand of copies, which reports are."""
    vendor = files("fusioncam.report.html") / "vendor"
    library, licences = ((vendor / name).read_text(encoding="utf-8") for name in ("echarts.js", "LICENSES.txt"))

    assert not re.search(r"\beval\(|\bFunction\(|</script|<!--", library)
    assert library.startswith(f"/*!\n{licences}*/")


@pytest.mark.slow
def test_page_is_reproducible(folder, rendered):
    """Reports of equal folders can be compared byte by byte."""
    assert page_of(folder)[0] == rendered[0]


def test_markup_in_names_is_escaped(tmp_path):
    """An image, method, class or error that looks like markup is shown as text."""
    class_name, method, error = '<b class="x">', "<i>cam</i>", "</dd><script>alert(3)</script>"
    out = write_explanations(
        tmp_path / "out", [MARKUP_NAME], methods=(method,), classes=((class_name, 0.5), ("b", 0.1)),
        failures=[("<u>", error)], trust_card=TRUST_CARD | {"words": "<em>w</em>", "level": "<s>"},
    )  # fmt: skip
    _, page = page_of(out)

    assert MARKUP_NAME in page.texts("h3")
    assert page.all("template")[0]["data-search"].startswith(MARKUP_NAME.lower())
    assert error in page.texts("dd")
    assert method in page.texts("span")
    assert f"{class_name} 50.0%" in page.texts("button")
    assert page.texts("span").count("? unknown") == 6  # of two classes: card, second question, table
    for tag in ("b", "i", "u", "em", "s"):
        assert not page.all(tag)
    assert len(page.all("script")) == 1
    assert not [a for _, a, _ in page.elements if any(key.startswith("on") for key in a)]


@pytest.mark.slow
def test_markup_in_names_of_a_benchmark_is_escaped(tmp_path):
    """Rows and drawings escape names too."""
    method, model = "<i>cam</i>", '"><script>'
    run = write_run(
        tmp_path / "run", [MARKUP_NAME], methods=(method, "ones"), models=(model,), failures=[("<u>", "</dl>")]
    )
    _, page = page_of(run)

    assert MARKUP_NAME in page.texts("h3")
    assert "</dl>" in page.texts("dd")
    assert not page.all("i")
    assert len(page.all("script")) == 2  # that of the charts, and that of the page
    assert any(model in a["aria-label"] for a in page.all("svg", role="img"))


def test_page_shows_at_most_the_maximum_of_images(tmp_path, monkeypatch):
    """A note counts the images that are left out."""
    monkeypatch.setattr(page_model, "MAX_IMAGES", 2)
    _, page = page_of(write_explanations(tmp_path / "out", ["cat.png", "dog.png", "a cup.png"]))

    assert len(page.all("template")) == 2
    assert any("shows the first 2 of 3 images" in one for one in page.texts("p"))


def test_page_holds_at_most_the_maximum_of_pixels(tmp_path, monkeypatch):
    """At least one image is shown."""
    monkeypatch.setattr(page_model, "MAX_PIXEL_CHARACTERS", 1)
    _, page = page_of(write_explanations(tmp_path / "out", ["cat.png", "dog.png", "a cup.png"]))

    assert len(page.all("template")) == 1
    assert any("shows the first 1 of 3 images" in one for one in page.texts("p"))


@pytest.mark.slow
def test_page_of_many_images_is_small(tmp_path, monkeypatch):
    """Images are reduced to 224 pixels a side, so that a thousand of them stay below the limit of the file."""
    most, fewer = page_model.MAX_IMAGES, 200  # from 201 images on they are as small as those of a thousand
    monkeypatch.setattr(page_model, "MAX_IMAGES", fewer)
    monkeypatch.setattr("fusioncam.report.html.explanations_page.MAX_TABLE_ROWS", fewer)
    names = [f"{n}.png" for n in range(fewer + 1)]
    text, page = page_of(write_explanations(tmp_path / "out", names, methods=("grad-cam",), side=256))

    assert len(page.all("template")) == fewer
    assert any(f"shows the first {fewer} of {fewer + 1} images" in one for one in page.texts("p"))
    assert max(decoded(page.all("img", **{"class": "base"})[0]["src"]).size) == 224
    assert len(text) * most / fewer < page_model.MAX_PIXEL_CHARACTERS + 2**22
    assert len(page.all("tr")) == fewer + 1  # one of them the header


def test_folder_of_another_kind_is_reported(tmp_path):
    """The message says which folders have a report."""
    with pytest.raises(ResultsError, match=r"neither plan.json nor explanations.json nor audit.json nor heatmaps in"):
        write_html_report(tmp_path)


def test_unwritable_report_is_reported(tmp_path):
    """The error is one of the library's."""
    folder = write_explanations(tmp_path / "out", ["cat.png"])
    (folder / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*report\.html"):
        write_html_report(folder)


# -- explanations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [48, 333])
def test_image_is_recovered_from_an_overlay_of_an_earlier_version(side):
    """It is exact to two levels of 255; those versions stored no file of the image."""
    heatmap = smooth_heatmap(3).copy()
    heatmap[0, 0], heatmap[-1, -1] = 0, 1
    image = smooth_image(1, side)
    blended = np.asarray(image) / 2 + colourise(heatmap, image.size, "jet") * 127.5
    back = remove_overlay(Image.fromarray(blended.round().astype(np.uint8)), heatmap)

    assert np.abs(np.asarray(back, int) - np.asarray(image, int)).max() <= 2


def test_images_and_heatmaps_are_separate_layers(tmp_path):
    """One shows the image alone, the other the heatmap alone, which the page colours: white where it is 1."""
    out = write_explanations(tmp_path / "out", ["cat.png"], methods=("grad-cam",))
    heatmap = np.zeros((48, 48), np.float32)
    heatmap[:, 24:] = 1
    smooth_image(7).save(out / "0.input.jpg", quality=95)
    np.save(out / "0.0.tabby.npy", heatmap)
    _, page = page_of(out)

    base = np.asarray(decoded(page.all("img", **{"class": "base"})[0]["src"]).convert("RGB"), int)
    assert np.abs(base - np.asarray(smooth_image(7), int)).mean() < 8
    grey = np.asarray(decoded(page.all("img", **{"class": "heatmap"})[0]["src"]).convert("L"), int)
    assert grey[24, 4] < 5
    assert grey[24, -4] > 250


def test_image_of_several_classes_has_a_button_per_class(tmp_path):
    """Each heatmap belongs to one of the classes."""
    out = write_explanations(tmp_path / "out", ["cat.png"], classes=(("tabby", 0.6), ("lynx", 0.25)))
    _, page = page_of(out)

    assert {"tabby 60.0%", "lynx 25.0%"} <= set(page.texts("button"))
    assert [a["data-class"] for a in page.all("img", **{"class": "heatmap"})] == ["0", "0", "1", "1"]


def test_images_of_one_name_are_kept_apart(tmp_path):
    """They lie in two folders, or one image was explained twice; a search finds their folders."""
    _, page = page_of(write_explanations(tmp_path / "out", ["a/cat.png", "b/cat.png", "b/cat.png"]))

    assert page.texts("h3").count("cat.png") == 3
    assert [a["data-search"].split()[-1] for a in page.all("template")] == ["a/cat.png", "b/cat.png", "b/cat.png"]


def test_images_with_one_method_are_kept_apart(tmp_path):
    """Two images are two even if each has one heatmap of its own class."""
    out = write_explanations(tmp_path / "out", ["cat.png", "dog.png"], methods=("grad-cam",))
    facts = json.loads((out / "explanations.json").read_text())
    facts["explanations"][1]["class_name"] = "beagle"
    (out / "explanations.json").write_text(json.dumps(facts))
    _, page = page_of(out)

    assert {"cat.png", "dog.png"} <= set(page.texts("h3"))
    assert {"tabby 80.0%", "beagle 80.0%"} <= set(page.texts("p"))


def test_trust_card_is_shown(tmp_path):
    """It has levels as mark and word, questions, figures and curves; the table shows the level."""
    _, page = page_of(write_explanations(tmp_path / "out", ["cat.png"], methods=("grad-cam",), trust_card=TRUST_CARD))

    assert page.texts("summary") == ["", "figures"]  # the card's text is in spans
    assert page.texts("span").count("\N{CIRCLE WITH LEFT HALF BLACK} mixed") == 3
    assert "Does the score follow the heatmap?" in page.texts("p")
    assert {"0.512", "\N{MINUS SIGN}0.25"} <= set(page.texts("dd"))
    assert [a["points"].split()[0] for a in page.all("polyline")] == ["0.0,72.0"] * 3
    assert "insertion, 0 to 1:" in str(page.texts("figcaption"))
    assert "measured in 2.3 s, 120 passes and 40 partial ones" in page.texts("p")


def test_costs_are_those_of_a_method_alone(tmp_path):
    """Shared passes are stated; explanations of earlier versions have none."""
    out = write_explanations(tmp_path / "out", ["cat.png"])
    facts = json.loads((out / "explanations.json").read_text())
    facts["explanations"][1] |= {"passes": 4, "full_cost": {"passes": 69, "partial_passes": 0, "seconds": 2.5}}
    (out / "explanations.json").write_text(json.dumps(facts))
    first, second = read_explanations(out).explanations

    assert first.cost == "325 passes"
    assert second.cost == "69 passes (65 of them shared)"
    assert second.seconds == 2.5
    assert {"shared passes", "65"} <= {*page_of(out)[1].texts("button"), *page_of(out)[1].texts("span")}


def test_disagreement_of_heatmaps():
    """It is 0 for heatmaps that differ in scale only, 2 for opposite ones, and unknown without two that vary."""
    ramp = np.tile(np.linspace(0, 1, 56, dtype=np.float32), (56, 1))
    assert disagreement([ramp, ramp / 2]) == pytest.approx(0, abs=1e-6)
    assert disagreement([ramp, 1 - ramp]) == pytest.approx(2, abs=1e-6)
    assert disagreement([ramp, np.ones_like(ramp)]) is None
    assert disagreement([]) is None


def test_missing_files_are_noted(tmp_path):
    """Without its file a heatmap is not shown, without its view the image is not; the others are."""
    out = write_explanations(tmp_path / "out", ["cat.png", "dog.png"], methods=("grad-cam",))
    (out / "0.0.tabby.npy").unlink()
    (out / "1.input.jpg").write_bytes(b"no image")
    _, page = page_of(out)

    assert [a["data-method"] for a in page.all("img", **{"class": "heatmap"})] == ["grad-cam"]
    assert not page.all("img", **{"class": "base"})
    assert "2 files cannot be shown, the first: 0.0.tabby.npy." in page.texts("p")


def test_missing_files_are_noted_if_the_page_is_full(tmp_path, monkeypatch):
    """The note appears even if the limit ends the images early."""
    monkeypatch.setattr(page_model, "MAX_IMAGES", 1)
    out = write_explanations(tmp_path / "out", ["cat.png", "dog.png"], methods=("grad-cam",))
    (out / "0.0.tabby.npy").unlink()
    _, page = page_of(out)

    assert "1 file cannot be shown, the first: 0.0.tabby.npy." in page.texts("p")


def test_files_of_other_folders_are_not_read(tmp_path):
    """File names in explanations.json are looked up in its own folder."""
    out = write_explanations(tmp_path / "out", ["cat.png"], methods=("grad-cam",))
    facts = json.loads((out / "explanations.json").read_text())
    facts["explanations"][0]["files"] = [f"../elsewhere/{name}" for name in facts["explanations"][0]["files"]]
    (out / "explanations.json").write_text(json.dumps(facts))

    assert read_explanations(out).explanations[0].overlay == "0.0.tabby.png"
    assert len(page_of(out)[1].all("img", **{"class": "base"})) == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"explanations": [{}]}', '{"explanations": 3, "failures": []}'])
def test_invalid_explanations_are_reported(tmp_path, text):
    """The error names the file."""
    (tmp_path / "explanations.json").write_text(text)
    with pytest.raises(ResultsError, match=r"explanations\.json is damaged"):
        write_html_report(tmp_path)


def test_explanations_need_no_extra(tmp_path, monkeypatch):
    """`explain` works without pandas, pyarrow, scipy and yaml."""
    for name in ("pandas", "pyarrow", "scipy", "yaml"):
        monkeypatch.setitem(sys.modules, name, None)
    _, page = page_of(write_explanations(tmp_path / "out", ["cat.png"], trust_card=TRUST_CARD))

    assert page.all("table")


def test_run_without_any_image(tmp_path):
    """The page has the failures and no gallery."""
    _, page = page_of(write_explanations(tmp_path / "out", [], failures=[("x.png", "no such file")]))

    assert not page.all("template")
    assert "no such file" in page.texts("dd")


# -- benchmarks ------------------------------------------------------------------------------------------------


def test_benchmark_page_has_tables_and_figures(tmp_path):
    """Cells have intervals and sort keys, and the ids of drawings are unique."""
    names = [f"{n}.png" for n in range(8)]
    text, page = page_of(write_run(tmp_path / "run", names))

    assert "insertion ↑" in page.texts("button")
    assert any(re.fullmatch(r"\[0\.\d+, 0\.\d+\]", one) for one in page.texts("span"))
    keys = [a["data-key"] for a in page.all("td")]
    assert keys
    assert all(re.fullmatch(r"[+-]?[\d.]*", key) for key in keys)
    assert len(page.all("svg", role="img")) == 3
    ids = [a["id"] for _, a, _ in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    assert "light-dark(#222222, #e8e6e3)" in text


@pytest.mark.slow
def test_benchmark_page_shows_classes_and_values(tmp_path, without_charts):
    """It shows the explained class, the label, and the metrics' values below each heatmap."""
    _, page = page_of(write_run(tmp_path / "run", ["a.png"], models=("one", "two")))

    assert "birch, labelled cedar" in page.texts("p")
    assert any(re.fullmatch(r"insertion\s0\.\d+ · road\s\d\.?\d*", one) for one in page.texts("p"))
    assert [a["data-search"].split()[-1] for a in page.all("template")] == ["one", "two"]


@pytest.mark.slow
def test_heatmaps_of_missing_images_are_shown(tmp_path, without_charts):
    """A note names the missing images and the reason."""
    names = ["a.png", "b.png"]
    run = write_run(tmp_path / "run", names, data=write_photos(tmp_path / "photos", names))
    (tmp_path / "photos" / "b.png").unlink()
    _, page = page_of(run)
    assert len(page.all("img", **{"class": "base"})) == 1
    assert "1 file cannot be shown, the first: b.png is no longer in the data set." in page.texts("p")

    (tmp_path / "photos" / "a.png").unlink()
    (tmp_path / "photos").rmdir()
    text, page = page_of(run)
    assert not page.all("img", **{"class": "base"})
    assert len(page.all("img", **{"class": "heatmap"})) == 6
    assert "The images of lite0 cannot be shown, only their heatmaps:" in text
    assert "photos: no such file or folder" in text


@pytest.mark.slow
def test_heatmaps_of_images_given_in_python_are_shown(tmp_path, without_charts):
    """There is no data set to open again."""
    text, page = page_of(write_run(tmp_path / "run", ["a.png"]))

    assert len(page.all("img", **{"class": "heatmap"})) == 3
    assert "the images were given in Python" in text


@pytest.mark.slow
def test_without_heatmaps_there_is_no_gallery(tmp_path, without_charts):
    """A note says how to get one."""
    _, page = page_of(write_run(tmp_path / "run", ["a.png", "b.png"], keep_heatmaps=False))

    assert not page.all("template")
    assert any("a run with --keep-heatmaps shows images here" in one for one in page.texts("p"))


@pytest.mark.slow
def test_runs_of_earlier_versions_have_a_report(tmp_path, without_charts):
    """Without models.json heatmaps are shown alone, and classes are numbers."""
    run = write_run(tmp_path / "run", ["a.png"])
    (run / "models.json").unlink()
    text, page = page_of(run)

    assert "1, labelled 2" in page.texts("p")
    assert "the run has no models.json; run the same command again to add it" in text


@pytest.mark.slow
def test_figures_of_images_side_by_side(tmp_path, without_charts):
    """Figures 2 and 4 of the paper are drawn if heatmaps and images exist, else removed."""
    names = ["a.png", "b.png"]
    run = write_run(tmp_path / "run", names, data=write_photos(tmp_path / "photos", names))
    files = write_html_report(run)
    assert run / "figures" / "side-by-side-lite0.png" in files

    (tmp_path / "photos").rename(tmp_path / "moved")
    assert run / "figures" / "side-by-side-lite0.png" not in write_html_report(run)
    assert not (run / "figures" / "side-by-side-lite0.png").exists()


@pytest.mark.parametrize("place", [0, 5, 8, 9, 12])
def test_reference_is_always_among_the_side_by_side_methods(place):
    """Up to nine methods are shown in order, and the reference is one of them."""
    methods = [*"abcdefghijkl"]
    assert side_by_side_methods(results(rows_of({one: [0.5] for one in methods}))) == methods[:9]

    methods.insert(place, "fusion-cam")
    wanted = methods[:9] if place < 9 else [*methods[:8], "fusion-cam"]
    assert side_by_side_methods(results(rows_of({one: [0.5] for one in ["ones", *methods]}))) == wanted


# -- stale files -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_stale_files_are_removed(tmp_path):
    """Files that only an earlier report wrote are removed; files that a user wrote or changed are kept."""
    values = dict(zip(("fusion-cam", "grad-cam", "score-cam"), shifted_values(0, 0.1, 0.2), strict=True))
    road = rows_of(values, metric="iou", family="localization")
    run = save(tmp_path / "run", [*rows_of(values), *road])
    write_html_report(run)
    tables, figures = run / "tables", run / "figures"
    assert (tables / "localization.md").exists()
    assert (figures / "critical-difference-iou-lite0.png").exists()
    (tables / "localization.csv").write_text("mine")
    (tables / "notes.md").write_text("mine")

    save(run, rows_of(values))
    write_html_report(run)
    assert not (tables / "localization.md").exists()
    assert not (figures / "critical-difference-iou-lite0.png").exists()
    assert (tables / "localization.csv").read_text() == "mine"
    assert (tables / "notes.md").read_text() == "mine"
    assert (tables / "faithfulness.md").exists()


@pytest.mark.parametrize("name", ["../precious.txt", "rows.parquet", "tables/../plan.json", "tables/deep/a.md"])
def test_manifest_cannot_remove_other_files(run, name):
    """A manipulated manifest removes nothing outside of tables and figures."""
    victim = Path(run, name)
    victim.parent.mkdir(parents=True, exist_ok=True)
    if not victim.exists():
        victim.write_text("precious")
    digest = hashlib.sha256(victim.read_bytes()).hexdigest()
    (run / ".report-files.json").write_text(json.dumps({name: digest}))

    remove_stale_files([], run)
    assert victim.exists()


def test_invalid_manifest_removes_nothing(run):
    """It is replaced."""
    (run / ".report-files.json").write_text("{")
    write_html_report(run)

    assert "tables/cost.md" in json.loads((run / ".report-files.json").read_text())

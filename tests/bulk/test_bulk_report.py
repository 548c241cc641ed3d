"""The report of heatmaps in bulk."""

from __future__ import annotations

import re

import pytest

from fusioncam.bulk import BulkPlan, explain_in_bulk
from fusioncam.errors import ResultsError
from fusioncam.report.html import bulk_page
from fusioncam.report.html.page import write_html_report
from samples import photos

METHODS = ("grad-cam", "fusion-cam")


@pytest.fixture
def out(tmp_path, monkeypatch):
    """Explain five images in bulk, one of which is damaged, in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = photos(tmp_path / "photos", 4)
    (folder / "torn.png").write_bytes(b"no image")
    explain_in_bulk(BulkPlan(("photos",), model="samples:small", methods=METHODS, shard=3), "out")
    return tmp_path / "out"


def test_bulk_has_the_page_of_explain(out):
    """It has the images, their heatmaps, a table that opens them, and the failures."""
    (path,) = write_html_report(out)
    text = path.read_text()

    assert path == out / "report.html"
    assert text.count('<template class="image"') == text.count('<img class="base"') == 4
    assert text.count('<img class="heatmap"') == text.count("<tr data-search") == 8
    assert "5 images of" in text
    assert "Passes and seconds are those beyond what the earlier methods" in text
    assert re.search(r"<dt>photos/torn.png</dt>", text)


def test_bulk_shows_as_many_images_as_a_page_holds(out, monkeypatch):
    """The others are counted, and images that are gone are noted."""
    monkeypatch.setattr(bulk_page, "MAX_IMAGES", 2)
    first = sorted((out.parent / "photos").iterdir())[0]
    first.unlink()
    text = write_html_report(out)[0].read_text()

    assert text.count('<img class="base"') == 1
    assert "shows the first 2 of 5 images" in text
    assert f"1 file cannot be shown, the first: photos/{first.name}." in text


def test_a_damaged_manifest_is_reported(out):
    """The message names the file and what to do."""
    (out / "manifest.json").write_text("{}")
    with pytest.raises(ResultsError, match=r"manifest\.json is damaged: run the same command again"):
        write_html_report(out)

"""The page of an audit, as a file."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from fusioncam.audit import AuditPlan, audit
from fusioncam.errors import ResultsError
from fusioncam.report.html.page import write_html_report
from stamps import write_squares


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_thread):
    """The folder of an audit of twelve images, against another network."""
    root = tmp_path_factory.mktemp("audit")
    data = write_squares(root / "data", 4)
    audit(AuditPlan(str(data), "stamps:reader", "grad-cam", against="stamps:honest"), root / "out")
    return root / "out"


def page_of(folder):
    """Write the page and return its text."""
    (path,) = write_html_report(folder)
    return path.read_text(encoding="utf-8")


def test_page_holds_everything(folder):
    """Every image and class is there, the evidence is a sentence, and nothing is loaded from elsewhere."""
    html = page_of(folder)
    assert html.count('<template class="image"') == 12
    assert html.count('class="class-card"') >= 3
    assert "4 images have 95% of their heat at the lower right corner" in html
    assert "1 of 1 suspected shortcut confirmed" in html
    assert "Differences from stamps:honest" in html
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)


def test_texts_are_no_markup(folder, tmp_path):
    """Names of classes and images are shown as they are."""
    copy = shutil.copytree(folder, tmp_path / "out")
    text = (copy / "audit.json").read_text().replace('"label": "red"', '"label": "<script>alert(1)</script>"')
    (copy / "audit.json").write_text(text)
    html = page_of(copy)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_page_without_the_data_shows_heatmaps(folder, tmp_path):
    """Images that were moved are counted, and the page is still written."""
    copy = shutil.copytree(folder, tmp_path / "out")
    content = json.loads((copy / "audit.json").read_text())
    content["plan"]["data"] = str(tmp_path / "moved")
    (copy / "audit.json").write_text(json.dumps(content))
    html = page_of(copy)
    assert "12 images cannot be opened any more" in html
    assert html.count("image not found") == 12


def test_page_shows_the_most_telling_images_if_not_all_fit(folder, tmp_path, monkeypatch):
    """Those of suspects come first, and the page says that others are left out."""
    monkeypatch.setattr("fusioncam.report.html.audit_images.MAX_IMAGES", 5)
    html = page_of(shutil.copytree(folder, tmp_path / "out"))
    shown = re.findall(r'<template class="image" data-image="(\w+)/', html)
    assert len(shown) == 5
    assert shown.count("red") == 4
    assert "This page shows 5 of 12 images" in html


@pytest.mark.parametrize("change", ["{", '{"schema_version": 1}', '{"classes": "x"}'])
def test_damaged_file_is_an_error(folder, tmp_path, change):
    """The message names the file."""
    copy = shutil.copytree(folder, tmp_path / "out")
    (copy / "audit.json").write_text(change)
    with pytest.raises(ResultsError, match=r"audit\.json"):
        write_html_report(copy)

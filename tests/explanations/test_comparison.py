"""Compare explanations of one image: what a comparison contains, shows and writes."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

import fusioncam as fc
import samples
from fusioncam.errors import SettingError
from fusioncam.report.tables.model import Cell, Page, Table, markdown
from fusioncam.visualization import side_by_side
from samples import CAT, photo

METHODS = ("grad-cam", "layer-cam", "eigen-cam")


@pytest.fixture
def comparison():
    """Return explanations by three methods for one class."""
    return fc.compare(CAT, METHODS, model=samples.small())


def test_a_comparison_is_a_sequence_of_explanations(comparison):
    """Explanations are in the order of the methods."""
    assert [explanation.method for explanation in comparison] == list(METHODS)
    assert len(comparison) == 3
    assert comparison[-1].method == "eigen-cam"
    assert repr(comparison).splitlines() == ["<Comparison of 3>", *map(repr, comparison)]


def test_compare_equals_explain_each(comparison):
    """The heatmaps are those of explain_each."""
    expected = list(fc.explain_each([CAT], methods=METHODS, model=samples.small()))

    assert [one.heatmap.tolist() for one in comparison] == [one.heatmap.tolist() for one in expected]


def test_layers_and_classes_can_be_compared():
    """A SPEC with alternatives compares layers, top2 compares classes; the title names the class if there is one."""
    layers = fc.compare(CAT, ["grad-cam(layer=conv|act)"], model=samples.small())
    classes = fc.compare(CAT, ["grad-cam"], model=samples.small(), target="top2")

    assert [one.layer for one in layers] == ["conv", "act"]
    assert len({one.target for one in classes}) == 2
    assert layers.title == f"chelsea: {layers[0].class_name} {layers[0].probability:.1%}"
    assert classes.title == "chelsea"  # each panel has its own class
    unnamed = fc.compare(photo(CAT), ["grad-cam"], model=samples.small())
    assert unnamed.title == f"{layers[0].class_name} {layers[0].probability:.1%}"


def test_notebooks_show_the_image_and_every_overlay(comparison):
    """Four panels are in one row, which is wider than that of one explanation."""
    png = Image.open(io.BytesIO(comparison._repr_png_()))

    assert png.format == "PNG"
    assert png.size == comparison.image().size
    assert png.width > 3 * png.height / 2
    assert fc.compare(photo(CAT), ["grad-cam"], model=samples.small()).image().width < png.width


def test_rows_of_panels_are_even():
    """Six panels are two rows of three, not five and one."""
    panels = [("a", photo(CAT, (40, 40)))] * 6

    assert side_by_side(panels).width == side_by_side(panels[:3]).width
    assert side_by_side(panels).height > side_by_side(panels[:3]).height


def test_save_writes_the_grid_and_every_explanation(comparison, tmp_path):
    """File names do not collide if classes differ."""
    paths = comparison.save(tmp_path)
    assert [path.name for path in paths[:4]] == [
        "chelsea.png", "chelsea.grad-cam.png", "chelsea.grad-cam.npy", "chelsea.grad-cam.json"
    ]  # fmt: skip
    assert len(paths) == len(set(paths)) == 10
    assert json.loads(paths[3].read_text())["method"] == "grad-cam"
    classes = fc.compare(CAT, ["grad-cam"], model=samples.small(), target="top2").save(tmp_path, "two")
    assert len(set(classes)) == 7


def test_a_comparison_without_methods_is_reported():
    """An empty list of methods is an error."""
    with pytest.raises(SettingError, match="at least one explanation"):
        fc.compare(CAT, [], model=samples.small())


def test_notebooks_show_tables_and_pages_of_reports():
    """They show the Markdown that is written into files."""
    table = Table("Means", "m", ("method", "road ↑"), (("grad-cam", (Cell("0.5", "0.4, 0.6"),)),))
    page = Page("means", "Means", (table,), ("A note.",), ())

    assert page._repr_markdown_() == markdown(page)
    assert table._repr_markdown_() in markdown(page)
    assert "| grad-cam |" in table._repr_markdown_()

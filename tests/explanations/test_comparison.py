"""Several explanations of one image: what a comparison holds, shows, writes and refuses."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

import fusioncam as fc
import samples
from fusioncam.errors import UnknownNameError
from fusioncam.report.tables.model import Cell, Page, Table, markdown
from fusioncam.visualization import side_by_side
from samples import CAT, photo

METHODS = ("grad-cam", "layer-cam", "eigen-cam")


@pytest.fixture
def comparison():
    """Three methods, one class."""
    return fc.compare(CAT, METHODS, model=samples.small())


def test_it_is_a_sequence_of_explanations(comparison):
    """In the order that was asked for."""
    assert [one.method for one in comparison] == list(METHODS)
    assert len(comparison) == 3
    assert comparison[-1].method == "eigen-cam"
    assert repr(comparison).splitlines() == ["<Comparison of 3>", *map(repr, comparison)]


def test_it_is_what_explain_each_gives(comparison):
    """Nothing is added or changed."""
    alone = list(fc.explain_each([CAT], methods=METHODS, model=samples.small()))

    assert [one.heatmap.tolist() for one in comparison] == [one.heatmap.tolist() for one in alone]


def test_alternatives_and_classes_are_several():
    """Layers by a SPEC, classes by top2."""
    layers = fc.compare(CAT, ["grad-cam(layer=conv|act)"], model=samples.small())
    classes = fc.compare(CAT, ["grad-cam"], model=samples.small(), target="top2")

    assert [one.layer for one in layers] == ["conv", "act"]
    assert len({one.target for one in classes}) == 2
    assert layers.title == f"chelsea: {layers[0].class_name} {layers[0].probability:.1%}"
    assert classes.title == "chelsea"  # each panel has its own class
    unnamed = fc.compare(photo(CAT), ["grad-cam"], model=samples.small())
    assert unnamed.title == f"{layers[0].class_name} {layers[0].probability:.1%}"


def test_a_notebook_shows_the_image_and_every_map(comparison):
    """A row of four panels, wider than high, which one explanation alone is not."""
    shown = Image.open(io.BytesIO(comparison._repr_png_()))

    assert shown.format == "PNG"
    assert shown.size == comparison.image().size
    assert shown.width > 3 * shown.height / 2
    assert fc.compare(photo(CAT), ["grad-cam"], model=samples.small()).image().width < shown.width


def test_rows_are_even():
    """Six panels are two rows of three, not five and one."""
    panels = [("a", photo(CAT, (40, 40)))] * 6

    assert side_by_side(panels).width == side_by_side(panels[:3]).width
    assert side_by_side(panels).height > side_by_side(panels[:3]).height


def test_saving_writes_the_grid_and_every_explanation(comparison, tmp_path):
    """Names do not collide where classes differ."""
    paths = comparison.save(tmp_path)
    assert [path.name for path in paths[:4]] == [
        "chelsea.png", "chelsea.grad-cam.png", "chelsea.grad-cam.npy", "chelsea.grad-cam.json"
    ]  # fmt: skip
    assert len(paths) == len(set(paths)) == 10
    assert json.loads(paths[3].read_text())["method"] == "grad-cam"
    classes = fc.compare(CAT, ["grad-cam"], model=samples.small(), target="top2").save(tmp_path, "two")
    assert len(set(classes)) == 7


def test_nothing_is_no_comparison():
    """A list without methods is told."""
    with pytest.raises(UnknownNameError, match="at least one explanation"):
        fc.compare(CAT, [], model=samples.small())


def test_a_notebook_shows_tables_and_pages():
    """As the Markdown that is written into files."""
    table = Table("Means", "m", ("method", "road ↑"), (("grad-cam", (Cell("0.5", "0.4, 0.6"),)),))
    page = Page("means", "Means", (table,), ("A note.",), ())

    assert page._repr_markdown_() == markdown(page)
    assert table._repr_markdown_() in markdown(page)
    assert "| grad-cam |" in table._repr_markdown_()

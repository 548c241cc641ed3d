"""The site: every method and metric is described, formulas need no script, nothing is loaded from other servers."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from fusioncam import METHODS, METRICS

for needed in ("mkdocs", "latex2mathml", "nbclient", "nbconvert"):
    pytest.importorskip(needed, reason='the site needs pip install "fusioncam[docs]"')

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))

import generated  # noqa: E402 # it is in the folder of the pages
import hooks  # noqa: E402
from mkdocs.exceptions import PluginError  # noqa: E402 # it may be missing

WORDS = [
    ("methods.md", METHODS, generated.METHOD_WORDS, {"formula", "when"}),
    ("metrics.md", METRICS, generated.METRIC_WORDS, {"formula", "says"}),
]
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize(("page", "registry", "words", "keys"), WORDS, ids=["methods", "metrics"])
def test_every_class_is_described(page, registry, words, keys):
    """Each class has a formula and advice, and there is no text without a class."""
    assert list(words) == list(generated.kinds(registry))
    assert all(set(one) == keys for one in words.values())


@pytest.mark.parametrize(("page", "registry", "words", "keys"), WORDS, ids=["methods", "metrics"])
def test_pages_list_every_name(page, registry, words, keys):
    """A heading for each class, and a line for each preset."""
    text = hooks.generated_pages()[page]
    named = generated.kinds(registry)

    assert re.findall("^### (.*)$", text, re.MULTILINE) == list(named)
    assert all(f"- `{preset}` is " in text for presets in named.values() for preset in presets)
    assert ":class:" not in text


def test_every_method_has_an_image():
    """The methods for transformers and detectors have none, because these networks are not built in."""
    shown = re.findall(r"\]\((images/methods/[^)]+)\)", hooks.generated_pages()["methods.md"])

    assert len(shown) == len(generated.METHOD_WORDS) - 5
    assert all((DOCS / path).is_file() for path in shown)


@pytest.mark.parametrize("formula", [
    one["formula"] for *_, words, _ in WORDS for one in words.values() if one["formula"]
])  # fmt: skip
def test_formulas_become_mathml(formula):
    """The converter knows all of their commands."""
    drawn = hooks.mathml(formula, "block")

    assert drawn.startswith("<math ")
    assert 'display="block"' in drawn
    assert "\\" not in drawn


def test_formulas_of_a_page_are_found():
    """Inline and display formulas, with escaped characters."""
    html = '<p><span class="arithmatex">\\(a &lt; b\\)</span></p><div class="arithmatex">\\[\na^2\n\\]</div>'
    drawn = hooks.on_page_content(html)

    assert drawn.count("<math ") == 2
    assert "arithmatex" not in drawn
    assert "&#x0003C;" in drawn


def test_roles_in_docstrings_become_code():
    """Sphinx roles become plain code."""
    assert hooks.on_page_content("<p>see :class:<code>Speed</code></p>") == "<p>see <code>Speed</code></p>"
    assert generated.prose("as :func:`fusioncam.metrics.measure` of ``x (N, *s)``") == "as `measure` of `x (N, H, W)`"


def test_command_line_page_is_complete():
    """Every command has its examples and options."""
    text = hooks.generated_pages()["command-line.md"]

    assert "## fusioncam list layers\n" in text
    assert "\nfusioncam explain cat.jpg" in text
    assert "| `--method`, `-m` | a method, optionally with settings" in text
    assert "| 130 | stopped by Ctrl-C" in text
    assert text.count("\nExit codes: 0 ") == text.count("\n## fusioncam ")


# -- nothing from other servers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("element", [
    '<script src="https://a.b/c.js"></script>',
    '<img src="//a.b/c.png">',
    '<img srcset="http://a.b/c.png 2x">',
    '<link rel="stylesheet" href="https://a.b/c.css">',
    '<link rel="preconnect" href="https://a.b">',
    '<svg><use href="https://a.b/c.svg"></use></svg>',
    '<p style="background: url(https://a.b/c.png)">',
])  # fmt: skip
def test_loaded_urls_are_found(element, tmp_path):
    """URLs that a browser loads by itself."""
    (tmp_path / "page.html").write_text(f"<html>{element}</html>")

    assert len(hooks.fetched(tmp_path)) == 1


@pytest.mark.parametrize("element", [
    '<a href="https://arxiv.org/abs/1610.02391">paper</a>',
    '<link rel="canonical" href="https://a.b/c">',
    '<img src="images/a.png"><script src="data:text/javascript,1"></script>',
])  # fmt: skip
def test_links_and_local_files_are_allowed(element, tmp_path):
    """Links in the text, and files of the site."""
    (tmp_path / "page.html").write_text(f"<html>{element}</html>")

    assert hooks.fetched(tmp_path) == []


def test_style_sheets_are_checked(tmp_path):
    """Imports, images and fonts."""
    (tmp_path / "a.css").write_text('@import "https://a.b/c.css"; p {background: url(x.png); src: url(//a.b/d.woff)}')

    assert len(hooks.fetched(tmp_path)) == 2


# -- notebooks ---------------------------------------------------------------------------------------------------


def test_notebooks_are_stored_without_outputs():
    """Outputs are computed for the site, so that differences stay readable."""
    assert [path.stem for path in NOTEBOOKS] == ["choose_a_layer", "compare_methods", "explain_your_network"]
    for path in NOTEBOOKS:
        cells = hooks.nbformat.read(path, as_version=4).cells
        assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize(("text", "images", "problem"), [
    ("![png](a/1.png)", {"1.png": b""}, None),
    ("no image", {}, "has 0 images"),
    ("![png](1.png)", {"1.png": b""}, "does not show all"),
    ("![png](a/1.png)\n    a.py:3: UserWarning: odd", {"1.png": b""}, "a.py:3: UserWarning: odd"),
])  # fmt: skip
def test_notebooks_show_images_and_no_warnings(text, images, problem):
    """Building the site, which runs all notebooks, fails for others."""
    with pytest.raises(PluginError, match=problem) if problem else nullcontext():
        hooks.require_images_without_warnings("a.ipynb", text, images)

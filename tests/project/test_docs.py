"""The site: every method and metric has its words, formulas are drawn without a script, nothing is fetched."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from fusioncam import METHODS, METRICS

for needed in ("mkdocs", "latex2mathml", "nbclient", "nbconvert"):
    pytest.importorskip(needed, reason='the site needs pip install "fusioncam[docs]"')

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))

import generated  # noqa: E402 # it lies with the pages
import hooks  # noqa: E402

WORDS = [
    ("methods.md", METHODS, generated.METHOD_WORDS, {"formula", "when"}),
    ("metrics.md", METRICS, generated.METRIC_WORDS, {"formula", "says"}),
]
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize(("page", "registry", "words", "keys"), WORDS, ids=["methods", "metrics"])
def test_every_class_has_its_words(page, registry, words, keys):
    """A method that comes without formula and advice is noticed, and so are words without a method."""
    assert list(words) == list(generated.kinds(registry))
    assert all(set(one) == keys for one in words.values())


@pytest.mark.parametrize(("page", "registry", "words", "keys"), WORDS, ids=["methods", "metrics"])
def test_a_page_tells_of_every_name(page, registry, words, keys):
    """A heading for each class, and a line for each preset."""
    text = hooks.generated_pages()[page]
    named = generated.kinds(registry)

    assert re.findall("^### (.*)$", text, re.MULTILINE) == list(named)
    assert all(f"- `{preset}` is " in text for presets in named.values() for preset in presets)
    assert ":class:" not in text


def test_every_method_has_a_image():
    """LeGrad alone has none, for it needs a network that is not built in."""
    shown = re.findall(r"\]\((images/methods/[^)]+)\)", hooks.generated_pages()["methods.md"])

    assert len(shown) == len(generated.METHOD_WORDS) - 1
    assert all((DOCS / path).is_file() for path in shown)


@pytest.mark.parametrize("formula", [
    one["formula"] for *_, words, _ in WORDS for one in words.values() if one["formula"]
])  # fmt: skip
def test_formulas_become_mathml(formula):
    """All of their commands are known."""
    drawn = hooks.mathml(formula, "block")

    assert drawn.startswith("<math ")
    assert 'display="block"' in drawn
    assert "\\" not in drawn


def test_formulas_of_a_page_are_found():
    """Inline and set apart, with what HTML escapes."""
    html = '<p><span class="arithmatex">\\(a &lt; b\\)</span></p><div class="arithmatex">\\[\na^2\n\\]</div>'
    drawn = hooks.on_page_content(html)

    assert drawn.count("<math ") == 2
    assert "arithmatex" not in drawn
    assert "&#x0003C;" in drawn


def test_marks_of_docstrings_become_code():
    """What Sphinx would link."""
    assert hooks.on_page_content("<p>see :class:<code>Speed</code></p>") == "<p>see <code>Speed</code></p>"
    assert generated.prose("as :func:`fusioncam.metrics.measure` of ``x (N, *s)``") == "as `measure` of `x (N, H, W)`"


def test_the_command_line_is_told_in_full():
    """Every command with its examples and options."""
    text = hooks.generated_pages()["command-line.md"]

    assert "## fusioncam list layers\n" in text
    assert "\nfusioncam explain cat.jpg" in text
    assert "| `--method`, `-m` | a method, with settings" in text
    assert "| 130 | stopped by Ctrl-C" in text
    assert text.count("\nExit codes: 0 ") == text.count("\n## fusioncam ")


# -- nothing from elsewhere --------------------------------------------------------------------------------------


@pytest.mark.parametrize("element", [
    '<script src="https://a.b/c.js"></script>',
    '<img src="//a.b/c.png">',
    '<img srcset="http://a.b/c.png 2x">',
    '<link rel="stylesheet" href="https://a.b/c.css">',
    '<link rel="preconnect" href="https://a.b">',
    '<svg><use href="https://a.b/c.svg"></use></svg>',
    '<p style="background: url(https://a.b/c.png)">',
])  # fmt: skip
def test_what_is_fetched_is_found(element, tmp_path):
    """Whatever the browser would follow by itself."""
    (tmp_path / "page.html").write_text(f"<html>{element}</html>")

    assert len(hooks.fetched(tmp_path)) == 1


@pytest.mark.parametrize("element", [
    '<a href="https://arxiv.org/abs/1610.02391">paper</a>',
    '<link rel="canonical" href="https://a.b/c">',
    '<img src="images/a.png"><script src="data:text/javascript,1"></script>',
])  # fmt: skip
def test_what_the_reader_follows_is_no_matter(element, tmp_path):
    """Links of the text, and what lies beside the page."""
    (tmp_path / "page.html").write_text(f"<html>{element}</html>")

    assert hooks.fetched(tmp_path) == []


def test_style_sheets_are_looked_at(tmp_path):
    """Fonts are what they usually fetch."""
    (tmp_path / "a.css").write_text('@import "https://a.b/c.css"; p {background: url(x.png); src: url(//a.b/d.woff)}')

    assert len(hooks.fetched(tmp_path)) == 2


# -- notebooks ---------------------------------------------------------------------------------------------------


def test_notebooks_are_stored_without_what_they_show():
    """It is made anew for the site, and differences stay readable."""
    assert [path.stem for path in NOTEBOOKS] == ["choose_a_layer", "compare_methods", "explain_your_network"]
    for path in NOTEBOOKS:
        cells = hooks.nbformat.read(path, as_version=4).cells
        assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_and_show_images(path):
    """A cell that fails is an error; each notebook has images, and says nothing on its error output."""
    text, images = hooks.executed(path, path.stat().st_mtime_ns)

    assert images
    assert all(f"({path.stem}/{name})" in text for name in images)
    assert "Warning" not in text

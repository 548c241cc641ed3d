"""The site: every method and metric is described, formulas need no script, nothing is loaded from other servers."""

from __future__ import annotations

import re
import shutil
import sys
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from fusioncam import METHODS, METRICS

for needed in ("mkdocs", "latex2mathml", "nbclient", "nbconvert", "IPython"):
    pytest.importorskip(needed, reason='the site needs pip install "fusioncam[docs]"')

DOCS = Path(__file__).parents[2] / "docs"
sys.path.append(str(DOCS))

import generated  # noqa: E402 # it is in the folder of the pages
import hooks  # noqa: E402
import nbformat  # noqa: E402 # it may be missing
import run_notebooks  # noqa: E402
from IPython.core.interactiveshell import InteractiveShell  # noqa: E402
from mkdocs.commands.build import build  # noqa: E402
from mkdocs.config import load_config  # noqa: E402

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


def test_the_site_has_the_images_of_the_pages():
    """Those of pages in docs/ exist, and no pattern leaves them out."""
    excluded = load_config(str(DOCS.parent / "mkdocs.yml")).exclude_docs
    linked = {name for page in DOCS.glob("*.md") for name in re.findall(r"]\((images/[^)#]+)\)", page.read_text())}
    assert "images/results/layer.svg" in linked
    assert [name for name in sorted(linked) if not (DOCS / name).is_file() or excluded.match_file(name)] == []


def test_the_scripts_hide_no_package_of_the_tests():
    """docs/conformance.py has the name of a package of the tests, which other tests import after this file."""
    assert Path(find_spec("conformance").origin).parts[-3:] == ("tests", "conformance", "__init__.py")


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


def read(path: Path) -> Any:
    """Read a notebook."""
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_with_the_outputs_of_their_code(path):
    """Every code cell was run, in order, and its images are stored."""
    notebook = read(path)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]

    run_notebooks.require_shown(path.name, notebook)
    assert counts == list(range(1, len(counts) + 1))
    text, images = hooks.stored(path, 0)
    assert all(f"({path.stem}/{name})" in text for name in images)
    assert "google.colab" not in text


def test_all_notebooks_are_found():
    """An empty list would pass every test of them."""
    assert [path.stem for path in NOTEBOOKS] == ["choose_a_layer", "compare_methods", "explain_your_network"]


def changed_code(notebook: Any) -> None:
    """Change the last cell of code."""
    [cell for cell in notebook.cells if cell.cell_type == "code"][-1].source += "\n"


def without_images(notebook: Any) -> None:
    """Remove all outputs."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []


def warned(notebook: Any) -> None:
    """Add a warning."""
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="a.py:3: UserWarning: odd\n  f(x)")]


@pytest.mark.parametrize(("change", "problem"), [
    (changed_code, "its code has changed"), (without_images, "shows no image"), (warned, "UserWarning: odd$"),
])  # fmt: skip
def test_other_outputs_are_refused(change, problem):
    """Those of other code, without an image, or with a warning."""
    notebook = read(NOTEBOOKS[0])
    change(notebook)

    with pytest.raises(ValueError, match=problem):
        run_notebooks.require_shown("a.ipynb", notebook)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path):
    """They issue no warning, and show as many images as are stored."""
    notebook = read(path)
    stored = [len(cell.get("outputs", ())) for cell in notebook.cells]
    run_notebooks.run(notebook)

    run_notebooks.require_shown(path.name, notebook)
    assert [len(cell.get("outputs", ())) for cell in notebook.cells] == stored


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("on_colab", [True, False])
def test_first_cell_installs_on_colab_only(path, on_colab, monkeypatch):
    """With pip, from the repository that is asked for."""
    cell = next(cell for cell in read(path).cells if cell.cell_type == "code")
    shell = InteractiveShell()
    installed = []
    shell.register_magic_function(installed.append, "line", "pip")
    if on_colab:
        monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr("builtins.input", lambda prompt: "https://a.b/c")
    shell.run_cell(cell.source).raise_error()

    assert installed == ['install --quiet "fusioncam[benchmark,demo] @ git+https://a.b/c"'] * on_colab


# -- for language models, and citations ------------------------------------------------------------------------------


def test_llms_txt_lists_every_page(tmp_path):
    """In the order of the navigation, with the first sentence and the Markdown of each page."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Start\n\n![a](a.png)\n\n`It` is [short](b.md). It goes on.")
    (tmp_path / "docs" / "b.md").write_text("# Second\n\n```\ncode\n```\n\n| a |\n| --- |\n")
    config = load_config(
        config_file=StringIO(f"site_name: name\nsite_description: about\nuse_directory_urls: false\nplugins: []\n"
        f"nav: [{{One: [index.md]}}, {{Two: [b.md]}}]\nhooks: ['{DOCS / 'llms.py'}']"),
        docs_dir=str(tmp_path / "docs"), site_dir=str(tmp_path / "site"),
    )  # fmt: skip
    build(config)

    assert (tmp_path / "site" / "llms.txt").read_text() == (
        "# name\n\n> about\n\n## One\n\n- [Start](index.html.md): It is short.\n\n## Two\n\n- [Second](b.html.md)\n"
    )
    assert (tmp_path / "site" / "b.html.md").read_text() == (tmp_path / "docs" / "b.md").read_text()


def test_citations_agree():
    """BibTeX in the README and on the site, and CITATION.cff."""
    bibtex = (DOCS / "citation.bib").read_text()
    citation = yaml.safe_load((DOCS.parent / "CITATION.cff").read_text())
    paper = citation["preferred-citation"]
    authors = " and ".join(f"{one['family-names']}, {one['given-names']}" for one in paper["authors"])
    number = paper["identifiers"][0]["value"]

    assert bibtex in (DOCS.parent / "README.md").read_text()
    assert "citation.bib" in (DOCS / "index.md").read_text()
    fields = {"title": paper["title"], "author": authors, "year": paper["year"], "url": paper["url"], "note": number}
    for field, value in fields.items():
        assert re.search(rf"^  {field} += " + re.escape(f"{{{value}}}"), bibtex, re.MULTILINE), field
    assert f"version = {{{citation['version']}}}" in bibtex
    assert f'\nversion = "{citation["version"]}"\n' in (DOCS.parent / "pyproject.toml").read_text()


# -- search from disk ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.serial
def test_search_works_from_disk(tmp_path, browser):
    """In a page of a folder, which is opened as a file; nothing is loaded from other servers."""
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "index.md").write_text("# Start\n\nNothing.")
    (tmp_path / "docs" / "deep" / "b.md").write_text("# Second\n\nA word: kingfisher.")
    shutil.copy(DOCS / "iframe-worker.js", tmp_path / "docs")
    site = yaml.load((DOCS.parent / "mkdocs.yml").read_text(), yaml.BaseLoader)
    plugins = [name for name in site["plugins"] if name in ("search", "offline")]
    asked = {
        "site_name": "a",
        "theme": {"name": "material", "font": False},
        "plugins": plugins,
        "extra": site["extra"],
    }
    build(
        load_config(
            config_file=StringIO(yaml.dump(asked)),
            docs_dir=str(tmp_path / "docs"),
            site_dir=str(tmp_path / "site"),
        )
    )
    page, requests = browser.new_page(), []
    page.set_default_timeout(120_000)  # milliseconds, for busy machines
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "site" / "deep" / "b.html").as_uri())
    page.click(".md-search__input")
    page.keyboard.type("kingfisher")
    page.wait_for_selector(".md-search-result__item")

    assert "Second" in page.inner_text(".md-search-result__item")
    assert all(url.startswith(("file:", "data:", "about:")) for url in requests)
    page.close()

"""Hooks for MkDocs: add pages generated from the code and the notebooks, convert formulas and check every link.

Formulas become MathML, so that browsers draw them without a script. The site must not load anything from
other servers.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

ROOT = Path(__file__).parent
sys.path.append(str(ROOT))  # last, so that no module of the tests is hidden

from generated import pages  # noqa: E402 # they are in this folder
from run_notebooks import require_shown  # noqa: E402

# attributes that a browser loads by itself; the href of an anchor is loaded only on a click
_FETCHED = {"src", "srcset", "poster", "data"}
_LINKED = {"stylesheet", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch", "icon", "manifest"}
_ELSEWHERE = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)


# -- pages -------------------------------------------------------------------------------------------------------


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and the notebooks."""
    for name, text in generated_pages().items():
        files.append(File.generated(config, name, content=text))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, images = stored(path, path.stat().st_mtime_ns)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, content in images.items():
            files.append(File.generated(config, f"notebooks/{path.stem}/{name}", content=content))
    return files


@cache
def generated_pages() -> dict[str, str]:
    """Return the generated pages, computed once even if `mkdocs serve` builds the site again."""
    return pages()


@cache
def stored(path: Path, changed: int) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown with its images, without the cell that installs on Google Colab."""
    notebook = nbformat.read(path, as_version=4)
    require_shown(path.name, notebook)
    notebook.cells = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", ())]
    # each print is stored as an output of its own, and would become a block of its own
    exporter = MarkdownExporter(preprocessors=[CoalesceStreamsPreprocessor])
    text, resources = exporter.from_notebook_node(notebook)
    images: dict[str, bytes] = resources["outputs"]
    for name in images:
        text = text.replace(f"({name})", f"({path.stem}/{name})")
    return text, images


# -- formulas and names ------------------------------------------------------------------------------------------


def on_page_content(html: str, **_: Any) -> str:
    """Convert formulas to MathML, and Sphinx roles in docstrings to plain code."""
    html = re.sub(r'<span class="arithmatex">\\\((.*?)\\\)</span>', lambda found: mathml(found[1], "inline"), html)
    block = r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>'
    html = re.sub(
        block, lambda found: f'<div class="formula">{mathml(found[1], "block")}</div>', html, flags=re.DOTALL
    )
    return re.sub(r":(?:class|func|meth|mod):<code>~?(.*?)</code>", r"<code>\1</code>", html)


def mathml(tex: str, display: str) -> str:
    """Return a formula as MathML."""
    return str(convert(" ".join(unescape(tex).split()), display=display))


# -- nothing from other servers -----------------------------------------------------------------------------------


class Fetched(HTMLParser):
    """Collects the URLs on other servers that a browser would load to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Check the attributes of an element."""
        given = {name: value or "" for name, value in attrs}
        followed = {given[name] for name in _FETCHED & set(given)}
        if tag == "link" and _LINKED & set(given.get("rel", "").split()):
            followed.add(given.get("href", ""))
        if tag in ("use", "image"):
            followed |= {given.get("href", ""), given.get("xlink:href", "")}
        self.found += [f"<{tag}> {one}" for one in followed if _ELSEWHERE.match(one)]
        self.found += imported(given.get("style", ""))


def imported(style: str) -> list[str]:
    """Return the URLs on other servers that a style sheet loads."""
    return [one for one in re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)", style)]


def fetched(site: Path) -> list[str]:
    """Return what the pages and style sheets of a site would load from other servers."""
    found = []
    for path in sorted(site.rglob("*.html")):
        parser = Fetched()
        parser.feed(path.read_text())
        found += [f"{path.relative_to(site)}: {one}" for one in parser.found]
    for path in sorted(site.rglob("*.css")):
        found += [f"{path.relative_to(site)}: {one}" for one in imported(path.read_text())]
    return found


def on_post_build(config: MkDocsConfig) -> None:
    """Raise an error if the site does not work without internet."""
    if found := fetched(Path(config.site_dir)):
        raise PluginError("the site would load from other servers:\n  " + "\n  ".join(found))

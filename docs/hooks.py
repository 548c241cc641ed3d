"""What building the site does beside MkDocs: pages made of the code, notebooks, formulas, and a look at every link.

Formulas become MathML, so that browsers draw them without a script; nothing may be fetched from elsewhere.
"""

from __future__ import annotations

import os
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
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from generated import pages  # noqa: E402 # it lies beside this file

# attributes that a browser follows by itself; whoever reads follows href of an anchor
_FETCHED = {"src", "srcset", "poster", "data"}
_LINKED = {"stylesheet", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch", "icon", "manifest"}
_ELSEWHERE = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)


# -- pages -------------------------------------------------------------------------------------------------------


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made when the site is built."""
    for name, text in made().items():
        files.append(File.generated(config, name, content=text))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, images = executed(path, path.stat().st_mtime_ns)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, content in images.items():
            files.append(File.generated(config, f"notebooks/{path.stem}/{name}", content=content))
    return files


@cache
def made() -> dict[str, str]:
    """Make the pages once, also where the site is served and built again."""
    return pages()


@cache
def executed(path: Path, changed: int) -> tuple[str, dict[str, bytes]]:
    """Run a notebook, which is stored without what it shows, and give it as Markdown with its images."""
    notebook = nbformat.read(path, as_version=4)
    # tqdm misses a widget that nobody asked for
    env = {**os.environ, "PYTHONWARNINGS": "ignore:IProgress not found"}
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute(env=env)
    text, resources = MarkdownExporter().from_notebook_node(notebook)
    images: dict[str, bytes] = resources["outputs"]
    for name in images:
        text = text.replace(f"({name})", f"({path.stem}/{name})")
    return text, images


# -- formulas and names ------------------------------------------------------------------------------------------


def on_page_content(html: str, **_: Any) -> str:
    """Turn formulas into MathML, and the marks of docstrings into plain code."""
    html = re.sub(r'<span class="arithmatex">\\\((.*?)\\\)</span>', lambda found: mathml(found[1], "inline"), html)
    block = r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>'
    html = re.sub(
        block, lambda found: f'<div class="formula">{mathml(found[1], "block")}</div>', html, flags=re.DOTALL
    )
    return re.sub(r":(?:class|func|meth|mod):<code>~?(.*?)</code>", r"<code>\1</code>", html)


def mathml(tex: str, display: str) -> str:
    """Give a formula as MathML."""
    return str(convert(" ".join(unescape(tex).split()), display=display))


# -- nothing from elsewhere --------------------------------------------------------------------------------------


class Fetched(HTMLParser):
    """Collects what a browser would fetch from another place to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at an element's attributes."""
        given = {name: value or "" for name, value in attrs}
        followed = {given[name] for name in _FETCHED & set(given)}
        if tag == "link" and _LINKED & set(given.get("rel", "").split()):
            followed.add(given.get("href", ""))
        if tag in ("use", "image"):
            followed |= {given.get("href", ""), given.get("xlink:href", "")}
        self.found += [f"<{tag}> {one}" for one in followed if _ELSEWHERE.match(one)]
        self.found += imported(given.get("style", ""))


def imported(style: str) -> list[str]:
    """List what a style sheet asks of other places."""
    return [one for one in re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)", style)]


def fetched(site: Path) -> list[str]:
    """List what pages and style sheets of a site would fetch from other places."""
    found = []
    for path in sorted(site.rglob("*.html")):
        parser = Fetched()
        parser.feed(path.read_text())
        found += [f"{path.relative_to(site)}: {one}" for one in parser.found]
    for path in sorted(site.rglob("*.css")):
        found += [f"{path.relative_to(site)}: {one}" for one in imported(path.read_text())]
    return found


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that does not work without internet."""
    if found := fetched(Path(config.site_dir)):
        raise PluginError("the site would fetch from elsewhere:\n  " + "\n  ".join(found))

"""Hook for MkDocs that writes the site for language models: llms.txt, and the Markdown of each page beside it.

The form is that of https://llmstxt.org: a title, a summary, and a list of links for each section of the navigation.
The Markdown of page.html is page.html.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_LONGEST = 240  # characters of a note
# code, in which brackets are no link, or a link
_LINK = re.compile(r"`(?P<code>[^`]*)`|\[(?P<text>[^\]]*)\]\([^)]*\)")


def on_env(env: Any, config: MkDocsConfig, files: Files) -> Any:
    """Write llms.txt and the Markdown files into the site."""
    pages = list(in_order(files))
    site = Path(config.site_dir)
    site.mkdir(parents=True, exist_ok=True)
    (site / "llms.txt").write_text(llms_text(config.site_name, config.site_description or "", pages))
    for page in pages:
        path = site / f"{page.file.dest_uri}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.markdown or "")
    return env


def in_order(files: Files) -> Iterator[Page]:
    """Yield the pages in the order of the navigation."""
    pages = [file.page for file in files.documentation_pages() if file.page]
    page = next((page for page in pages if page.next_page and not page.previous_page), None)
    while page is not None:
        yield page
        page = page.next_page


def llms_text(name: str, summary: str, pages: Iterable[Page]) -> str:
    """Return the content of llms.txt."""
    lines = [f"# {name}", "", f"> {summary}", ""]
    for section, members in groupby(pages, lambda page: page.ancestors[-1].title if page.ancestors else "Pages"):
        lines += [f"## {section}", "", *map(link, members), ""]
    return "\n".join(lines)


def link(page: Page) -> str:
    """Return the line of a page: its title, its Markdown, and its first sentence."""
    note = first_sentence(page.markdown or "")
    return f"- [{page.title}]({page.file.dest_uri}.md)" + f": {note}" * bool(note)


def first_sentence(markdown: str) -> str:
    """Return the first sentence of a page as plain text, "" if there is none.

    >>> first_sentence("# Title\\n\\n![image](a.png)\\n\\nThe [card](trust.md) measures `x`. More.")
    'The card measures x.'
    """
    blocks = re.split(r"\n\s*\n", re.sub(r"```.*?```", "", markdown, flags=re.DOTALL))
    prose = (block for block in blocks if re.match(r"\s*[A-Za-z`\[]", block))
    text = _LINK.sub(lambda found: found["code"] or found["text"], " ".join(next(prose, "").split()))
    sentence = re.sub(r"[:,]$", ".", re.split(r"(?<=[.:])\s", text, maxsplit=1)[0])
    return sentence if len(sentence) <= _LONGEST else ""

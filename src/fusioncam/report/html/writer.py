"""A sheet as one HTML file, written as it is made, so that a long one takes no memory."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fusioncam.report.html.page_model import ReportPage
from fusioncam.report.html.trust import signed
from fusioncam.utils.files import atomic_write

_TEMPLATES = "templates"
_NUMBER = re.compile(r"[+-]?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")


def write(sheet: ReportPage, path: Path) -> Path:
    """Write a report; raises :class:`OutputError`."""
    script, style = (_text(f"report.{kind}") for kind in ("js", "css"))
    page = _environment().get_template("report.html")
    parts = page.generate(sheet=sheet, script=Markup(script), style=Markup(style), policy=policy(script))
    with atomic_write(path) as file:
        for part in parts:
            file.write(part.encode(errors="backslashreplace"))
    return path


def policy(script: str) -> str:
    """Give the content security policy: images within the file, this one script, and nothing from elsewhere."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def sort_key(text: str) -> str:
    """Give the number that a cell's text begins with, or else the text, to sort by.

    >>> [sort_key(one) for one in ("\N{MINUS SIGN}0.50", "< 0.001", "1,280", "62.3%", "Grad-CAM", "\N{EN DASH}")]
    ['-0.50', '0.001', '1280', '62.3', 'grad-cam', '']
    """
    told = text.replace("\N{MINUS SIGN}", "-").removeprefix("< ").strip()
    found = _NUMBER.match(told)
    if found:
        return found[0].replace(",", "")
    return "" if told in ("\N{EN DASH}", "") else told.lower()


def _text(name: str) -> str:
    return (files(__package__) / _TEMPLATES / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(str(__package__), _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"sort_key": sort_key, "signed": signed}
    return made

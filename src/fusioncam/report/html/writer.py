"""Write a report page as one HTML file, image by image, so that a long page needs little memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from fusioncam.errors import OutputError
from fusioncam.report.html.page_model import ReportPage
from fusioncam.utils.files import atomic_write

_TEMPLATES = "templates"
_LIBRARY = ("vendor/echarts.js",)
_PARTS = ("base", "tables", "gallery", "compare", "charts", "values", "cards", "start")  # in this order
_SCRIPT = tuple(f"templates/{name}.js" for name in _PARTS)
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-"
_NUMBER = re.compile(r"[+-]?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")


def write_page(page: ReportPage, path: Path) -> Path:
    """Write a page to a file and return its path.

    Raises :class:`fusioncam.errors.OutputError` if the file cannot be written, or exists and is not a report.
    """
    scripts = (_LIBRARY, _SCRIPT) if page.has_charts else (_SCRIPT,)
    return write_template("report.html", scripts, ("templates/report.css",), path, report=page)


def write_template(
    name: str, scripts: Sequence[Sequence[str]], styles: Sequence[str], path: Path, **content: object
) -> Path:
    """Write a template with its scripts, each joined from files, styles and content, as :func:`write_page` does."""
    joined, style = [_join(script) for script in scripts], _join(styles)
    template = _environment().get_template(name)
    policy = content_security_policy(joined)
    parts = template.generate(scripts=joined, style=style, policy=policy, **content)
    _require_replaceable(path)
    with atomic_write(path) as file:
        for part in parts:
            file.write(part.encode(errors="backslashreplace"))
    return path


def content_security_policy(scripts: Iterable[str]) -> str:
    """Return the policy of the page: images within the file, these scripts, and nothing from outside."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    return _POLICY + "' 'sha256-".join(digests) + "'"


def _require_replaceable(path: Path) -> None:
    """Raise :class:`OutputError` for a file without the policy that all reports have near their start."""
    if path.is_file() and not is_report(path):
        raise OutputError(f"cannot write {path}: fusioncam did not write the file that is there: move it")


def is_report(path: Path) -> bool:
    """Return whether this is a file with the policy that all reports have near their start."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return str(escape(_POLICY)).encode() in file.read(2000)


def sort_key(text: str) -> str:
    """Return the key to sort a cell by: the number that its text begins with, or else the text.

    >>> [sort_key(text) for text in ("\N{MINUS SIGN}0.50", "< 0.001", "1,280", "62.3%", "Grad-CAM", "\N{EN DASH}")]
    ['-0.50', '0.001', '1280', '62.3', 'grad-cam', '']
    """
    plain = text.replace("\N{MINUS SIGN}", "-").removeprefix("< ").strip()
    number = _NUMBER.match(plain)
    if number:
        return number[0].replace(",", "")
    return "" if plain in ("\N{EN DASH}", "") else plain.lower()


def compact_json(value: object) -> str:
    """Return a value as JSON, its numbers with five digits, which a page shows at most.

    >>> compact_json({"value": 0.123456789, "missing": None})
    '{"value":0.12346,"missing":null}'
    """
    return json.dumps(_rounded(value), separators=(",", ":"), ensure_ascii=False)


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _join(names: Sequence[str]) -> Markup:
    return Markup("\n".join((files(__package__) / name).read_text(encoding="utf-8") for name in names))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(str(__package__), _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sort_key"] = sort_key
    environment.filters["json"] = compact_json
    return environment

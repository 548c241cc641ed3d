"""The page with the code for each network that is tested, from the files in docs/clients."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

FOLDER = Path(__file__).parent / "clients"
LIBRARIES = {
    "torch": "PyTorch",
    "torchvision": "torchvision",
    "timm": "timm",
    "transformers": "transformers",
    "monai": "MONAI",
    "smp": "segmentation_models_pytorch",
    "open": "open_clip",
    "ultralytics": "ultralytics",
}
HEAD = """\
# Code for each network

Each block is a file of `docs/clients` that runs as it is, and that the [tests](networks.md) compare with plain
autograd. Networks have random weights where a package contains none; their heatmaps show the usage, not what a
trained network has learned.
"""


def clients() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_sections()])


def library_of(path: Path) -> str:
    """Return the first part of the name of a file, its library."""
    return path.stem.partition("_")[0]


def _sections() -> Iterator[str]:
    order = list(LIBRARIES)
    paths = sorted(FOLDER.glob("*.py"), key=lambda path: (order.index(library_of(path)), path.stem))
    for library, members in groupby(paths, library_of):
        yield f"## {LIBRARIES[library]}\n"
        for path in members:
            title = ast.get_docstring(ast.parse(path.read_text()))
            code = path.read_text().partition("\n\n")[2]
            yield f"### {title} {{ #{path.stem} }}\n\n```python\n{code}```\n"

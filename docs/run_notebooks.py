"""Run the notebooks and store their outputs: `python docs/run_notebooks.py [NAME...]` takes some minutes.

A notebook is stored with its outputs, so that it shows its images where it is opened, and with a hash of its code, by
which tests see whether the outputs are those of the code. Images become JPEG, which takes a tenth of the space.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parent / "notebooks"


def run(notebook: Any) -> None:
    """Run all cells of a notebook in a kernel of its own, with their outputs stored in it."""
    # tqdm warns that a notebook widget is not installed, which the notebooks do not need
    env = {**os.environ, "PYTHONWARNINGS": "ignore:IProgress not found"}
    NotebookClient(notebook, timeout=1200, kernel_name="python3", record_timing=False).execute(env=env)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if png := output.get("data", {}).pop("image/png", None):
                output.data["image/jpeg"] = as_jpeg(png)


def as_jpeg(png: str) -> str:
    """Convert an image in base64."""
    file = BytesIO()
    Image.open(BytesIO(base64.b64decode(png))).convert("RGB").save(file, "JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode()


def code_hash(notebook: Any) -> str:
    """Return the hash of the code of all cells."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def require_shown(name: str, notebook: Any) -> None:
    """Raise an error for outputs that are not those of the code, that show no image, or that have a warning."""
    if notebook.metadata.get("code_hash") != code_hash(notebook):
        raise ValueError(f"{name}: its code has changed since it was run: python docs/run_notebooks.py")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    if not any("image/jpeg" in output.get("data", ()) for output in outputs):
        raise ValueError(f"{name} shows no image: run it and look")
    texts = [output.get("text", "") for output in outputs]
    if found := re.search(r"^.*Warning.*$", "\n".join(texts), re.MULTILINE):
        raise ValueError(f"a cell of {name} issues a warning: {found[0].strip()}")


def main(chosen: list[str]) -> None:
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not chosen or path.stem in chosen:
            notebook = nbformat.read(path, as_version=4)
            run(notebook)
            notebook.metadata["code_hash"] = code_hash(notebook)
            require_shown(path.name, notebook)
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])

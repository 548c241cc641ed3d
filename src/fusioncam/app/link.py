"""The address of the page holds what a visitor chose, so that a link shows the same again.

An uploaded image is not part of it: of the images, only the examples have names that the server knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr

from fusioncam.app.display import COLORMAPS, DRAWN
from fusioncam.app.session import Session
from fusioncam.data.images import open_image

# names on the page, and files of scikit-image
EXAMPLES = {"cat.jpg": "chelsea.png", "coffee.jpg": "coffee.png", "rocket.jpg": "rocket.jpg"}
# the inputs are the image, the model, the method, the layer, the class, the opacity, the colormap and what is drawn
WRITE = """(image, model, method, layer, target, opacity, colormap, drawing) => {
    const name = decodeURIComponent((image?.path ?? "").split(/[\\\\/]/).pop());
    const example = EXAMPLES.includes(name) ? {image: name} : {};
    const chosen = {model, method, layer, target, opacity, colormap, drawn: drawing?.join(","), ...example};
    const given = Object.entries(chosen).filter(([, value]) => value !== null && value !== undefined);
    history.replaceState(null, "", "?" + new URLSearchParams(given));
}""".replace("EXAMPLES", str(list(EXAMPLES)))


def store_examples(folder: Path) -> list[Path]:
    """Store free images of scikit-image in a folder and return their paths: none if it is not installed.

    They are encoded again: Gradio names files by their content, and an upload of the same file would replace an
    example while others read it.
    """
    found = find_spec("skimage")
    if found is None or found.origin is None:
        return []
    (folder / "examples").mkdir(parents=True, exist_ok=True)
    stored = []
    for name, file in EXAMPLES.items():
        source = Path(found.origin).parent / "data" / file
        if source.is_file():
            stored.append(folder / "examples" / name)
            open_image(source).save(stored[-1], quality=92)
    return stored


@dataclass(frozen=True)
class Link:
    """Read the choices in the address of the page; ``examples`` are the images that it may name."""

    session: Session
    examples: tuple[Path, ...]

    def read(self, request: gr.Request) -> tuple[Any, ...]:
        """Return the image, model, method, opacity, colormap, what is drawn, and what is chosen once they are known.

        Values that the page does not offer are ignored.
        """
        given: Mapping[str, str] = dict(request.query_params)
        images = {path.name: str(path) for path in self.examples}
        opacity = _number(given.get("opacity"))
        image = images.get(given.get("image", ""))
        return (
            image or gr.skip(),
            _offered(given.get("model"), self.session.models),
            _offered(given.get("method"), self.session.methods),
            gr.skip() if opacity is None else opacity,
            _offered(given.get("colormap"), COLORMAPS),
            [one for one in given["drawn"].split(",") if one in DRAWN] if "drawn" in given else gr.skip(),
            {name: given[name] for name in ("image", "layer", "target") if name in given} if image else {},
        )


def _offered(value: str | None, offered: Any) -> Any:
    return value if value in offered else gr.skip()


def _number(text: str | None) -> float | None:
    """Return a number from 0 to 1, None for anything else.

    >>> _number("0.5"), _number("2"), _number("nan"), _number(None)
    (0.5, None, None, None)
    """
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None

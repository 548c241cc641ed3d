"""What the page answers when something on it is touched.

Every answer begins with a note, which is empty if all went well. Nothing that a visitor sends is trusted: events can
be called with anything, so that values are checked here and in the studio, whatever the page would offer.
"""

from __future__ import annotations

import functools
import secrets
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from fusioncam.app import html
from fusioncam.app.session import CachedExplanation, Studio, open_upload, packed
from fusioncam.errors import FusionCamError, ImageError, UnknownNameError
from fusioncam.explanations.explanation import Explanation
from fusioncam.utils.text import truncate_stem

_SIDE = 512  # of a map among others


@dataclass(frozen=True)
class Desk:
    """Answers what the page asks; ``folder`` holds what visitors sent, and nothing outside of it is opened."""

    studio: Studio
    folder: Path

    def look(self, sent: object, model: str) -> tuple[Any, ...]:
        """Name the classes that come into question, and the network's layers."""
        layers = self.studio.layers(model)
        guesses = [] if sent is None else self.studio.guesses(self._image(sent)[0], model)
        choices = [(html.choice(one), str(one.index)) for one in guesses]
        return (
            gr.update(choices=choices, value=choices[0][1] if choices else None, visible=bool(choices)),
            gr.update(choices=[(f"{layers[0]} (default)", layers[0]), *layers[1:]], value=layers[0]),
        )

    def explain(
        self, sent: object, model: str, layer: str, method: str, target: object, theta: object = None
    ) -> tuple[Any, ...]:
        """Make the heatmap; what is known of an earlier one is forgotten."""
        if sent is None:
            return BLANK
        return _shown(self._made(sent, model, layer, method, target, theta))

    def fuse(self, made: CachedExplanation | None, theta: Any) -> tuple[Any, ...] | None:
        """Make the heatmap again of the same maps, unless it is that one."""
        if made is None:  # there was one, or there would be no theta to move
            raise ImageError("this heatmap is no longer here: choose the image again")
        if made.theta == theta:
            return None
        again = made.at_theta(theta)
        return again.explanation.overlay(), html.facts(again), html.MOVED, gr.skip(), again

    def check(self, made: CachedExplanation | None) -> tuple[()] | None:
        """Measure how far to trust the heatmap, unless that is known."""
        if made is None:
            return None
        made.explanation.check()
        return ()

    def present(self, made: CachedExplanation | None, shown: str) -> str:
        """Show the card of the heatmap that is there now, if it was measured."""
        return shown if made is None or made.explanation.card is None else html.card(made.explanation.card)

    def compare(
        self, made: CachedExplanation | None, methods: object
    ) -> Iterator[tuple[str, list[tuple[Image.Image, str]], tuple[Explanation, ...]]]:
        """Make a heatmap by each of the methods, of the same class and layer, and show each when it is there."""
        shown: list[tuple[Image.Image, str]] = []
        others: list[Explanation] = []
        problems: list[str] = []
        chosen = methods[: len(self.studio.methods)] if isinstance(methods, list) else []
        if made is None or not chosen:
            yield html.note("Drop an image, and choose the methods that are to be compared."), [], ()
            return
        for method in chosen:
            try:
                others.append(self.studio.beside(made, method))
                shown.append((_small(others[-1].overlay()), others[-1].method))
            except FusionCamError as error:
                problems.append(f"{method}: {error}")
            except Exception:
                traceback.print_exc()
                problems.append(f"{method}: {html.BROKEN}")
            yield html.note("\n".join(problems)) if problems else "", list(shown), tuple(others)

    def pack(self, made: CachedExplanation | None, others: tuple[Explanation, ...]) -> tuple[str]:
        """Write all that was made into a zip file, and give its path."""
        if made is None:
            raise UnknownNameError("there is nothing to download yet: drop an image first")
        explanations = {one.method: one for one in (*others, made.explanation)}.values()
        stem = truncate_stem(Path(made.explanation.source).stem)
        path = self.folder / secrets.token_hex(16) / f"{stem}.heatmaps.zip"
        path.parent.mkdir()
        path.write_bytes(packed(explanations))
        return (str(path),)

    def answer(
        self,
        image: dict[str, Any],
        model: str = "",
        method: str = "",
        layer: str = "",
        target: str = "",
        theta: float = -1,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Explain an image: its facts, and a zip file of overlay, map and facts.

        Empty strings stand for the page's first model and method, the model's own layer, and the class that it holds
        most probable; a negative theta is the method's own.
        """
        name, method = model or next(iter(self.studio.models)), method or next(iter(self.studio.methods))
        own = isinstance(theta, float | int) and theta < 0
        made = self._made(image, name, layer or None, method, target or None, None if own else theta)
        (path,) = self.pack(made, ())
        return made.explanation.facts(), gr.FileData(path=path, orig_name=Path(path).name).model_dump()

    def _made(
        self, sent: object, model: str, layer: str | None, method: Any, target: Any, theta: Any = None
    ) -> CachedExplanation:
        image, source = self._image(sent)
        if not isinstance(target, str | int | None):
            raise UnknownNameError("a class is an index or a name")
        return self.studio.explain(image, source, model=model, layer=layer, method=method, target=target, theta=theta)

    def _image(self, sent: object) -> tuple[Image.Image, str]:
        """Open what was uploaded, and give its name."""
        path = sent.get("path") if isinstance(sent, dict) else None
        if not isinstance(path, str) or "\0" in path or not self._holds(Path(path)):
            raise ImageError("an image must be uploaded: no path and no address is opened")
        return open_upload(Path(path)), Path(path).name

    def _holds(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.folder.resolve())


# in the order of the page: heatmap, facts, card, theta, what was made; the boxes around them and around the others,
# what is there instead, the others and what is remembered of them
_GONE = gr.update(visible=False)
BLANK: tuple[Any, ...] = (None, "", "", _GONE, None, _GONE, _GONE, html.EMPTY, [], ())
SAME = (gr.skip(),) * 5
NO_CLASSES = (gr.update(choices=[], value=None, visible=False), gr.skip())


def _shown(made: CachedExplanation) -> tuple[Any, ...]:
    theta = gr.update(visible=False) if made.theta is None else gr.update(visible=True, value=made.theta)
    shown = made.explanation.overlay(), html.facts(made), html.MEASURING, theta, made
    return *shown, gr.update(visible=True), gr.update(visible=True), "", [], ()


def _small(image: Image.Image) -> Image.Image:
    image.thumbnail((_SIDE, _SIDE))
    return image


def noted(answer: Callable[..., tuple[Any, ...] | None], blank: tuple[Any, ...]) -> Callable[..., tuple[Any, ...]]:
    """Put a note before the answer: what went wrong, never as a traceback, with ``blank`` for the answer.

    An answer of None leaves everything as it is.
    """

    @functools.wraps(answer)
    def safe(*sent: Any) -> tuple[Any, ...]:
        try:
            given = answer(*sent)
            return (gr.skip(),) * (1 + len(blank)) if given is None else ("", *given)
        except FusionCamError as error:
            return html.note(str(error)), *blank
        except Exception:
            traceback.print_exc()
            return html.note(html.BROKEN), *blank

    return safe


def refusing(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what goes wrong into an error that Gradio hands to the visitor, as text."""

    @functools.wraps(answer)
    def safe(*sent: Any, **named: Any) -> Any:
        try:
            return answer(*sent, **named)
        except FusionCamError as error:
            raise gr.Error(escape(str(error)), print_exception=False) from None
        except Exception:
            traceback.print_exc()
            raise gr.Error(html.BROKEN, print_exception=False) from None

    return safe

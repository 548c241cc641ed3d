"""Handlers of the page's events: from what a visitor sends to what the page shows.

Nothing that a visitor sends is trusted. An event can be called with any values, so these are validated here and in
the session, even where the page itself offers only valid ones.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import gradio as gr

from fusioncam.app import html
from fusioncam.app.cached_explanation import CachedExplanation
from fusioncam.app.choices import first_offered, layer_choices
from fusioncam.app.display import DEFAULT_DRAWN, EXPIRED, overlay_settings, styled
from fusioncam.app.files import open_sent, store_image, thumbnail, zip_explanations
from fusioncam.app.messages import message_of
from fusioncam.app.session import Session
from fusioncam.errors import ImageError, InputTypeError
from fusioncam.explanations.explanation import Explanation
from fusioncam.trust.levels import QUESTIONS
from fusioncam.utils.text import file_stem
from fusioncam.visualization import DEFAULT_COLORMAP, DEFAULT_OPACITY

_THUMBNAIL_SIDE = 512

# the outputs of ``explain`` in the page's order: overlay, facts, card, theta, explanation; the boxes of the result
# and of the comparison; the placeholder; the gallery and the explanations in it
_HIDDEN = gr.update(visible=False)
NO_EXPLANATION: tuple[Any, ...] = (None, "", "", _HIDDEN, None, _HIDDEN, _HIDDEN, html.EMPTY, [], ())
UNCHANGED = (gr.skip(),) * 5
_NO_CLASSES = (gr.update(choices=[], value=None, visible=False), gr.skip())

Compared = tuple[str, list[tuple[str, str]], tuple[Explanation, ...]]


@dataclass(frozen=True)
class PageHandlers:
    """The handlers of one page; ``folder`` holds the uploads, and no file outside of it is opened."""

    session: Session
    folder: Path

    def update_choices(self, upload: object, model: str, link: object = None) -> tuple[Any, ...]:
        """Return the choices of classes for the image, and of layers for the model.

        ``link`` may name a class and a layer of its image; without them, the first ones are chosen.
        """
        layers = self.session.layers(model)
        predictions = [] if upload is None else self.session.predict_classes(open_sent(upload, self.folder)[0], model)
        choices = [(html.class_choice(prediction), str(prediction.index)) for prediction in predictions]
        wanted = link if isinstance(link, dict) and _is_image(upload, link.get("image")) else {}
        targets = [value for _, value in choices]
        return (
            gr.update(choices=choices, value=first_offered(wanted.get("target"), targets), visible=bool(choices)),
            gr.update(
                choices=layer_choices(layers, self.session.layer_sizes(model)),
                value=first_offered(wanted.get("layer"), layers),
            ),
            gr.skip(),  # the image
        )

    def explain(
        self,
        upload: object,
        model: str,
        layer: str,
        method: str,
        target: object,
        opacity: object = DEFAULT_OPACITY,
        colormap: object = DEFAULT_COLORMAP,
        drawn: object = DEFAULT_DRAWN,
        theta: object = None,
    ) -> tuple[Any, ...]:
        """Explain the image, and replace the earlier heatmap, its card and its comparison."""
        if upload is None:
            return NO_EXPLANATION
        explained = self._explain(upload, model, layer, method, target, theta)
        theta_update = _HIDDEN if explained.theta is None else gr.update(visible=True, value=explained.theta)
        overlay = store_image(styled(explained.explanation, opacity, colormap, drawn))
        visible = gr.update(visible=True)
        shown = overlay, html.facts(explained, str(colormap)), html.MEASURING, theta_update, explained
        return *shown, visible, visible, "", [], ()

    def change_theta(
        self,
        explained: CachedExplanation | None,
        theta: Any,
        opacity: object = DEFAULT_OPACITY,
        colormap: object = DEFAULT_COLORMAP,
        drawn: object = DEFAULT_DRAWN,
    ) -> tuple[Any, ...] | None:
        """Fuse the maps of the heatmap with another theta; return None if theta is the same."""
        if explained is None:  # the theta slider is visible only after an explanation, so that it has expired
            raise ImageError(EXPIRED)
        if explained.theta == theta:
            return None
        fused = explained.at_theta(theta)
        explained.superseded.set()
        return (
            store_image(styled(fused.explanation, opacity, colormap, drawn)),
            html.facts(fused, str(colormap)),
            html.THETA_MOVED,
            gr.skip(),
            fused,
        )

    def check(self, explained: CachedExplanation | None) -> tuple[()] | None:
        """Measure how far to trust the heatmap; the explanation keeps the card."""
        if explained is None:
            return None
        explained.explanation.check()
        return ()

    def check_steps(self, explained: CachedExplanation | None) -> Iterator[tuple[Any, Any]]:
        """Check the heatmap; yield the note and the number of questions answered so far.

        The check ends early when another heatmap is requested, which would wait for it.
        """
        if explained is None or explained.superseded.is_set():
            yield gr.skip(), ""
            return
        try:
            for answered in _answered(explained):
                yield gr.skip(), html.progress(answered, len(QUESTIONS))
        except _SupersededError:
            yield gr.skip(), ""
            return
        except Exception as error:
            yield html.note(message_of(error)), ""
            return
        yield "", ""

    def show_card(self, explained: CachedExplanation | None) -> Any:
        """Return the card of the heatmap that the page shows now; what is shown stays if it has no card yet."""
        if explained is None:
            return gr.skip()
        if explained.explanation.card is None:
            return html.SUPERSEDED if explained.superseded.is_set() else gr.skip()
        return html.card(explained.explanation.card)

    def compare(self, explained: CachedExplanation | None, methods: object, *style: Any) -> Iterator[Compared]:
        """Explain the same class and layer by each of the methods; yield the gallery after each.

        ``style`` are the arguments of :func:`fusioncam.app.display.overlay_settings`.
        """
        chosen = methods[: len(self.session.methods)] if isinstance(methods, list) else []
        if explained is None or not chosen:
            yield html.note("Drop an image, and choose the methods to compare."), [], ()
            return
        gallery: list[tuple[str, str]] = []
        explanations: list[Explanation] = []
        problems: list[str] = []
        for method in chosen:
            try:
                explanation = self.session.explain_by(method, explained)
                overlay = thumbnail(styled(explanation, *style), _THUMBNAIL_SIDE)
                gallery.append((store_image(overlay), explanation.method))
                explanations.append(explanation)
            except Exception as error:
                problems.append(f"{method}: {message_of(error)}")
            yield html.note("\n".join(problems)) if problems else "", list(gallery), tuple(explanations)

    def pack(self, explained: CachedExplanation | None, compared: tuple[Explanation, ...], *style: Any) -> tuple[str]:
        """Write the heatmap and those of the comparison into a zip file, in the style shown, and return its path."""
        if explained is None:
            raise ImageError("there is no heatmap to download: drop an image first")
        explanations = {one.method: one for one in (*compared, explained.explanation)}.values()
        stem = file_stem(Path(explained.explanation.source).stem)
        path = self.folder / secrets.token_hex(16) / f"{stem}.heatmaps.zip"
        path.parent.mkdir()
        path.write_bytes(zip_explanations(explanations, **overlay_settings(*style)))
        return (str(path),)

    def explain_by_api(
        self,
        image: dict[str, Any],
        model: str = "",
        method: str = "",
        layer: str = "",
        target: str = "",
        theta: float = -1,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Explain an image; return its facts, and a zip file of overlay, heatmap and facts.

        Empty strings stand for the page's first model and method, the model's default layer and the predicted
        class; a negative theta stands for that of the method.
        """
        model, method = model or next(iter(self.session.models)), method or next(iter(self.session.methods))
        default_theta = isinstance(theta, float | int) and theta < 0
        explained = self._explain(
            image, model, layer or None, method, target or None, None if default_theta else theta
        )
        (path,) = self.pack(explained, ())
        return explained.explanation.facts(), gr.FileData(path=path, orig_name=Path(path).name).model_dump()

    def _explain(
        self, upload: object, model: str, layer: str | None, method: Any, target: Any, theta: Any = None
    ) -> CachedExplanation:
        image, name = open_sent(upload, self.folder)
        if not isinstance(target, str | int | None):
            raise InputTypeError(f"target must be a class index or a class name, got {target!r}")
        return self.session.explain(image, name, model=model, layer=layer, method=method, target=target, theta=theta)


class _SupersededError(Exception):
    """Another heatmap is requested: the check of this one ends."""


def supersede(explained: CachedExplanation | None) -> str:
    """End the check of a heatmap, because another one is requested; return the text about its places."""
    if explained is not None:
        explained.superseded.set()
    return html.PLACE


def _answered(explained: CachedExplanation) -> Iterator[int]:
    """Check an explanation in another thread; yield the number of questions answered so far.

    Raises :class:`_SupersededError` at the next answer after the explanation is superseded.
    """
    steps: SimpleQueue[int | None] = SimpleQueue()

    def report(number: int) -> None:
        if explained.superseded.is_set():
            raise _SupersededError
        steps.put(number)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(copy_context().run, explained.explanation.check, report)
        future.add_done_callback(lambda _: steps.put(None))
        yield from iter(steps.get, None)
        future.result()


def _is_image(upload: object, name: object) -> bool:
    return isinstance(upload, dict) and Path(str(upload.get("path"))).name == name


def no_choices(error: Exception) -> tuple[Any, ...]:
    """Return the choices after an error; an image that cannot be opened is removed, as browsers cannot show it."""
    return *_NO_CLASSES, None if isinstance(error, ImageError) else gr.skip()

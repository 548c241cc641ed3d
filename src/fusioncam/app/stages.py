"""The layers of a network by stage: a small heatmap of each, to click."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr

from fusioncam.app.cached_explanation import CachedExplanation
from fusioncam.app.display import EXPIRED
from fusioncam.app.files import store_image, thumbnail
from fusioncam.app.galleries import clickable_gallery
from fusioncam.app.session import Session
from fusioncam.errors import ImageError, LayerError, MethodError
from fusioncam.visualization import OverlayStyle, overlay

_SIDE = 160  # of a thumbnail
_HIDDEN = gr.update(value=[], visible=False)


@dataclass(frozen=True)
class Stages:
    """The gallery of the stages' heatmaps, and the state that holds the names of its layers."""

    gallery: Any
    layers: Any

    @classmethod
    def create(cls, lifetime: int) -> Stages:
        """Create the components; the names are forgotten after ``lifetime`` seconds."""
        gallery = clickable_gallery("fc-stages", columns=5, label="Layer by stage")
        return cls(gallery, gr.State((), time_to_live=lifetime))


@dataclass(frozen=True)
class StageHandlers:
    """The handlers of the gallery."""

    session: Session

    def draw(self, explained: CachedExplanation | None) -> tuple[Any, ...]:
        """Return the heatmaps of the stages and the names of their layers; a gallery of fewer than two is hidden."""
        shown = {} if explained is None else self._drawn(explained)
        if explained is None or len(shown) < 2:
            return _HIDDEN, ()
        sizes = self.session.layer_sizes(self.session.name_of(explained))
        gallery = [(path, sizes[layer]) for layer, path in shown.items()]
        selected = select_stage(tuple(shown), explained.explanation.layer)
        return selected | gr.update(value=gallery, visible=True), tuple(shown)

    def _drawn(self, explained: CachedExplanation) -> dict[str, str]:
        """Return the file of each stage's heatmap; a layer without gradients has none."""
        image, drawn = thumbnail(explained.explanation.image.copy(), _SIDE), {}
        for layer in self.session.stages(explained):
            with suppress(LayerError, MethodError):
                heatmap = self.session.stage_heatmap(explained, layer)
                drawn[layer] = store_image(overlay(image, heatmap.numpy(), OverlayStyle()))
        return drawn


def select_stage(layers: tuple[str, ...], layer: object) -> dict[str, Any]:
    """Return the gallery with the frame around a layer, or without a frame if it is none of its stages."""
    update: dict[str, Any] = gr.update(selected_index=layers.index(layer) if layer in layers else None)
    return update


def choose_stage(layers: tuple[str, ...], event: gr.SelectData) -> str:
    """Return the layer that was clicked; raise :class:`ImageError` if the page shows it no longer."""
    if not (isinstance(event.index, int) and 0 <= event.index < len(layers)):
        raise ImageError(EXPIRED)
    return layers[event.index]

"""The page: what is on it, and what is asked when something on it is touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from fusioncam.app import html
from fusioncam.app.handlers import BLANK, NO_CLASSES, SAME, Desk, noted, refusing
from fusioncam.app.session import Studio

# one explanation after another; a fusion of maps that are there already need not wait for them, only for the one
# before it, so that the last theta is the one that stays
_NETWORK = {"concurrency_id": "network", "concurrency_limit": 1}
_FUSION = {"concurrency_id": "fusion", "concurrency_limit": 1}
# values come as they were sent, to be checked by the desk; only the page itself asks
_OURS = {"preprocess": False, "api_visibility": "private"}
# seconds for which files and maps are kept
_KEPT = 3600
# the browser follows the link as soon as it is there
_CLICK = "() => setTimeout(() => document.querySelector('#fc-zip').click(), 150)"


@dataclass(frozen=True)
class _Choices:
    """What a visitor chooses."""

    image: Any
    target: Any
    method: Any
    layer: Any
    model: Any

    @classmethod
    def laid_out(cls, studio: Studio) -> _Choices:
        models, methods = list(studio.models), list(studio.methods)
        layers = studio.layers(models[0])
        image = gr.Image(
            type="filepath",
            label="Image",
            sources=["upload", "clipboard"],
            placeholder=f"# Drop an image here\n{html.LIMITS}",
            buttons=[],
            height=300,
            elem_id="fc-image",
        )
        target = gr.Radio([], label="Class", visible=False, elem_id="fc-class")
        method = gr.Dropdown(methods, value=methods[0], label="Method", elem_id="fc-method")
        layer = gr.Dropdown(
            [(f"{layers[0]} (default)", layers[0]), *((one, one) for one in layers[1:])],
            value=layers[0],
            label="Layer",
            elem_id="fc-layer",
        )
        model = gr.Dropdown(models, value=models[0], label="Network", visible=len(models) > 1, elem_id="fc-model")
        return cls(image, target, method, layer, model)


@dataclass(frozen=True)
class _Results:
    """What a visitor sees, and what is remembered for him alone."""

    note: Any
    empty: Any
    some: Any
    view: Any
    facts: Any
    theta: Any
    card: Any
    download: Any
    link: Any
    made: Any

    @classmethod
    def laid_out(cls) -> _Results:
        note, empty = gr.HTML("", elem_id="fc-note"), gr.HTML(html.EMPTY, elem_id="fc-empty")
        with gr.Column(visible=False, elem_id="fc-some") as some:
            view = gr.Image(
                show_label=False,
                interactive=False,
                format="jpeg",
                buttons=["fullscreen"],
                alt_text="the image under its heatmap",
                elem_id="fc-view",
            )
            facts = gr.HTML("", elem_id="fc-facts")
            theta = gr.Slider(
                0,
                100,
                10,
                step=1,
                label="theta",
                info="the gradient map is 0 below this percentile",
                buttons=[],
                elem_id="fc-theta",
            )
            card = gr.HTML("", elem_id="fc-card")
            download = gr.Button("Download overlay, map and facts", size="md", elem_id="fc-download")
            link = gr.DownloadButton("zip", visible="hidden", elem_id="fc-zip")
        return cls(note, empty, some, view, facts, theta, card, download, link, made=gr.State(time_to_live=_KEPT))


@dataclass(frozen=True)
class _Comparison:
    """Several methods side by side."""

    box: Any
    methods: Any
    button: Any
    gallery: Any
    others: Any

    @classmethod
    def laid_out(cls, studio: Studio) -> _Comparison:
        offered = list(studio.methods)
        usual = [one for one in ("fusion-cam", "score-cam", "grad-cam") if one in offered] or offered[:3]
        with gr.Column(visible=False, elem_id="fc-comparison") as box:
            gr.HTML("<h2>Side by side</h2>")
            with gr.Row(equal_height=True):
                methods = gr.Dropdown(
                    offered,
                    value=usual,
                    multiselect=True,
                    show_label=False,
                    scale=5,
                    min_width=280,
                    elem_id="fc-methods",
                )
                button = gr.Button("Compare", scale=1, min_width=120, elem_id="fc-compare")
            gallery = gr.Gallery(
                show_label=False,
                columns=3,
                object_fit="contain",
                format="jpeg",
                height="auto",
                buttons=[],
                interactive=False,
                elem_id="fc-gallery",
            )
        return cls(box, methods, button, gallery, others=gr.State((), time_to_live=_KEPT))


def build(studio: Studio, folder: Path) -> gr.Blocks:
    """Make the page; what visitors send lies in ``folder``."""
    desk = Desk(studio, folder)
    with gr.Blocks(
        title="fusioncam", analytics_enabled=False, delete_cache=(_KEPT // 6, _KEPT), elem_id="fc"
    ) as page:
        gr.HTML(html.HEAD)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                choices = _Choices.laid_out(studio)
            with gr.Column(scale=3, min_width=300):
                results = _Results.laid_out()
        comparison = _Comparison.laid_out(studio)
        gr.HTML(html.FOOT)
        gr.api(refusing(desk.answer), api_name="explain", **_NETWORK)
        _wire(desk, choices, results, comparison)
    return page


def _wire(desk: Desk, ask: _Choices, show: _Results, compare: _Comparison) -> None:
    """Say what is asked when something is touched."""
    request = [ask.image, ask.model, ask.layer, ask.method, ask.target]
    fused = [show.note, show.view, show.facts, show.card, show.theta, show.made]
    shown = [*fused, show.some, compare.box, show.empty, compare.gallery, compare.others]
    waiting = {"show_progress_on": [show.view, show.empty], **_NETWORK, **_OURS}
    silent = {"show_progress": "hidden", **_OURS}
    looks = {"fn": noted(desk.look, NO_CLASSES), "inputs": request[:2], "outputs": [show.note, ask.target, ask.layer]}
    explains = {"fn": noted(desk.explain, BLANK), "inputs": request, "outputs": shown} | waiting
    again = explains | {"inputs": [*request, show.theta]}
    fuses = {"fn": noted(desk.fuse, SAME), "inputs": [show.made, show.theta], "outputs": fused} | silent | _FUSION

    def measured(event: Any) -> None:
        """Measure the map that the event made, once it is shown; a card of a map that is gone is not shown."""
        checks = event.success(noted(desk.check, ()), [show.made], [show.note], **silent, **_NETWORK)
        checks.success(desk.present, [show.made, show.card], [show.card], queue=False, **silent)

    measured(ask.image.change(**looks, **silent, **_NETWORK).success(**explains))
    measured(ask.model.input(**looks, **silent, **_NETWORK).success(**explains))
    measured(ask.method.input(**explains))
    for kept in (ask.target, ask.layer):  # which leave theta where it is
        measured(kept.input(**again))
    show.theta.input(**fuses, trigger_mode="always_last")
    measured(show.theta.release(**fuses, trigger_mode="always_last"))
    compare.button.click(
        desk.compare,
        [show.made, compare.methods],
        [show.note, compare.gallery, compare.others],
        show_progress_on=[compare.gallery],
        **_NETWORK,
        **_OURS,
    )
    show.download.click(
        noted(desk.pack, (None,)),
        [show.made, compare.others],
        [show.note, show.link],
        **silent,
    ).success(None, js=_CLICK)

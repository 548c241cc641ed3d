"""The page: its components, and the handlers of their events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from fusioncam.app import html
from fusioncam.app.camera import add_camera
from fusioncam.app.handlers import (
    NO_EXPLANATION,
    UNCHANGED,
    PageHandlers,
    layer_choices,
    no_choices,
    with_error_note,
    with_gradio_error,
)
from fusioncam.app.session import Session

# One explanation runs at a time. Fusing cached maps does not wait for explanations, but for the previous fusion, so
# that the last theta is the one that stays.
_EXPLAIN_QUEUE = {"concurrency_id": "network", "concurrency_limit": 1}
_FUSION_QUEUE = {"concurrency_id": "fusion", "concurrency_limit": 1}
# the handlers receive values as they were sent and validate them; the API does not offer these events
_PRIVATE = {"preprocess": False, "api_visibility": "private"}
_SILENT = {"show_progress": "hidden", **_PRIVATE}
_LIFETIME = 3600  # of files and explanations, in seconds
# Gradio's download button has no event for a file that is created on request, so that a hidden link is clicked
_CLICK_LINK = "() => setTimeout(() => document.querySelector('#fc-zip').click(), 150)"


@dataclass(frozen=True)
class _Choices:
    """The components in which a visitor chooses what to explain."""

    image: Any
    target: Any
    method: Any
    layer: Any
    model: Any

    @classmethod
    def create(cls, session: Session) -> _Choices:
        models, methods = list(session.models), list(session.methods)
        layers = session.layers(models[0])
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
        layer = gr.Dropdown(layer_choices(layers), value=layers[0], label="Layer", elem_id="fc-layer")
        model = gr.Dropdown(models, value=models[0], label="Network", visible=len(models) > 1, elem_id="fc-model")
        return cls(image, target, method, layer, model)


@dataclass(frozen=True)
class _Results:
    """The components that show an explanation, and the state that holds it for one visitor."""

    note: Any
    placeholder: Any
    box: Any
    overlay: Any
    facts: Any
    theta: Any
    card: Any
    download: Any
    link: Any
    explained: Any

    @classmethod
    def create(cls) -> _Results:
        note, placeholder = gr.HTML("", elem_id="fc-note"), gr.HTML(html.EMPTY, elem_id="fc-empty")
        with gr.Column(visible=False, elem_id="fc-some") as box:
            overlay = gr.Image(
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
            download = gr.Button("Download overlay, heatmap and facts", size="md", elem_id="fc-download")
            link = gr.DownloadButton("zip", visible="hidden", elem_id="fc-zip")
        explained = gr.State(time_to_live=_LIFETIME)
        return cls(note, placeholder, box, overlay, facts, theta, card, download, link, explained)


@dataclass(frozen=True)
class _Comparison:
    """The components that show several methods side by side, and the state that holds their explanations."""

    box: Any
    methods: Any
    button: Any
    gallery: Any
    explanations: Any

    @classmethod
    def create(cls, session: Session) -> _Comparison:
        offered = list(session.methods)
        default = [name for name in ("fusion-cam", "score-cam", "grad-cam") if name in offered] or offered[:3]
        with gr.Column(visible=False, elem_id="fc-comparison") as box:
            gr.HTML("<h2>Side by side</h2>")
            with gr.Row(equal_height=True):
                methods = gr.Dropdown(
                    offered,
                    value=default,
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
        return cls(box, methods, button, gallery, explanations=gr.State((), time_to_live=_LIFETIME))


def build_page(session: Session, folder: Path) -> gr.Blocks:
    """Return the page; uploads are stored in ``folder``."""
    handlers = PageHandlers(session, folder)
    with gr.Blocks(
        title="fusioncam", analytics_enabled=False, delete_cache=(_LIFETIME // 6, _LIFETIME), elem_id="fc"
    ) as page:
        gr.HTML(html.HEAD)
        with gr.Tab("Image"):
            with gr.Row(equal_height=False):
                with gr.Column(scale=2, min_width=300):
                    choices = _Choices.create(session)
                with gr.Column(scale=3, min_width=300):
                    results = _Results.create()
            comparison = _Comparison.create(session)
        with gr.Tab("Camera"):
            add_camera(session)
        gr.HTML(html.FOOT)
        gr.api(with_gradio_error(handlers.explain_by_api), api_name="explain", **_EXPLAIN_QUEUE)
        _connect_choices(handlers, choices, results, comparison)
        _connect_theta(handlers, results)
        _connect_buttons(handlers, results, comparison)
    return page


def _connect_choices(handlers: PageHandlers, choices: _Choices, results: _Results, comparison: _Comparison) -> None:
    """Explain the image when it or a choice changes; another image or model changes the choices first."""
    request = [choices.image, choices.model, choices.layer, choices.method, choices.target]
    update_choices = {
        "fn": with_error_note(handlers.update_choices, no_choices),
        "inputs": [choices.image, choices.model],
        "outputs": [results.note, choices.target, choices.layer, choices.image],
        **_SILENT,
        **_EXPLAIN_QUEUE,
    }
    explain = {
        "fn": with_error_note(handlers.explain, NO_EXPLANATION),
        "inputs": request,
        "outputs": [
            *_explanation_outputs(results),
            *(results.box, comparison.box, results.placeholder, comparison.gallery, comparison.explanations),
        ],
        "show_progress_on": [results.overlay, results.placeholder],
        **_EXPLAIN_QUEUE,
        **_PRIVATE,
    }
    keep_theta = explain | {"inputs": [*request, results.theta]}
    _check_after(choices.image.change(**update_choices).success(**explain), handlers, results)
    choices.image.clear(lambda: "", outputs=[results.note], **_SILENT)
    _check_after(choices.model.input(**update_choices).success(**explain), handlers, results)
    _check_after(choices.method.input(**explain), handlers, results)
    _check_after(choices.target.input(**keep_theta), handlers, results)
    _check_after(choices.layer.input(**keep_theta), handlers, results)


def _connect_theta(handlers: PageHandlers, results: _Results) -> None:
    """Fuse while theta moves, and check the heatmap when it is released."""
    fuse = {
        "fn": with_error_note(handlers.change_theta, UNCHANGED),
        "inputs": [results.explained, results.theta],
        "outputs": _explanation_outputs(results),
        "trigger_mode": "always_last",
        **_SILENT,
        **_FUSION_QUEUE,
    }
    results.theta.input(**fuse)
    _check_after(results.theta.release(**fuse), handlers, results)


def _connect_buttons(handlers: PageHandlers, results: _Results, comparison: _Comparison) -> None:
    comparison.button.click(
        handlers.compare,
        [results.explained, comparison.methods],
        [results.note, comparison.gallery, comparison.explanations],
        show_progress_on=[comparison.gallery],
        **_EXPLAIN_QUEUE,
        **_PRIVATE,
    )
    results.download.click(
        with_error_note(handlers.pack, (None,)),
        [results.explained, comparison.explanations],
        [results.note, results.link],
        **_SILENT,
    ).success(None, js=_CLICK_LINK)


def _explanation_outputs(results: _Results) -> list[Any]:
    return [results.note, results.overlay, results.facts, results.card, results.theta, results.explained]


def _check_after(event: Any, handlers: PageHandlers, results: _Results) -> None:
    """Check the heatmap of an event after it is shown; show the card only if that heatmap is still shown."""
    check = with_error_note(handlers.check, ())
    checked = event.success(check, [results.explained], [results.note], **_SILENT, **_EXPLAIN_QUEUE)
    checked.success(handlers.show_card, [results.explained, results.card], [results.card], queue=False, **_SILENT)

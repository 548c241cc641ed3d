"""The page: its components, and the handlers of their events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from fusioncam.app import html
from fusioncam.app.camera import add_camera
from fusioncam.app.components import LIFETIME, Choices, Comparison, Results
from fusioncam.app.display import probe, restyle, show_view
from fusioncam.app.handlers import (
    NO_EXPLANATION,
    UNCHANGED,
    PageHandlers,
    no_choices,
    supersede,
)
from fusioncam.app.link import WRITE, Link, store_examples
from fusioncam.app.messages import with_error_note, with_gradio_error
from fusioncam.app.session import Session
from fusioncam.app.stages import StageHandlers, Stages, choose_stage, select_stage

# One explanation runs at a time. Fusing cached maps does not wait for explanations, but for the previous fusion, so
# that the last theta is the one that stays.
_EXPLAIN_QUEUE = {"concurrency_id": "network", "concurrency_limit": 1}
_FUSION_QUEUE = {"concurrency_id": "fusion", "concurrency_limit": 1}
# the handlers receive values as they were sent and validate them; the API does not offer these events
_PRIVATE = {"preprocess": False, "api_visibility": "private"}
_SILENT = {"show_progress": "hidden", **_PRIVATE}
# Gradio's download button has no event for a file that is created on request
_DOWNLOAD = "file => Object.assign(document.createElement('a'), {href: file.url, download: file.orig_name}).click()"


def build_page(session: Session, folder: Path) -> gr.Blocks:
    """Return the page; uploads are stored in ``folder``."""
    handlers, examples = PageHandlers(session, folder), store_examples(folder)
    with gr.Blocks(
        title="fusioncam", analytics_enabled=False, delete_cache=(LIFETIME // 6, LIFETIME), elem_id="fc"
    ) as page:
        gr.HTML(html.HEAD)
        with gr.Tab("Image"):
            with gr.Row(equal_height=False):
                with gr.Column(scale=2, min_width=300, elem_id="fc-choices"):
                    choices = Choices.create(session, examples)
                with gr.Column(scale=3, min_width=300, elem_id="fc-results"):
                    results = Results.create()
            comparison = Comparison.create(session)
        with gr.Tab("Camera"):
            add_camera(session)
        gr.HTML(html.FOOT)
        gr.api(with_gradio_error(handlers.explain_by_api), api_name="explain", **_EXPLAIN_QUEUE)
        link = gr.State({})
        choices.images.connect(folder, choices.image)
        _supersede(choices, results)  # first: a browser sends the events of a click one after the other
        _connect_choices(handlers, choices, results, comparison, link)
        _connect_link(page, Link(session, tuple(examples)), choices, results, link)
        _connect_theta(handlers, results)
        _connect_display(results)
        _connect_buttons(handlers, results, comparison)
    return page


def _connect_choices(
    handlers: PageHandlers, choices: Choices, results: Results, comparison: Comparison, link: Any
) -> None:
    """Explain the image when it or a choice changes; another image or model changes the choices first."""
    request = [choices.image, choices.model, choices.layer, choices.method, choices.target, *results.display.style]
    computed = [results.overlay, results.display.wipe, results.placeholder]  # style.css dims them meanwhile
    update_choices = {
        "fn": with_error_note(handlers.update_choices, no_choices),
        "inputs": [choices.image, choices.model, link],
        "outputs": [results.note, choices.target, choices.layer, choices.image],
        "show_progress_on": computed,
        **_EXPLAIN_QUEUE,
        **_PRIVATE,
    }
    explain = {
        "fn": with_error_note(handlers.explain, NO_EXPLANATION),
        "inputs": request,
        "outputs": [
            *_explanation_outputs(results),
            *(results.box, comparison.box, results.placeholder, comparison.gallery, comparison.explanations),
        ],
        "show_progress_on": computed,
        **_EXPLAIN_QUEUE,
        **_PRIVATE,
    }
    keep_theta = explain | {"inputs": [*request, results.theta]}
    other_maps = [
        choices.image.change(**update_choices).success(**explain),
        choices.model.input(**update_choices).success(**explain),
        choices.target.input(**keep_theta),
    ]
    choices.image.clear(lambda: "", outputs=[results.note], **_SILENT)
    _draw_stages_after(other_maps, handlers.session, choices.stages, results)
    chosen = _choose_stage(choices).success(**keep_theta)
    for event in (*other_maps, choices.method.input(**explain), choices.layer.input(**keep_theta), chosen):
        _check_after(event, handlers, results)


def _draw_stages_after(events: list[Any], session: Session, stages: Stages, results: Results) -> None:
    """Draw the heatmaps of the stages when that of the page is shown, and before its check."""
    draw = {
        "fn": with_error_note(StageHandlers(session).draw, (gr.skip(), gr.skip())),
        "inputs": [results.explained],
        "outputs": [results.note, stages.gallery, stages.layers],
    }
    for event in events:
        event.success(**draw, **_SILENT, **_EXPLAIN_QUEUE)


def _choose_stage(choices: Choices) -> Any:
    """Choose the layer whose heatmap is clicked, and frame the heatmap of the layer that is chosen in the list."""
    stages = choices.stages
    choices.layer.input(select_stage, [stages.layers, choices.layer], [stages.gallery], queue=False, **_SILENT)
    return stages.gallery.select(
        with_gradio_error(choose_stage), [stages.layers], [choices.layer], queue=False, **_SILENT
    )


def _connect_link(page: gr.Blocks, link: Link, choices: Choices, results: Results, state: Any) -> None:
    """Read the choices in the page's address when it opens, and write them there when they change."""
    image, model, method = choices.image, choices.model, choices.method
    style = results.display.style
    page.load(link.read, None, [image, model, method, *style, state], queue=False, **_SILENT)
    chosen = [image, model, method, choices.layer, choices.target, *style]
    for event in (results.explained.change, *(one.input for one in style)):
        event(None, chosen, None, js=WRITE)


def _connect_theta(handlers: PageHandlers, results: Results) -> None:
    """Fuse while theta moves, and check the heatmap when it is released."""
    fuse = {
        "fn": with_error_note(handlers.change_theta, UNCHANGED),
        "inputs": [results.explained, results.theta, *results.display.style],
        "outputs": _explanation_outputs(results),
        "trigger_mode": "always_last",
        **_SILENT,
        **_FUSION_QUEUE,
    }
    results.theta.input(**fuse)
    _check_after(results.theta.release(**fuse), handlers, results)


def _supersede(choices: Choices, results: Results) -> None:
    """End the check of a heatmap, and remove what was measured at a place, as soon as another one is requested."""
    place = {"outputs": [results.display.place], "queue": False, **_SILENT}
    inputs = (choices.model, choices.method, choices.target, choices.layer)
    for event in (choices.image.change, choices.stages.gallery.select, *(one.input for one in inputs)):
        event(supersede, [results.explained], **place)
    results.theta.input(lambda: html.PLACE, **place)


def _connect_display(results: Results) -> None:
    """Draw the heatmap in other colours, show it under a slider, and measure the place of a click."""
    display = results.display
    shown = [results.explained, *display.style]
    for event in (one.input for one in display.style):
        event(
            with_error_note(restyle, (gr.skip(), gr.skip())),
            shown,
            [results.note, results.overlay, results.facts],
            trigger_mode="always_last",
            **_SILENT,
            **_FUSION_QUEUE,
        )
    show = {
        "fn": with_error_note(show_view, (gr.skip(), gr.skip())),
        "inputs": [display.view, *shown],
        "outputs": [results.note, results.overlay, display.wipe],
        **_SILENT,
    }
    display.view.input(**show)
    results.overlay.change(
        lambda *values: show_view(*values)[1], [display.view, *shown], [display.wipe], queue=False, **_SILENT
    )
    results.overlay.select(
        with_error_note(probe, (gr.skip(), gr.skip())),
        shown,
        [results.note, results.overlay, display.place],
        **_SILENT,
        **_FUSION_QUEUE,
    )


def _connect_buttons(handlers: PageHandlers, results: Results, comparison: Comparison) -> None:
    comparison.button.click(
        handlers.compare,
        [results.explained, comparison.methods, *results.display.style],
        [results.note, comparison.gallery, comparison.explanations],
        show_progress_on=[comparison.gallery],
        **_EXPLAIN_QUEUE,
        **_PRIVATE,
    )
    results.download.click(
        with_error_note(handlers.pack, (None,)),
        [results.explained, comparison.explanations, *results.display.style],
        [results.note, results.link],
        **_SILENT,
    ).success(None, [results.link], None, js=_DOWNLOAD)


def _explanation_outputs(results: Results) -> list[Any]:
    return [results.note, results.overlay, results.facts, results.card, results.theta, results.explained]


def _check_after(event: Any, handlers: PageHandlers, results: Results) -> None:
    """Check the heatmap of an event after it is shown; show the card only if that heatmap is still shown."""
    outputs = [results.note, results.progress]
    checked = event.success(handlers.check_steps, [results.explained], outputs, **_SILENT, **_EXPLAIN_QUEUE)
    checked.success(handlers.show_card, [results.explained], [results.card], queue=False, **_SILENT)

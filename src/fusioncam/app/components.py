"""The components of the page, in the order in which it shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from fusioncam.app import html
from fusioncam.app.choices import layer_choices
from fusioncam.app.display import COLORMAPS, DEFAULT_DRAWN, DRAWN, HEATMAP, WIPE
from fusioncam.app.image_list import ImageList
from fusioncam.app.session import Session
from fusioncam.app.stages import Stages
from fusioncam.visualization import DEFAULT_COLORMAP, DEFAULT_OPACITY

LIFETIME = 3600  # of files and explanations, in seconds


@dataclass(frozen=True)
class Choices:
    """The components in which a visitor chooses what to explain."""

    image: Any
    images: ImageList
    target: Any
    method: Any
    layer: Any
    stages: Stages
    model: Any

    @classmethod
    def create(cls, session: Session, examples: Sequence[Path] = ()) -> Choices:
        """Create the components, with examples to click on."""
        models, methods = list(session.models), list(session.methods)
        layers = session.layers(models[0])
        image = gr.Image(
            type="filepath",
            label="Image",
            sources=["upload", "clipboard"],
            placeholder=f"# Drop one image or several here\n{html.LIMITS}",
            buttons=[],
            height=300,
            elem_id="fc-image",
        )
        gr.HTML(html.TOO_LARGE, elem_id="fc-refused")
        images = ImageList.create(LIFETIME)
        if examples:
            gr.Examples(
                [[str(path)] for path in examples],
                [image],
                label="Examples",
                preload=False,
                cache_examples=False,
                elem_id="fc-examples",
            )
        target = gr.Radio([], label="Class", visible=False, elem_id="fc-class")
        method = gr.Dropdown(methods, value=methods[0], label="Method", elem_id="fc-method")
        layer = gr.Dropdown(
            layer_choices(layers, session.layer_sizes(models[0])), value=layers[0], label="Layer", elem_id="fc-layer"
        )
        stages = Stages.create(LIFETIME)
        model = gr.Dropdown(models, value=models[0], label="Network", visible=len(models) > 1, elem_id="fc-model")
        return cls(image, images, target, method, layer, stages, model)


@dataclass(frozen=True)
class Display:
    """The components that choose how the heatmap is shown, the slider over the image, and what a place matters."""

    wipe: Any
    place: Any
    view: Any
    opacity: Any
    colormap: Any
    drawn: Any

    @classmethod
    def create(cls) -> Display:
        """Create the components."""
        wipe = gr.ImageSlider(
            show_label=False, interactive=False, format="jpeg", buttons=[], visible=False, elem_id="fc-wipe"
        )
        place = gr.HTML(html.PLACE, elem_id="fc-place")
        with gr.Row(equal_height=True, elem_id="fc-display"):
            view = gr.Radio([HEATMAP, WIPE], value=HEATMAP, label="View", min_width=170, elem_id="fc-view-choice")
            opacity = gr.Slider(
                0, 1, DEFAULT_OPACITY, step=0.05, label="Opacity", buttons=[], min_width=165, elem_id="fc-opacity"
            )
            colormap = gr.Dropdown(
                list(COLORMAPS), value=DEFAULT_COLORMAP, label="Colours", min_width=110, elem_id="fc-colormap"
            )
            drawn = gr.CheckboxGroup(
                list(DRAWN), value=list(DEFAULT_DRAWN), label="Drawing", min_width=500, elem_id="fc-drawn"
            )
        return cls(wipe, place, view, opacity, colormap, drawn)

    @property
    def style(self) -> list[Any]:
        """The components of the arguments of :func:`fusioncam.app.display.overlay_settings`."""
        return [self.opacity, self.colormap, self.drawn]


@dataclass(frozen=True)
class Results:
    """The components that show an explanation, and the state that holds it for one visitor."""

    note: Any
    placeholder: Any
    box: Any
    overlay: Any
    display: Display
    facts: Any
    theta: Any
    progress: Any
    card: Any
    download: Any
    link: Any
    explained: Any

    @classmethod
    def create(cls) -> Results:
        """Create the components."""
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
            display = Display.create()
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
            progress = gr.HTML("", elem_id="fc-progress")
            card = gr.HTML("", elem_id="fc-card")
            download = gr.Button("Download overlay, heatmap and facts", size="md", elem_id="fc-download")
            link = gr.DownloadButton("zip", visible="hidden", elem_id="fc-zip")
        explained = gr.State(time_to_live=LIFETIME)
        return cls(note, placeholder, box, overlay, display, facts, theta, progress, card, download, link, explained)


@dataclass(frozen=True)
class Comparison:
    """The components that show several methods side by side, and the state that holds their explanations."""

    box: Any
    methods: Any
    button: Any
    gallery: Any
    explanations: Any

    @classmethod
    def create(cls, session: Session) -> Comparison:
        """Create the components."""
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
        return cls(box, methods, button, gallery, explanations=gr.State((), time_to_live=LIFETIME))

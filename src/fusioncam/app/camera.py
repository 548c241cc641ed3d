"""The page's camera: each frame that a visitor's browser sends is explained, shown and forgotten."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from fusioncam.app import html
from fusioncam.app.messages import message_of
from fusioncam.app.session import RunningMean, Session
from fusioncam.data.images import read_image
from fusioncam.errors import ImageError

MAX_PIXELS = 2_000_000  # of a frame; the page requests 640 x 480
_WIDTH, _HEIGHT = 640, 480
_EVERY = 0.2  # seconds between two frames that a browser sends; the server explains the last one
# one visitor at a time, for so many seconds, so that images and other visitors have their turn
TURN_SECONDS = 120
_DATA = re.compile(r"data:image/(jpeg|png|webp);base64,([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True)
class CameraHandler:
    """The handler of camera frames. Frames are decoded in memory, and written to no file."""

    session: Session

    def explain_frame(
        self, frame: object, model: object, method: object, before: RunningMean | None
    ) -> tuple[Any, Any]:
        """Return the frame under its heatmap as HTML, and the running mean of the probabilities.

        The values are as a browser sent them: anything may arrive.
        """
        if frame is None:
            return gr.skip(), gr.skip()
        try:
            known = before if isinstance(before, RunningMean) else None
            explanation, mean = self.session.explain_frame(decode(frame), str(model), str(method), known)
        except Exception as error:
            return html.note(message_of(error)), gr.skip()
        return html.frame(explanation), mean


def decode(frame: object) -> Image.Image:
    """Return a frame that a browser sent as a data URL; raise :class:`ImageError` for anything else."""
    url = frame.get("url") if isinstance(frame, dict) else None
    match = _DATA.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        raise ImageError("a camera image must be sent as data: no path and no address is opened")
    try:
        data = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        raise ImageError("the camera image is damaged") from None
    return read_image(data, "the camera image", max_pixels=MAX_PIXELS)


def add_camera(session: Session) -> None:
    """Add the camera, the choices of method and network, and the heatmap to the page that is being built."""
    models, methods = list(session.models), list(session.methods)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            camera = gr.Image(
                sources=["webcam"],
                streaming=True,
                label="Camera",
                buttons=[],
                height=300,
                # as the network receives it, so that texts are readable
                webcam_options=gr.WebcamOptions(
                    mirror=False, constraints={"video": {"width": _WIDTH, "height": _HEIGHT}}
                ),
                elem_id="fc-camera",
            )
            method = gr.Dropdown(methods, value=methods[0], label="Method", elem_id="fc-camera-method")
            model = gr.Dropdown(
                models, value=models[0], label="Network", visible=len(models) > 1, elem_id="fc-camera-model"
            )
        with gr.Column(scale=3, min_width=300):
            view = gr.HTML(html.NO_FRAME, elem_id="fc-camera-view")
    mean = gr.State(time_to_live=TURN_SECONDS)
    camera.stream(
        CameraHandler(session).explain_frame,
        [camera, model, method, mean],
        [view, mean],
        stream_every=_EVERY,
        time_limit=TURN_SECONDS,
        concurrency_id="camera",
        concurrency_limit=1,
        show_progress="hidden",
        preprocess=False,
        api_visibility="private",
    )

"""Where the page is served, and with what limits."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import gradio as gr
from starlette.middleware import Middleware

from fusioncam.app.page import build
from fusioncam.app.request_filter import Door
from fusioncam.app.session import MAX_BYTES, Studio
from fusioncam.errors import AddressError

HOST = "127.0.0.1"
_SESSIONS = 100  # whose maps are remembered at once: some MB each
_WAITING = 64  # requests in the queue: who comes then is asked to try again
# who moves theta by the arrow keys lets go of it too, which Gradio tells of a mouse alone
_LET_GO = """() => document.addEventListener("keyup", event => {
    if (event.target.matches("#fc-theta input[type=range]"))
        event.target.dispatchEvent(new PointerEvent("pointerup", {bubbles: true}));
})"""
# fonts that are there already: the default theme's would come from elsewhere
_THEME = gr.themes.Base(
    primary_hue="teal",
    neutral_hue="slate",
    radius_size="lg",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    body_background_fill="*neutral_50",
    body_background_fill_dark="*neutral_950",
    block_border_width="1px",
    body_text_color_subdued="*neutral_500",
    body_text_color_subdued_dark="*neutral_400",
    checkbox_border_color_dark="*neutral_500",
    checkbox_label_background_fill="transparent",
    checkbox_label_background_fill_dark="transparent",
    checkbox_label_background_fill_selected="*primary_50",
    checkbox_label_background_fill_selected_dark="*neutral_800",
    button_secondary_background_fill="*primary_600",
    button_secondary_background_fill_hover="*primary_700",
    button_secondary_background_fill_dark="*primary_700",
    button_secondary_background_fill_hover_dark="*primary_600",
    button_secondary_text_color="white",
)


@contextmanager
def served(studio: Studio, host: str = HOST, port: int | None = None) -> Iterator[str]:
    """Serve the page while the block runs, and give its address. ``port`` None is the first free one from 7860.

    What visitors send lies in a folder of its own, which is gone afterwards. Raises :class:`AddressError`.
    """
    with tempfile.TemporaryDirectory(prefix="fusioncam-") as folder:
        private = {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        with patch.dict(os.environ, private):
            page = build(studio, Path(folder))
            page.queue(max_size=_WAITING, api_open=False)
            try:
                _, address, _ = page.launch(
                    server_name=host,
                    server_port=port,
                    prevent_thread_lock=True,
                    quiet=True,
                    share=False,
                    footer_links=[],
                    run_history=False,
                    enable_monitoring=False,
                    ssr_mode=False,
                    pwa=False,
                    mcp_server=False,
                    max_file_size=MAX_BYTES,
                    state_session_capacity=_SESSIONS,
                    theme=_THEME,
                    js=_LET_GO,
                    css_paths=[Path(__file__).with_name("style.css")],
                    app_kwargs={"middleware": [Middleware(Door)], "docs_url": None, "redoc_url": None},
                )
            except (OSError, ValueError) as error:
                at = f"{host}:{port}" if port else host
                raise AddressError(f"cannot serve at {at}: {error}: choose another --host or --port") from None
            try:
                yield address
            finally:
                page.close(verbose=False)


def serve(studio: Studio, host: str = HOST, port: int | None = None) -> None:
    """Serve the page until Ctrl-C."""
    with served(studio, host, port) as address:
        print(f"fusioncam app: {address} (Ctrl-C ends it)", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("ended")

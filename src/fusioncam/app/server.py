"""Serve the page, with limits on visitors, requests and files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from fusioncam.app.files import MAX_BYTES
from fusioncam.app.hosts import AllowedHosts
from fusioncam.app.limits import Limits
from fusioncam.app.page import build_page
from fusioncam.app.request_filter import RequestFilter
from fusioncam.app.session import Session
from fusioncam.errors import AddressError
from fusioncam.utils.addresses import require_own_address

HOST = "127.0.0.1"
_MAX_SESSIONS = 100  # visitors whose explanations are kept, at some MB each
_MAX_QUEUE = 64  # waiting requests; others are rejected
# fonts of the visitor's system: those of the default theme would be loaded from another server
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
    checkbox_label_background_fill_hover="*neutral_100",
    checkbox_label_background_fill_hover_dark="*neutral_700",
    checkbox_label_background_fill_selected="*primary_50",
    checkbox_label_background_fill_selected_dark="*neutral_800",
    button_secondary_background_fill="*primary_600",
    button_secondary_background_fill_hover="*primary_700",
    button_secondary_background_fill_dark="*primary_700",
    button_secondary_background_fill_hover_dark="*primary_600",
    button_secondary_text_color="white",
)
_LAUNCH_OPTIONS = {
    "prevent_thread_lock": True,
    "quiet": True,
    "share": False,
    "footer_links": [],
    "run_history": False,
    "enable_monitoring": False,
    "ssr_mode": False,
    "pwa": False,
    "mcp_server": False,
    "max_file_size": MAX_BYTES,
    "state_session_capacity": _MAX_SESSIONS,
    "theme": _THEME,
    # Gradio runs "head" before it shows the page, and "js" later, when a visitor may have dropped files
    "head": f"<script data-limit='{MAX_BYTES}'>{Path(__file__).with_name('script.js').read_text('utf-8')}</script>",
    "css_paths": [Path(__file__).with_name("style.css")],
}


@contextmanager
def run_server(
    session: Session, host: str = HOST, port: int | None = None, *, allowed_hosts: Sequence[str] = ()
) -> Iterator[str]:
    """Serve the page while the block runs, and yield its address.

    ``port`` None is the first free port from 7860. ``allowed_hosts`` are further names by which visitors reach the
    server, such as that of a proxy. Uploads are stored in a temporary folder that is deleted at the end.
    Raises :class:`AddressError` for a host or port that is not available.
    """
    require_own_address(host)
    with (
        tempfile.TemporaryDirectory(prefix="fusioncam-") as folder,
        _environment(GRADIO_TEMP_DIR=folder, GRADIO_ANALYTICS_ENABLED="False"),
    ):
        page = build_page(session, Path(folder))
        page.queue(max_size=_MAX_QUEUE, api_open=False)
        limits = Limits(Path(folder), partial(_waiting, page))
        request_filter = Middleware(RequestFilter, hosts=AllowedHosts(host, allowed_hosts), limits=limits)
        address = _launch(page, host, port, request_filter)
        try:
            yield address
        finally:
            page.close(verbose=False)


def _waiting(page: gr.Blocks) -> Iterator[tuple[str, str]]:
    """Yield the session and the address of each request in the queues of a page."""
    for queue in page._queue.event_queue_per_concurrency_id.values():
        for event in list(queue.queue):
            client = getattr(event.request, "client", None)
            yield event.session_hash, "" if client is None else client.host


def _launch(page: gr.Blocks, host: str, port: int | None, request_filter: Middleware) -> str:
    """Launch the page in a thread and return its address."""
    app_options = {"middleware": [request_filter], "docs_url": None, "redoc_url": None}
    try:
        _, address, _ = page.launch(server_name=host, server_port=port, app_kwargs=app_options, **_LAUNCH_OPTIONS)
    except (OSError, ValueError) as error:
        requested = f"{host}:{port}" if port else host
        raise AddressError(f"cannot serve at {requested}: {error}: choose another --host or --port") from None
    return str(address)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables, which are all that configures Gradio's folder, and restore them at the end."""
    before: dict[str, Any] = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

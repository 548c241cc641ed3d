"""The addresses that the page needs. Others of Gradio fetch addresses, keep what they receive or run programs."""

from __future__ import annotations

import re

_GRADIO = "/gradio_api"
_READ = re.compile(
    "|".join(
        [
            r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt",  # the page itself
            r"/(assets|static|svelte)/.+",  # its scripts, styles and fonts
            rf"{_GRADIO}/(info/?|startup-events|upload_progress|queue/data)",
            rf"{_GRADIO}/heartbeat/\w+",
            rf"{_GRADIO}/file=.+",  # uploads and results; Gradio refuses all other files
        ]
    )
)
_WRITE = re.compile(rf"{_GRADIO}/(queue/join|run/predict|upload|stream/[0-9a-f]+(/close)?)/?")  # stream: a camera
_PATTERNS = {"GET": _READ, "HEAD": _READ, "POST": _WRITE}
_FETCHING = re.compile(r"/(proxy=|file[=/]\w\w+:)")


def is_offered(method: str, path: str) -> bool:
    """Return whether the page needs this method and path.

    >>> is_offered("GET", "/config"), is_offered("POST", "/gradio_api/process_recording"), is_offered("GET", "/.env")
    (True, False, False)
    >>> is_offered("POST", "/gradio_api/stream/5e1f/close"), is_offered("POST", "/gradio_api/stream/5e1f/open")
    (True, False)
    """
    pattern = _PATTERNS.get(method)
    return pattern is not None and pattern.fullmatch(path) is not None


def is_upload(path: str) -> bool:
    """Return whether files are sent to this path."""
    return path.rstrip("/").endswith("/upload")


def fetches(path: str) -> bool:
    """Return whether Gradio would fetch an address that the path holds.

    >>> fetches("/gradio_api/file=http://a"), fetches("/gradio_api/file/http://a"), fetches("/gradio_api/file=/tmp/a")
    (True, True, False)
    """
    return _FETCHING.search(path) is not None

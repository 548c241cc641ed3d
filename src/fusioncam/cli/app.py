"""The command `fusioncam app`."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from fusioncam.cli.interruption import end_by_signals, keep_results
from fusioncam.cli.options import DEFAULT_MODEL, Device, MethodsOrNone, ModelNames

APP_EXIT_CODES = (
    "Exit codes: 0 stopped by Ctrl-C; 2 the request is invalid or the address is not available; 143 ended by SIGTERM."
)


def app(
    model: ModelNames = None,
    method: MethodsOrNone = None,
    host: Annotated[
        str, typer.Option(help="127.0.0.1 serves this machine only; 0.0.0.0 accepts other machines")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="default: the first free port from 7860")] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="further name of the server, such as that of a proxy in front of it; repeatable"),
    ] = None,
    device: Device = None,
) -> None:
    """Serve a web page that explains images.

    Drop an image and see heatmaps and how reliable they are. Visitors can choose only among the models and methods
    that you name here. Stop the server with Ctrl-C.

    \b
    fusioncam app
    fusioncam app --model efficientnet_lite0 --model timm:resnet50 --port 8000
    fusioncam app -m "fusion-cam(budget=64)" -m grad-cam \\
        -m "fuse(partners=[grad-cam, recipro-cam])"
    """
    from fusioncam.utils.addresses import require_own_address
    from fusioncam.utils.optional import extra

    require_own_address(host)  # before Gradio is imported, which takes seconds
    extra("app", "gradio", "web pages")
    from fusioncam.app.server import run_server
    from fusioncam.app.session import Session

    session = Session.open(model or [DEFAULT_MODEL], method or (), device)
    keep_results()
    with end_by_signals(), run_server(session, host, port, allowed_hosts=allowed_host or ()) as address:
        print(f"fusioncam app: {address} (Ctrl-C stops it)", flush=True)
        try:
            wait()
        except KeyboardInterrupt:
            print("stopped")


def wait() -> None:
    """Wait for ever; Ctrl-C ends it."""
    threading.Event().wait()

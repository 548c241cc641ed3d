"""The command `fusioncam app`."""

from __future__ import annotations

from typing import Annotated

import typer

from fusioncam.app.session import Studio
from fusioncam.cli.options import Device, MethodsOrNone, ModelNames
from fusioncam.utils.optional import extra
from fusioncam.zoo.loading import DEFAULT_MODEL

CODES = "Exit codes: 0 ended by Ctrl-C; 2 the request is wrong, or there is no such address to serve at."


def app(
    model: ModelNames = None,
    method: MethodsOrNone = None,
    host: Annotated[str, typer.Option(help="127.0.0.1 is this machine alone; 0.0.0.0 lets others in")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="default: the first that is free from 7860")
    ] = None,
    device: Device = None,
) -> None:
    """Serve a web page: drop an image, see heatmaps and how far to trust them. Ctrl-C ends it.

    Visitors choose among the models and methods that are named here, and those alone.

    fusioncam app

    fusioncam app --model efficientnet_lite0 --model timm:resnet50 --port 8000

    fusioncam app -m "fusion-cam(budget=64)" -m grad-cam -m "fuse(partners=[grad-cam, recipro-cam])"
    """
    extra("app", "gradio", "web pages")
    from fusioncam.app.server import serve

    serve(Studio.open(model or [DEFAULT_MODEL], method or (), device), host, port)

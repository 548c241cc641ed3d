"""Errors as visitors see them: notes on the page, and errors of Gradio for programs."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from fusioncam.app import html
from fusioncam.errors import FusionCamError


def with_error_note(
    handler: Callable[..., tuple[Any, ...] | None],
    outputs_of_error: tuple[Any, ...] | Callable[[Exception], tuple[Any, ...]],
) -> Callable[..., Any]:
    """Return a handler with a note as its first output, which is empty unless an error was raised.

    If an error is raised, the other outputs are ``outputs_of_error``. If the handler returns None, the page stays as
    it is. The note stays too if the first input is None: it may explain why an image was removed.
    """

    @functools.wraps(handler)
    def safe(*inputs: Any) -> Any:
        try:
            outputs = handler(*inputs)
        except Exception as error:
            others = outputs_of_error(error) if callable(outputs_of_error) else outputs_of_error
            return _as_gradio_outputs(html.note(message_of(error)), *others)
        if outputs is None:
            count = 0 if callable(outputs_of_error) else len(outputs_of_error)
            return _as_gradio_outputs(*[gr.skip()] * (1 + count))
        return _as_gradio_outputs(gr.skip() if inputs[:1] == (None,) else "", *outputs)

    return safe


def _as_gradio_outputs(*outputs: Any) -> Any:
    """Return several outputs as a tuple, and a single one by itself: Gradio would show a tuple of one as its text."""
    return outputs if len(outputs) > 1 else outputs[0]


def with_gradio_error(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler whose errors are Gradio's, which are sent to the caller as text."""

    @functools.wraps(handler)
    def safe(*inputs: Any, **named: Any) -> Any:
        try:
            return handler(*inputs, **named)
        except Exception as error:
            raise gr.Error(escape(message_of(error)), print_exception=False) from None

    return safe


def message_of(error: Exception) -> str:
    """Return the message of an error of the library; log any other error and return a message without details."""
    if isinstance(error, FusionCamError):
        return str(error)
    traceback.print_exception(error)
    return html.SERVER_ERROR

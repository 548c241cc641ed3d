"""Galleries of thumbnails of which a visitor clicks one."""

from __future__ import annotations

from typing import Any

import gradio as gr


def clickable_gallery(elem_id: str, columns: int, label: str | None = None) -> Any:
    """Return a gallery that is hidden until it has images, and does not enlarge the one that is clicked."""
    return gr.Gallery(
        label=label,
        show_label=label is not None,
        columns=columns,
        object_fit="cover",
        height="auto",
        allow_preview=False,
        buttons=[],
        interactive=False,
        visible=False,
        elem_id=elem_id,
    )

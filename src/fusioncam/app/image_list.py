"""Several images at once: a visitor drops them together and chooses which one is explained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from fusioncam.app import html
from fusioncam.app.files import open_sent, store_image, thumbnail
from fusioncam.app.galleries import clickable_gallery
from fusioncam.app.messages import message_of, with_error_note
from fusioncam.errors import ImageError

MAX_IMAGES = 12
_SIDE = 192  # of a thumbnail
# decoding large images takes seconds: one list at a time
_SETTINGS = {"preprocess": False, "api_visibility": "private", "concurrency_id": "images", "concurrency_limit": 1}


@dataclass(frozen=True)
class ImageList:
    """The components of the list, and the state that holds the files of one visitor's images."""

    button: Any
    sent: Any
    note: Any
    gallery: Any
    paths: Any

    @classmethod
    def create(cls, lifetime: int) -> ImageList:
        """Create the components; the files are forgotten after ``lifetime`` seconds."""
        # script.js sends the files here that are dropped together on the image
        with gr.Column(min_width=0, elem_id="fc-several"):
            button = gr.UploadButton(
                f"Several images, up to {MAX_IMAGES}", file_count="multiple", file_types=["image"], size="sm"
            )
        # the request filter removes the marks of files, without which Gradio accepts those of no button
        sent = gr.JSON(visible=False)
        note = gr.HTML("", elem_id="fc-list-note")
        return cls(button, sent, note, clickable_gallery("fc-list", columns=4), gr.State((), time_to_live=lifetime))

    def connect(self, folder: Path, image: Any) -> None:
        """List the files that are sent, and choose the one that is clicked as the ``image`` of the page."""
        sent = self.button.upload(None, [self.button], [self.sent], js="files => [files]", api_visibility="private")
        sent.then(
            ImageListHandlers(folder).list_images,
            [self.sent],
            [self.note, self.gallery, self.paths, image],
            show_progress_on=[self.gallery],
            **_SETTINGS,
        )
        self.gallery.select(
            with_error_note(choose, (gr.skip(),)),
            [self.paths],
            [self.note, image],
            show_progress="hidden",
            **_SETTINGS,
        )


@dataclass(frozen=True)
class ImageListHandlers:
    """The handlers of the list; ``folder`` holds the uploads, and no file outside of it is opened."""

    folder: Path

    def list_images(self, uploads: object) -> tuple[Any, ...]:
        """Return a note, the thumbnails, the files of the images, and the first of these, which is explained.

        Files that cannot be opened are named in the note, and the others are listed.
        """
        sent = uploads if isinstance(uploads, list) else []
        problems = [html.too_many(len(sent), MAX_IMAGES)] if len(sent) > MAX_IMAGES else []
        thumbnails: list[tuple[str, str]] = []
        paths: list[str] = []
        for upload in sent[:MAX_IMAGES]:
            try:
                image, name = open_sent(upload, self.folder)
                thumbnails.append((store_image(thumbnail(image, _SIDE)), name))
                paths.append(upload["path"])
            except Exception as error:
                problems.append(message_of(error))
        note = html.note("\n".join(problems)) if problems else ""
        gallery = gr.update(value=thumbnails, selected_index=0 if paths else None, visible=bool(paths))
        return note, gallery, tuple(paths), paths[0] if paths else gr.skip()


def choose(paths: tuple[str, ...], event: gr.SelectData) -> tuple[str]:
    """Return the file of the image that was clicked; raise :class:`ImageError` if it is no longer there."""
    index = event.index
    if not (isinstance(index, int) and 0 <= index < len(paths) and Path(paths[index]).is_file()):
        raise ImageError("this image was deleted: drop the images again")
    return (paths[index],)

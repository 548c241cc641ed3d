"""Progress listeners for tests."""

from __future__ import annotations

from fusioncam.distributed.progress import ProgressListener


class Notes(ProgressListener):
    """A listener that keeps the notes of a run."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        """Keep the note."""
        self.notes.append(text)

"""Fixtures that call the command line in this process."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

from command_line import Ended
from fusioncam.cli.main import main
from samples import CAT, photo

CAT_FILE = Path("photos", "cat.png")


@pytest.fixture
def program(monkeypatch, capsys, tmp_path):
    """Return a function that runs the program in this process, in a folder with one image, photos/cat.png."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the program replaces it
    Path("photos").mkdir()
    photo(CAT, (60, 40)).save(CAT_FILE)

    def call(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["fusioncam", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(ended.value.code or 0, *capsys.readouterr())

    return call

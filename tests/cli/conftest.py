"""Fixtures that call the command line in this process."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Ended
from fusioncam.cli.main import main
from samples import CAT, COFFEE, photo


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ended]:
    """Return a function that runs the program in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it

    def call(*args: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["fusioncam", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Ended(ended.value.code or 0, out, err)

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two small photographs and a file that is not an image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    photo(CAT, (90, 60)).save(folder / "cat.png")
    photo(COFFEE, (60, 90)).save(folder / "cup of coffee.jpg")
    (folder / "bad.jpg").write_text("I am no image")
    return folder

"""The command `fusioncam app`."""

from __future__ import annotations

import sys

import pytest

from fusioncam.cli.main import main

MODEL = "samples:small"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "resnet50"], "unknown model 'resnet50'"),
        (["--model", MODEL, "-m", "gradcam"], "unknown method 'gradcam'"),
    ],
)
def test_invalid_commands_are_reported(monkeypatch, capsys, words, message):
    """The exit code is 2, and nothing is served."""
    monkeypatch.setattr(sys, "argv", ["fusioncam", "app", *words])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_missing_gradio_is_reported(monkeypatch, capsys):
    """The message names the extra to install."""
    for name in [name for name in sys.modules if name.startswith("fusioncam.app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr(sys, "argv", ["fusioncam", "app"])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert capsys.readouterr().err == 'error: web pages need gradio: pip install "fusioncam[app]"\n'

"""The command `fusioncam app`."""

from __future__ import annotations

import signal
import socket
import sys

import httpx
import pytest

from command_line import start_program
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


@pytest.mark.slow
def test_the_command_serves_until_ctrl_c(tmp_path):
    """It serves this machine only, and Ctrl-C is not an error."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = start_program("app", "--model", MODEL, "--port", port)
    try:
        assert server.stdout.readline() == f"fusioncam app: http://127.0.0.1:{port}/ (Ctrl-C stops it)\n"
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=60).status_code == 200
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=60)
    finally:
        server.kill()
    assert (server.returncode, out) == (0, "stopped\n")
    assert "Traceback" not in err

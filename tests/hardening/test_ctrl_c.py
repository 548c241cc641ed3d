"""Ctrl-C in the first seconds, while the program imports its packages."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusioncam.cli.interruption import keep_results, stopping_at_once

COMMANDS = ("explain cat.png", "benchmark .", "demo", "app", "doctor", "report .", "list layers")
# Python itself has started after less than a tenth of a second on a machine that does nothing else
DELAYS = (0.3, 1.0, 2.0)


def start(code, folder):
    """Start Python with Ctrl-C as on a terminal; background jobs of a shell would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, *code], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.parametrize("words", COMMANDS)
def test_ctrl_c_in_the_first_seconds_ends_with_130(words, tmp_path):
    """There is no traceback, whatever is being imported."""
    for delay in DELAYS:
        process = start(["-m", "fusioncam", *words.split()], tmp_path)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        if process.returncode != 130:  # it had ended by itself
            assert process.returncode in (1, 2), (delay, err)
            assert delay >= 1, err
        assert "Traceback" not in err, (delay, err)


def test_ctrl_c_while_the_program_ends_keeps_its_exit_code(tmp_path):
    """Neither in what runs at exit, nor after it, when Python restores the signal's default action."""
    code = "import atexit, os, signal, sys\nfrom fusioncam.cli.main import main\n"
    code += "class Late:\n def __del__(self, kill=os.kill, number=signal.SIGINT, me=os.getpid()): kill(me, number)\n"
    code += "sys.late = Late()\natexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
    code += "sys.argv = ['fusioncam', 'list', 'nothing']\nmain()"
    process = start(["-c", code], tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert "Traceback" not in err


def test_program_handles_ctrl_c_before_it_imports_anything(tmp_path):
    """The module of ``main`` imports neither typer nor the commands, which would take a second."""
    code = "import sys, fusioncam.cli.main; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    process = start(["-c", code], tmp_path)
    out, _ = process.communicate(timeout=60)
    assert not {"typer", "rich", "numpy", "torch"} & set(out.split())


def test_ctrl_c_during_an_import_that_hides_it_ends_at_once(tmp_path):
    """A module that catches every exception cannot keep the program running."""
    Path(tmp_path, "stubborn.py").write_text(
        "import os, signal\ntry: os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException: pass\n"
    )
    code = "from fusioncam.cli.interruption import stopping_at_once\n"
    code += "with stopping_at_once():\n import stubborn\nprint('went on')"
    process = start(["-c", code], tmp_path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "stopped\n")


def test_ctrl_c_raises_again_once_there_are_results_to_keep():
    """A command then ends in its own time, and afterwards the handler is the one from before."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stopping_at_once():
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
            keep_results()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_ignored_ctrl_c_stays_ignored():
    """A shell starts background jobs like that."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping_at_once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            keep_results()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)

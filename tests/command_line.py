"""Call the command line in tests: in this process, in a copy of it, or in a new one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest
import torch

from fusioncam.cli.main import main
from fusioncam.explanations.result_files import entry_files

SMALL = ("--model", "samples:small")
FAST = (*SMALL, "-m", "grad-cam")
ALWAYS_WRITTEN = ("explanations.json", "report.html")


class Ended(NamedTuple):
    """Exit code and output of a call of the program."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """Parse the output as strict JSON."""
        return strict(self.out)


def strict(text: str | bytes) -> dict:
    """Parse JSON as other languages do: NaN is an error."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in JSON"))


def listed(out: Path) -> dict:
    """Read ``explanations.json`` and check that it lists every file in the folder except itself and the report."""
    facts = strict((out / "explanations.json").read_bytes())
    files = {name for one in facts["explanations"] for name in entry_files(one)}
    assert sorted(files) == sorted(path.name for path in out.iterdir() if path.name not in ALWAYS_WRITTEN)
    return facts


def names_of(out: Path = Path("fusioncam-out")) -> list[str]:
    """Return the names of all files that a run lists, and check that no two are the same."""
    names = [name for one in listed(out)["explanations"] for name in one["files"]]
    assert len(names) == len(set(names)), names
    return names


def start_program(*args: object, **environment: str) -> subprocess.Popen[str]:
    """Start the installed program in the folder of the tests, where it finds the model factories in samples.py.

    ``environment`` has variables that are set for it.
    """
    path = Path(sys.executable).with_name("fusioncam")
    # background jobs of a shell ignore Ctrl-C, those of nohup SIGHUP, and so would the processes that they start
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        return subprocess.Popen(
            [path, *map(str, args)],
            cwd=Path(__file__).parent,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGHUP, before[1])


def wait_for(process: subprocess.Popen[str]) -> Ended:
    """Wait for the program, and check that it prints no traceback."""
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return Ended(process.returncode, out, err)


class Fork:
    """The program in a copy of this process, which has imported already what takes seconds to import."""

    def __init__(self, *args: object) -> None:
        self._output = [tempfile.TemporaryFile() for _ in ("out", "err")]  # noqa: SIM115 # closed when they were read
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of forks in programs with threads
            self.pid = os.fork()
        if self.pid == 0:
            for number, file in enumerate(self._output, start=1):
                os.dup2(file.fileno(), number)
            run_and_exit(*args)

    def ended(self) -> bool:
        """Return whether the program has ended."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self) -> Ended:
        """Wait for the program, at most two minutes, and check that it prints no traceback."""
        end = time.monotonic() + 120
        while not self.ended() and time.monotonic() < end:
            time.sleep(0.01)
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        out, err = (self._text(file) for file in self._output)
        assert "Traceback" not in err, err
        return Ended(code, out, err)

    @staticmethod
    def _text(file) -> str:
        with file:
            file.seek(0)
            return file.read().decode()


def run_and_exit(*args: object) -> NoReturn:
    """Run the program in a forked process, in the folder of the tests, with its file descriptors as output."""
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        warnings.simplefilter("ignore")  # in tests they are errors
        torch.set_num_threads(1)  # threads that there were before the fork are no longer there
        os.chdir(Path(__file__).parent)
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
        sys.argv = ["fusioncam", *map(str, args)]
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

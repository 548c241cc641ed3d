"""Call the command line in tests, in this process or in another one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

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
    files = [name for one in facts["explanations"] for name in one["files"]]
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
    # background jobs of a shell ignore Ctrl-C, and so would the processes that they start
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
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
        signal.signal(signal.SIGINT, before)


def wait_for(process: subprocess.Popen[str]) -> Ended:
    """Wait for the program, and check that it prints no traceback."""
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return Ended(process.returncode, out, err)

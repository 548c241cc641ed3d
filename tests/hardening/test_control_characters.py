"""Escape sequences in names of files, models and classes are printed as text and never obeyed by the terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from command_line import FAST
from fusioncam.cli.output import cell, print_json, print_line, print_note
from fusioncam.cli.progress import BenchmarkProgressBar
from fusioncam.utils.text import printable, printable_lines

EVIL = "a\x1b[2J\x1b]0;owned\x07\x9b31m\u202eb\r"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
COMMANDS = {
    "explain": ["explain", "{}.png", *FAST],
    "explain fails": ["explain", "{}.jpg", *FAST],
    "explain json": ["explain", "{}.png", "{}.jpg", *FAST, "--json"],
    "explain out": ["explain", "photos/cat.png", *FAST, "--out", "{}"],
    "explain checks": ["explain", "{}.png", *FAST, "--check"],
    "bulk": ["explain", "{}.png", "{}.jpg", *FAST, "--bulk"],
    "benchmark": ["benchmark", "{}.png", *FAST, "--metric", "increase", "--out", "{}"],
    "benchmark fails": ["benchmark", "{}.jpg", *FAST, "--metric", "increase"],
    "report": ["report", "{}"],
    "model": ["explain", "photos/cat.png", "--model", "{}"],
    "method": ["explain", "photos/cat.png", "-m", "{}"],
    "layer": ["explain", "photos/cat.png", *FAST, "--layer", "{}"],
    "class": ["explain", "photos/cat.png", *FAST, "--target", "{}"],
    "device": ["doctor", "--device", "{}"],
    "plan": ["benchmark", "photos/cat.png", "--plan", "{}"],
    "option": ["explain", "--{}"],
    "number": ["explain", "photos/cat.png", "--batch-size", "{}"],
    "command": ["{}"],
    "argument": ["report", "a", "{}"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_output_has_no_control_characters(name, program, tmp_path):
    """Neither stdout nor stderr, whether the command succeeds or fails."""
    shutil.copy("photos/cat.png", f"{EVIL}.png")
    Path(f"{EVIL}.jpg").write_text("I am no image")
    _, out, err = program(*(word.replace("{}", EVIL) for word in COMMANDS[name]))
    assert out or err
    assert not OBEYED.search(out), ascii(out)
    assert not OBEYED.search(err), ascii(err)


def test_all_controls_are_escaped():
    """What remains is printable, and letters of every script stay."""
    everything = "".join(map(chr, range(0x110000)))
    shown = printable(everything)
    assert not OBEYED.search(shown)
    assert "\n" not in shown
    letters = "cup ä 猫 \N{DUCK} e\u0301"
    assert printable(letters) == letters
    assert printable_lines("a\tb\nc\x1b") == "a\tb\nc\\x1b"


def test_helpers_print_no_control_characters(capsys):
    """Texts, cells of tables, JSON and notes above a progress bar."""
    print_line(EVIL)
    print_note(EVIL)
    print_json({EVIL: [EVIL]})
    BenchmarkProgressBar().note(EVIL)
    out, err = capsys.readouterr()
    assert not OBEYED.search(out + err + cell(EVIL).plain)
    assert json.loads(out.partition("\n")[2]) == {EVIL: [EVIL]}


def test_names_of_bytes_that_are_no_text_are_printed(program):
    """As on a disk that another system wrote."""
    name = os.fsdecode(b"caf\xe9\x1b.jpg")
    Path(name).write_text("I am no image")
    _, _, err = program("explain", name, *FAST)
    assert "caf?\\x1b.jpg" in err
